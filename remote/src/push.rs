//! From the store to a registry.
//!
//! ```text
//! manifest there? ─► layers: compress ─► there? ─► mount ─► upload ┐
//!                    (on all cores, and side by side)              ├─► manifests ─► tag
//!                    config:          there? ─► mount ─► upload    ┘
//! ```
//!
//! Layers that are plain in the store are compressed on their way, once: the result is kept, so that what
//! was pushed before is known to be there by one request.

mod blobs;
mod error;
mod packers;
mod plan;
mod side_by_side;

use std::thread;

use builder::cancel::Cancel;
use image_format::archive::{self, Compression};
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::{Layer, Store};
use image_format::media_type;
use image_format::reference::Reference;

use crate::registry::{Access, Registries, RegistryError, Repository, TagOrDigest};
use blobs::Blobs;
pub use error::PushError;
use packers::Packers;
use plan::{Document, Item, Packed, Plan};

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// The compression of layers that are plain in the store.
    pub compression: Compression,
    /// Whether layers in another compression get this one too.
    pub force: bool,
}

impl Default for Packing {
    fn default() -> Self {
        Self {
            compression: Compression::Gzip(None),
            force: false,
        }
    }
}

/// What happens while an image goes. Blobs are numbered from 0.
#[derive(Clone, Copy, Debug)]
pub enum Pushing<'a> {
    /// These have to be there, as they are in the store.
    Blobs(&'a [Descriptor]),
    /// So many bytes of a layer have been read to be compressed.
    Packed {
        /// Which.
        blob: usize,
        /// The bytes, of those that the store has.
        bytes: u64,
    },
    /// So many bytes of a blob have been sent; they may become less when some are sent again.
    Sent {
        /// Which.
        blob: usize,
        /// The bytes.
        bytes: u64,
        /// All of them.
        of: u64,
    },
    /// A blob is there.
    Done {
        /// Which.
        blob: usize,
        /// How it came to be.
        how: Arrival<'a>,
    },
}

/// How a blob came to be in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// It was there.
    Present,
    /// It was taken over from this repository.
    Mounted(&'a str),
    /// It was sent.
    Sent,
}

/// Hears what happens while an image goes, from several threads.
pub type HearPushing<'a> = &'a (dyn Fn(Pushing<'_>) + Sync);

/// What was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// What the name now stands for in the registry.
    pub descriptor: Descriptor,
    /// The platform of the one manifest that was pushed of an index, where the store has not all of it.
    pub part: Option<String>,
}

/// Pushes images out of a store.
pub struct Push<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where to.
    pub registries: &'a Registries,
    /// How layers are compressed.
    pub packing: Packing,
    /// Hears what happens.
    pub hear: HearPushing<'a>,
    /// Ends it.
    pub cancel: &'a Cancel,
}

