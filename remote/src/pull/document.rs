//! Manifests, indexes and configs on their way: kept in memory until the image is whole.

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::{LARGEST_DOCUMENT, Store, StoreError};
use serde::de::DeserializeOwned;

use super::PullError;
use crate::registry::{Repository, TagOrDigest};

/// The documents of an image.
#[derive(Default)]
pub(super) struct Documents(Vec<Vec<u8>>);

impl Documents {
    /// Keeps one for the store.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.push(bytes.to_owned());
    }

    /// Whether the store has them all.
    pub fn are_in(&self, store: &Store) -> Result<bool, StoreError> {
        for bytes in &self.0 {
            if store.blob_size(&Digest::of(bytes))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts them all into the store.
    pub fn put(&self, store: &Store) -> Result<Vec<Digest>, StoreError> {
        self.0.iter().map(|bytes| store.put_bytes(bytes)).collect()
    }
}

/// A manifest or an index: the store's, else the registry's.
pub(super) async fn manifest(
    store: &Store,
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, PullError> {
    if let Some(bytes) = here(store, descriptor)? {
        return Ok(bytes);
    }
    let manifest = repository
        .manifest(&TagOrDigest::Digest(descriptor.digest))
        .await?;
    Ok(manifest.bytes.into())
}

/// A config: the store's, else the registry's.
pub(super) async fn config(
    store: &Store,
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, PullError> {
    if let Some(bytes) = here(store, descriptor)? {
        return Ok(bytes);
    }
    let mut blob = repository.blob(descriptor);
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.next_chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A document of the store, if it is there and whole.
fn here(store: &Store, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, PullError> {
    let Descriptor { digest, size, .. } = *descriptor;
    if size > LARGEST_DOCUMENT {
        let limit = LARGEST_DOCUMENT;
        return Err(PullError::TooLarge {
            digest,
            size,
            limit,
        });
    }
    match store.blob_size(&digest)? {
        Some(_) => Ok(store.read_document(descriptor).ok()),
        None => Ok(None),
    }
}

/// Reads a document.
pub(super) fn parse<T: DeserializeOwned>(
    descriptor: &Descriptor,
    bytes: &[u8],
) -> Result<T, PullError> {
    let digest = descriptor.digest;
    serde_json::from_slice(bytes).map_err(|source| PullError::Document { digest, source })
}
