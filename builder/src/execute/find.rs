//! What the names of images stand for: in the store, else in their registries. Each is asked for once in a
//! build: a tag that moves meanwhile stands for what it stood for first.

use std::collections::BTreeMap;

use image_format::descriptor::Platform;
use image_format::digest::Digest;
use image_format::layout::{Image, StoreError};
use image_format::media_type;
use image_format::reference::Reference;

use super::Backend;
use crate::dockerfile::Span;
use crate::error::BuildError;
use crate::plan::{name_of, named_context};
use crate::progress::Event;
use crate::remote::{ImageSource, RemoteError};
use crate::request::{BuildRequest, NamedContext};

/// Finds images, and remembers what it found.
pub(super) struct Finder<'a> {
    request: &'a BuildRequest,
    backend: Backend<'a>,
    /// By name and platform.
    found: BTreeMap<(String, String), Image>,
    /// The manifest or index that a name stands for.
    pinned: BTreeMap<String, Digest>,
}

/// An image that a build took something from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// Its name, as it is written.
    pub name: String,
    /// The platform, as in `linux/amd64`.
    pub platform: String,
    /// The digest that the name stood for: of a manifest or an index.
    pub digest: Digest,
}

impl<'a> Finder<'a> {
    pub fn new(request: &'a BuildRequest, backend: Backend<'a>) -> Self {
        Self {
            request,
            backend,
            found: BTreeMap::new(),
            pinned: BTreeMap::new(),
        }
    }

    /// What was found.
    pub fn materials(self) -> Vec<Material> {
        let all = self.found.into_iter();
        all.map(|((name, platform), image)| Material {
            name,
            platform,
            digest: image.descriptor.digest,
        })
        .collect()
    }

    /// The image of this name; a named context comes before all others.
    pub fn find(
        &mut self,
        name: &str,
        span: Span,
        platform: &Platform,
    ) -> Result<Image, BuildError> {
        let key = (name.to_owned(), name_of(platform));
        if let Some(image) = self.found.get(&key) {
            return Ok(image.clone());
        }
        let context = named_context(&self.request.named_contexts, name);
        let image = match context {
            Some((_, NamedContext::Image(image))) => Image::clone(image),
            _ => self.ask(name, span, platform)?,
        };
        let descriptor = &image.descriptor;
        // One platform's manifest says nothing of the others.
        if media_type::is_index(&descriptor.media_type) {
            self.pinned.insert(name.to_owned(), descriptor.digest);
        }
        let digest = descriptor.digest;
        self.backend
            .progress
            .event(Event::Resolved { name, digest });
        self.found.insert(key, image.clone());
        Ok(image)
    }

    fn ask(&self, name: &str, span: Span, platform: &Platform) -> Result<Image, BuildError> {
        let store = &self.request.store;
        let mut here = store.resolve_for(name, platform);
        let mut reference = name.parse::<Reference>().ok();
        if let Err(StoreError::NoImage { .. }) = here {
            let alias = self.backend.remote.alias(name);
            let alias = alias.map_err(|source| BuildError::Pull {
                nearest: None,
                span,
                source: Box::new(source),
            })?;
            if let Some(alias) = alias {
                here = store.resolve_for(&alias, platform);
                reference = alias.parse().ok();
            }
        }
        let ask_registry = self.request.pull.asks(&here);
        match reference.filter(|_| ask_registry) {
            Some(reference) => self.pull(name, span, &reference, platform, here.err()),
            None => here.map_err(|error| not_here(name, span, error)),
        }
    }

    fn pull(
        &self,
        name: &str,
        span: Span,
        reference: &Reference,
        platform: &Platform,
        here: Option<StoreError>,
    ) -> Result<Image, BuildError> {
        let wanted = ImageSource {
            reference,
            pinned: self.pinned.get(name).copied(),
            platform: Some(platform),
        };
        let progress = self.backend.progress;
        let hear = |what: crate::remote::Pulling<'_>| progress.event(Event::Pulling { name, what });
        let cancel = &self.request.cancel;
        let pulled = self.backend.remote.image(&wanted, &hear, cancel);
        pulled.map_err(|error| match (error, here) {
            (RemoteError::Cancelled, _) => BuildError::Cancelled,
            (RemoteError::NoWay { .. }, Some(error)) => not_here(name, span, error),
            (source, here) => BuildError::Pull {
                nearest: here.and_then(|error| match error {
                    StoreError::NoImage { nearest, .. } => nearest,
                    _ => None,
                }),
                span,
                source: Box::new(source),
            },
        })
    }
}

fn not_here(name: &str, span: Span, error: StoreError) -> BuildError {
    match error {
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
    }
}