impl Push<'_> {
    /// Tries whether a name may be pushed to.
    ///
    /// # Errors
    /// When it may not, or the registry cannot be spoken to.
    pub fn check(&self, name: &Reference) -> Result<(), PushError> {
        let repository = self.repository(name)?;
        Ok(self.registries.wait(repository.check_push())?)
    }

    /// Pushes an image of the store, a manifest or an index, under a name. Of an index that is not whole in
    /// the store it is the manifest for this machine.
    ///
    /// # Errors
    /// When something of it is missing, the registry does not take it or cannot be spoken to. What was sent
    /// of it stays there for the next try, under no name.
    pub fn push(&self, image: &Descriptor, name: &Reference) -> Result<Pushed, PushError> {
        let repository = self.repository(name)?;
        let (image, part) = self.choose(image)?;
        let plan = Plan::new(self.store, &image, self.packing)?;
        let mut packed = plan.known(self.store, self.packing);
        let tag = TagOrDigest::of(name);
        if plan.is_known(&packed) {
            let mut documents = plan.documents(&packed)?;
            if let Some(root) = documents.pop() {
                let ready = self.put_known(&repository, &tag, &root);
                if self.registries.wait(ready)? {
                    let descriptor = root.descriptor;
                    return Ok(Pushed { descriptor, part });
                }
            }
        }
        self.send(&repository, name, &plan.items, &mut packed)?;
        let documents = plan.documents(&packed)?;
        let descriptor = self
            .registries
            .wait(put_all(&repository, &tag, documents))?;
        Ok(Pushed { descriptor, part })
    }

    /// Brings layers of the store to the repository of a name, for a manifest that is still to be made. Gives what
    /// they are there, in their order.
    ///
    /// # Errors
    /// As [`Push::push`].
    pub fn layers(&self, layers: &[Layer], name: &Reference) -> Result<Vec<Descriptor>, PushError> {
        let repository = self.repository(name)?;
        let Packing { compression, force } = self.packing;
        let item = |layer: &Layer| {
            let blob = layer.descriptor();
            let wanted = compression.is_wanted(&blob, &layer.diff_id, force);
            let packed = wanted.then_some(layer.diff_id);
            Item { blob, packed }
        };
        let items: Vec<Item> = layers.iter().map(item).collect();
        let mut packed: Packed = layers
            .iter()
            .filter_map(|layer| {
                let blob = layer.descriptor();
                let known = archive::known(self.store, &blob, &layer.diff_id, compression)?;
                Some((layer.diff_id, known))
            })
            .collect();
        self.send(&repository, name, &items, &mut packed)?;
        let there = items.into_iter().zip(layers);
        let there = there.map(|(item, layer)| match item.packed {
            Some(_) => packed.get(&layer.diff_id).cloned().unwrap_or(item.blob),
            None => item.blob,
        });
        Ok(there.collect())
    }

    fn repository(&self, name: &Reference) -> Result<Repository, PushError> {
        Ok(self
            .registries
            .repository(name, Access::Push, self.cancel)?)
    }

    /// The image, or the one manifest that can be pushed of it, and for what that is.
    fn choose(&self, image: &Descriptor) -> Result<(Descriptor, Option<String>), PushError> {
        if plan::is_whole(self.store, image)? {
            return Ok((image.clone(), None));
        }
        let found = self.store.image(image)?;
        let media_type = found.manifest.media_type.as_deref();
        let media_type = media_type.unwrap_or(media_type::OCI_MANIFEST);
        let config = &found.config;
        let part = match &config.variant {
            Some(variant) => format!("{}/{}/{variant}", config.os, config.architecture),
            None => format!("{}/{}", config.os, config.architecture),
        };
        let manifest = Descriptor::of(media_type, &found.manifest_bytes);
        Ok((manifest, Some(part)))
    }

    /// Whether the repository has the manifest, which then gets the name if it had not.
    async fn put_known(
        &self,
        repository: &Repository,
        tag: &TagOrDigest,
        root: &Document,
    ) -> Result<bool, PushError> {
        let digest = root.descriptor.digest;
        if named(repository, tag).await? == Some(digest) {
            return Ok(true);
        }
        let itself = TagOrDigest::Digest(digest);
        if named(repository, &itself).await?.is_none() {
            return Ok(false);
        }
        put(repository, tag, root).await?;
        Ok(true)
    }

    /// Brings all blobs to the repository, and notes what the layers are that were compressed for it.
    fn send(
        &self,
        repository: &Repository,
        name: &Reference,
        items: &[Item],
        packed: &mut Packed,
    ) -> Result<(), PushError> {
        let blobs: Vec<Descriptor> = items.iter().map(|item| item.blob.clone()).collect();
        (self.hear)(Pushing::Blobs(&blobs));
        let packers = Packers::new(self);
        let sent = thread::scope(|scope| {
            packers.start(scope)?;
            let blobs = Blobs {
                push: self,
                repository,
                name,
                packers: &packers,
                known: packed,
            };
            let sent = self.registries.wait(blobs.send(items));
            packers.close();
            sent
        })?;
        packed.extend(sent);
        Ok(())
    }
}

/// What a tag or digest stands for; `None` where there is no such manifest.
async fn named(
    repository: &Repository,
    which: &TagOrDigest,
) -> Result<Option<Digest>, RegistryError> {
    match repository.resolve(which).await {
        Ok(found) => Ok(Some(found.digest)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts the documents, of which the last gets the name.
async fn put_all(
    repository: &Repository,
    tag: &TagOrDigest,
    documents: Vec<Document>,
) -> Result<Descriptor, PushError> {
    let mut last = None;
    let count = documents.len();
    for (at, document) in documents.into_iter().enumerate() {
        let digest = document.descriptor.digest;
        match at + 1 == count {
            true => put(repository, tag, &document).await?,
            false => put(repository, &TagOrDigest::Digest(digest), &document).await?,
        }
        last = Some(document.descriptor);
    }
    match last {
        Some(descriptor) => Ok(descriptor),
        None => unreachable!("an image has a manifest"),
    }
}

async fn put(
    repository: &Repository,
    which: &TagOrDigest,
    document: &Document,
) -> Result<(), PushError> {
    let Document { descriptor, bytes } = document;
    let put = repository.put_manifest(which, &descriptor.media_type, bytes.clone());
    put.await?;
    Ok(())
}
