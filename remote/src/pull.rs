//! From a reference to an image in the store.
//!
//! ```text
//! tag ─► index ─► manifest for the platform ─► config ─► layers, side by side ─► tag in the store
//! ```
//!
//! A layer is hashed while it is written, and what is written is read again behind that, decompressed,
//! checked against the config, and unpacked: nothing of it waits in memory. What the store has is not
//! fetched. The image gets its name when all of it is there and durable; what an interrupted pull has
//! fetched whole, the next one finds.

mod document;
mod error;
mod layers;

use image_format::config::ImageConfig;
use image_format::descriptor::{Descriptor, Platform};
use image_format::digest::Digest;
use image_format::layout::{Image, NotAnImage, Store, StoreError, name_of};
use image_format::manifest::{Index, Manifest};
use image_format::media_type;
use image_format::reference::Reference;
use image_format::snapshot::Snapshotter;

use builder::cancel::Cancel;
use builder::remote::{HearPulling, ImageSource, Pulling};

use crate::registry::{Access, Registries, Repository, TagOrDigest};
use document::{Documents, parse};
pub use error::PullError;

/// An index may list indexes, to this depth.
const DEEPEST: u32 = 4;

/// What becomes of the layers of an image.
#[derive(Clone, Copy)]
pub enum Layers<'a> {
    /// They are fetched and unpacked.
    Unpacked(&'a dyn Snapshotter),
    /// They are fetched.
    Stored,
    /// They are fetched when something reads them.
    Later,
}

/// Pulls images into a store.
pub struct Pull<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where from.
    pub registries: &'a Registries,
    /// What becomes of the layers.
    pub layers: Layers<'a>,
    /// Hears what happens.
    pub hear: HearPulling<'a>,
    /// Ends it.
    pub cancel: &'a Cancel,
}

/// An image that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// What its name stands for: a manifest, or an index.
    pub descriptor: Descriptor,
    /// The image for the platform.
    pub image: Image,
    /// Whether the name stood for something else before, or for nothing.
    pub is_new: bool,
}

/// What a manifest and its config say.
struct Found {
    /// The documents on the way, the first one first.
    documents: Documents,
    /// What the name stands for.
    descriptor: Descriptor,
    /// The manifest for the platform.
    manifest: Manifest,
    manifest_digest: Digest,
    /// The config.
    config: ImageConfig,
}

