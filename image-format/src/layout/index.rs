//! `index.json`: the names of the images.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Image, Store, StoreError, io_error, replace};
use crate::descriptor::{Descriptor, IMAGE_NAME, REF_NAME};
use crate::digest::Digest;
use crate::manifest::Index;
use crate::reference::Reference;

const INDEX: &str = "index.json";
/// The most bytes of `index.json` that are read: some 100,000 images.
const LARGEST_INDEX: u64 = 64 << 20;

/// What the removal of a name did.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// The names that are gone.
    pub untagged: Vec<Reference>,
    /// The manifest that nothing names any more.
    pub deleted: Option<Digest>,
}

pub(super) fn initialise(root: &Path, tmp: &Path) -> Result<(), StoreError> {
    if root.join(INDEX).exists() {
        return Ok(());
    }
    write(root, &Index::default(), tmp)
}

fn write(root: &Path, index: &Index, tmp: &Path) -> Result<(), StoreError> {
    let what = || INDEX.to_owned();
    let bytes = serde_json::to_vec(index).map_err(|source| StoreError::Document {
        what: what(),
        source,
    })?;
    replace(root, INDEX, &bytes, tmp)
}

/// The name that a descriptor in an index carries.
#[must_use]
pub fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let annotations = &descriptor.annotations;
    let name = annotations
        .get(IMAGE_NAME)
        .or_else(|| annotations.get(REF_NAME))?;
    Some(name.parse::<Reference>().ok()?.with_default_tag())
}

fn named(mut descriptor: Descriptor, name: &Reference) -> Descriptor {
    let annotations = &mut descriptor.annotations;
    annotations.insert(REF_NAME.to_owned(), name.familiar());
    annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
    descriptor
}

fn unnamed(mut descriptor: Descriptor) -> Descriptor {
    descriptor.annotations.remove(REF_NAME);
    descriptor.annotations.remove(IMAGE_NAME);
    descriptor
}

impl Store {
    /// The index as it stands.
    ///
    /// # Errors
    /// When it cannot be read, or is not an index.
    pub fn index(&self) -> Result<Index, StoreError> {
        let path = self.root().join(INDEX);
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(LARGEST_INDEX).read_to_end(&mut bytes))
            .map_err(io_error("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|source| StoreError::Document {
            what: path.display().to_string(),
            source,
        })
    }

    /// Gives an image a name, which it takes from the image that had it. That one stays, without a
    /// name if it had no other. The caller has made all that the image names durable.
    ///
    /// # Errors
    /// When the index cannot be changed; it is as it was then.
    pub fn tag(&self, name: &Reference, image: &Descriptor) -> Result<(), StoreError> {
        let name = &name.clone().with_default_tag();
        self.change_index(|index| {
            let entries = std::mem::take(&mut index.manifests);
            let (mut had, others): (Vec<_>, Vec<_>) = entries
                .into_iter()
                .partition(|entry| name_of(entry).as_ref() == Some(name));
            index.manifests = others;
            had.retain(|entry| entry.digest != image.digest);
            for entry in had {
                add(index, unnamed(entry));
            }
            add(index, named(image.clone(), name));
        })
    }

    /// Keeps an image that has no name.
    ///
    /// # Errors
    /// When the index cannot be changed; it is as it was then.
    pub fn keep(&self, image: &Descriptor) -> Result<(), StoreError> {
        self.change_index(|index| add(index, unnamed(image.clone())))
    }

    /// Removes a name; or, given an ID, the image with all its names. Blobs stay until garbage is
    /// collected.
    ///
    /// # Errors
    /// When no image is named so.
    pub fn remove(&self, name: &str) -> Result<Removed, StoreError> {
        let image = self.resolve(name)?;
        let mut removed = Removed {
            untagged: Vec::new(),
            deleted: None,
        };
        let digest = image.descriptor.digest;
        self.change_index(|index| {
            index.manifests.retain(|entry| {
                let found = name_of(entry);
                let gone = entry.digest == digest
                    && (image.reference.is_none() || image.reference == found);
                if gone {
                    removed.untagged.extend(found);
                }
                !gone
            });
            if !index.manifests.iter().any(|entry| entry.digest == digest) {
                removed.deleted = Some(digest);
            }
        })?;
        Ok(removed)
    }

    /// All images, in the order in which they were named.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn images(&self) -> Result<Vec<Image>, StoreError> {
        self.index()?
            .manifests
            .iter()
            .map(|entry| self.image(entry))
            .collect()
    }

    fn change_index(&self, change: impl FnOnce(&mut Index)) -> Result<(), StoreError> {
        let path = self.root().join("index.lock");
        let lock = || -> io::Result<File> {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        let _lock = lock().map_err(io_error("lock", &path))?;
        let mut index = self.index()?;
        change(&mut index);
        write(self.root(), &index, self.0.tmp.path()?)
    }
}

/// Adds an entry; one without a name only where the image has no other.
fn add(index: &mut Index, entry: Descriptor) {
    let same = |other: &Descriptor| other.digest == entry.digest;
    if name_of(&entry).is_some() {
        index
            .manifests
            .retain(|other| !(same(other) && name_of(other).is_none()));
    } else if index.manifests.iter().any(same) {
        return;
    }
    index.manifests.push(entry);
}
