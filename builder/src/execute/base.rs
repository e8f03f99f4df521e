//! The images that stages stand on and copy from, found in the store before anything is done.

use std::collections::BTreeMap;

use image_format::layout::{Image, Store, StoreError};

use crate::dockerfile::Span;
use crate::error::BuildError;
use crate::plan::{BuildPlan, Source};
use crate::progress::{Event, Progress};
use crate::request::{BuildRequest, NamedContext, context_name};

/// The images of a plan, by the names it has for them.
pub(super) struct Bases(BTreeMap<String, Image>);

impl Bases {
    /// Finds them: a named context comes before an image of the store.
    pub(super) fn resolve(
        request: &BuildRequest,
        plan: &BuildPlan,
        progress: &dyn Progress,
    ) -> Result<Self, BuildError> {
        let mut images = BTreeMap::new();
        for (name, span) in plan.images() {
            if images.contains_key(name) {
                continue;
            }
            let named = context_name(name).ok();
            let named = named.and_then(|name| request.named_contexts.get(&name));
            let image = match named {
                Some(NamedContext::Image(image)) => Image::clone(image),
                _ => resolve(&request.store, name, span)?,
            };
            warn_of_platform(name, span, &image, progress);
            images.insert(name.to_owned(), image);
        }
        for stage in &plan.stages {
            if let Source::Image { name, span } = &stage.base {
                refuse_triggers(name, *span, &images[name])?;
            }
        }
        Ok(Self(images))
    }

    /// An image of the plan.
    pub(super) fn get(&self, name: &str) -> &Image {
        &self.0[name]
    }
}

fn resolve(store: &Store, name: &str, span: Span) -> Result<Image, BuildError> {
    store.resolve(name).map_err(|error| match error {
        StoreError::NoImage { name, nearest } => BuildError::NoBase {
            name,
            nearest,
            span,
        },
        source => BuildError::Base {
            name: name.to_owned(),
            span,
            source: Box::new(source),
        },
    })
}

fn warn_of_platform(name: &str, span: Span, image: &Image, progress: &dyn Progress) {
    let host = image_format::descriptor::Platform::host();
    let config = &image.config;
    if (&config.os, &config.architecture) != (&host.os, &host.architecture) {
        let (os, architecture) = (&config.os, &config.architecture);
        progress.event(Event::Warning {
            message: &format!(
                "the image {name:?} is for {os}/{architecture}, and this machine is {}/{}",
                host.os, host.architecture
            ),
            span: Some(span),
        });
    }
}

/// What is not followed is refused, not left out.
fn refuse_triggers(name: &str, span: Span, image: &Image) -> Result<(), BuildError> {
    if image.config.config.on_build.is_empty() {
        return Ok(());
    }
    Err(BuildError::OnBuild {
        name: name.to_owned(),
        span,
    })
}