impl Pull<'_> {
    /// Pulls an image, and gives it its name.
    ///
    /// # Errors
    /// When it cannot be had whole; it has no name in the store then.
    pub fn image(&self, wanted: &ImageSource<'_>) -> Result<Pulled, PullError> {
        let reference = &wanted.reference.clone().with_default_tag();
        let repository = self
            .registries
            .repository(reference, Access::Pull, self.cancel)?;
        let found = self.registries.wait(self.find(&repository, wanted))?;
        let layers = layers::of(&found.manifest.layers, &found.config.rootfs.diff_ids);
        (self.hear)(Pulling::Layers(&found.manifest.layers));
        let is_new = !self.is_named(reference, &found.descriptor)?;
        let is_known = !is_new && found.documents.are_in(self.store)?;
        let needs = layers::Needs::of(self, &layers, is_known)?;
        if !needs.absent.is_empty() {
            self.store
                .note_elsewhere(&found.manifest_digest, reference, &needs.absent)?;
        }
        if !matches!(self.layers, Layers::Later) {
            self.bring(&repository, &layers, &needs.missing)?;
        }
        let mut durable = needs.here(&layers);
        durable.extend(found.documents.put(self.store)?);
        // As an image is read from the store, so that what it says of itself is true.
        let image = self.store.image_for(&found.descriptor, wanted.platform)?;
        if !is_known {
            self.store.sync(&durable)?;
        }
        // A push to the same registry takes its blobs over from there.
        for layer in &layers {
            let (registry, repository) = (reference.registry(), reference.repository());
            self.store
                .note_origin(&layer.blob.digest, registry, repository)?;
        }
        if is_new {
            // A push to the same registry then takes them over from here.
            for layer in &layers {
                let (registry, repository) = (reference.registry(), reference.repository());
                self.store
                    .note_origin(&layer.blob.digest, registry, repository)?;
            }
            self.store.tag(reference, &found.descriptor)?;
        }
        Ok(Pulled {
            descriptor: found.descriptor,
            image: Image {
                reference: Some(reference.clone()),
                ..image
            },
            is_new,
        })
    }

    /// All tags of a repository.
    ///
    /// # Errors
    /// When the registry does not tell them.
    pub fn tags(&self, reference: &Reference) -> Result<Vec<String>, PullError> {
        let repository = self
            .registries
            .repository(reference, Access::Pull, self.cancel)?;
        Ok(self.registries.wait(repository.tags())?)
    }

    /// Whether the store has this under the name, and for the same platform.
    fn is_named(&self, reference: &Reference, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let index = self.store.index()?;
        let mut entries = index.manifests.iter();
        Ok(entries.any(|entry| {
            entry.digest == descriptor.digest && name_of(entry).as_ref() == Some(reference)
        }))
    }

    /// Finds the manifest and reads its config.
    async fn find(
        &self,
        repository: &Repository,
        wanted: &ImageSource<'_>,
    ) -> Result<Found, PullError> {
        let mut documents = Documents::default();
        let start = self.start(repository, wanted).await?;
        let (start, mut bytes) = match start {
            Start::Fetched(manifest) => (manifest.descriptor, manifest.bytes.into()),
            Start::Named(descriptor) => {
                let bytes = document::manifest(self.store, repository, &descriptor).await?;
                (descriptor, bytes)
            }
        };
        documents.add(&bytes);
        let mut descriptor = start.clone();
        for _ in 0..DEEPEST {
            if !media_type::is_index(&descriptor.media_type) {
                break;
            }
            let index: Index = parse(&descriptor, &bytes)?;
            descriptor = choose(&index, wanted.platform)?.clone();
            bytes = document::manifest(self.store, repository, &descriptor).await?;
            documents.add(&bytes);
        }
        let not = |reason| {
            let digest = descriptor.digest;
            PullError::Store(StoreError::NotAnImage { digest, reason })
        };
        if media_type::is_index(&descriptor.media_type) {
            return Err(not(NotAnImage::Nesting));
        }
        if !media_type::is_manifest(&descriptor.media_type) {
            return Err(not(NotAnImage::MediaType(descriptor.media_type.clone())));
        }
        let manifest: Manifest = parse(&descriptor, &bytes)?;
        if !media_type::is_config(&manifest.config.media_type) {
            let media_type = manifest.config.media_type.clone();
            return Err(not(NotAnImage::Artifact(media_type)));
        }
        let bytes = document::config(self.store, repository, &manifest.config).await?;
        let config: ImageConfig = parse(&manifest.config, &bytes)?;
        documents.add(&bytes);
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(not(NotAnImage::Layers { layers, diff_ids }));
        }
        if let Some(platform) = wanted.platform {
            check_platform(&config, platform)?;
        }
        Ok(Found {
            documents,
            descriptor: start,
            manifest,
            manifest_digest: descriptor.digest,
            config,
        })
    }

    /// Asks what the name stands for.
    async fn start(
        &self,
        repository: &Repository,
        wanted: &ImageSource<'_>,
    ) -> Result<Start, PullError> {
        let reference = &wanted.reference.clone().with_default_tag();
        let digest = wanted.pinned.or(reference.digest());
        let which = digest.map_or_else(|| TagOrDigest::of(reference), TagOrDigest::Digest);
        let index = self.store.index()?;
        let mut entries = index.manifests.iter();
        // What the store has is not fetched again, and a registry counts what is fetched.
        let here = match digest {
            Some(digest) => entries.find(|entry| entry.digest == digest),
            None => entries.find(|entry| name_of(entry).as_ref() == Some(reference)),
        };
        Ok(match (here, digest) {
            (Some(here), Some(_)) => Start::Named(plain(here)),
            (Some(_), None) => Start::Named(repository.resolve(&which).await?),
            (None, _) => Start::Fetched(repository.manifest(&which).await?),
        })
    }
}

enum Start {
    /// It has come.
    Fetched(crate::registry::Manifest),
    /// It has this digest.
    Named(Descriptor),
}

/// Without the name that the store has for it.
fn plain(entry: &Descriptor) -> Descriptor {
    Descriptor::new(&entry.media_type, entry.digest, entry.size)
}

fn choose<'a>(index: &'a Index, wanted: Option<&Platform>) -> Result<&'a Descriptor, PullError> {
    let host = Platform::host();
    let wanted = wanted.unwrap_or(&host);
    index.choose(wanted).ok_or_else(|| PullError::Platform {
        wanted: wanted.to_string(),
        there: index.platforms(),
    })
}

/// An image that says of itself that it is for another machine is not what was asked for.
fn check_platform(config: &ImageConfig, wanted: &Platform) -> Result<(), PullError> {
    let there = Platform {
        os: config.os.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        ..Platform::host()
    };
    match there.suits(wanted) {
        Some(_) => Ok(()),
        None => Err(PullError::Platform {
            wanted: wanted.to_string(),
            there: vec![there.to_string()],
        }),
    }
}
