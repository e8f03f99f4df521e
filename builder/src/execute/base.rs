//! The images that stages stand on and copy from, found in the store before anything is done.

use std::collections::BTreeMap;

use image_format::config::ImageConfig;
use image_format::layout::{Image, Store, StoreError};

use crate::dockerfile::Span;
use crate::error::BuildError;
use crate::plan::{BuildPlan, Source};

/// The images of a plan, by the names it has for them.
pub(super) struct Bases(BTreeMap<String, Image>);

impl Bases {
    /// Finds them.
    pub(super) fn resolve(store: &Store, plan: &BuildPlan) -> Result<Self, BuildError> {
        let mut images = BTreeMap::new();
        for (name, span) in plan.images() {
            if !images.contains_key(name) {
                images.insert(name.to_owned(), resolve(store, name, span)?);
            }
        }
        for stage in &plan.stages {
            if let Source::Image { name, span } = &stage.base {
                refuse_triggers(name, *span, &images[name])?;
            }
        }
        Ok(Self(images))
    }

    /// The config of an image, where the plan has it.
    pub(super) fn config(&self, name: &str) -> Option<ImageConfig> {
        Some(self.0.get(name)?.config.clone())
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
