//! Caches that machines share, in registries ([`builder::cache::shared`]).

use std::io::{self, Read};
use std::sync::Arc;

use builder::cache::shared::{Place, PlaceError};
use builder::cancel::Cancel;
use bytes::{Buf, Bytes};
use image_format::descriptor::{Descriptor, Platform};
use image_format::layout::{Layer, Store};
use image_format::manifest::Index;
use image_format::media_type;
use image_format::reference::Reference;

use crate::registry::{Access, Blob, Registries, RegistryError, Repository, TagOrDigest};

/// A cache in a registry, or in an image there.
pub struct RegistryCache {
    registries: Arc<Registries>,
    reference: Reference,
    name: String,
}

impl RegistryCache {
    /// What the reference names.
    #[must_use]
    pub fn new(registries: &Arc<Registries>, reference: &Reference) -> Self {
        let reference = reference.clone().with_default_tag();
        Self {
            registries: Arc::clone(registries),
            name: reference.to_string(),
            reference,
        }
    }

    fn repository(&self, access: Access, cancel: &Cancel) -> Result<Repository, RegistryError> {
        self.registries.repository(&self.reference, access, cancel)
    }

    /// The manifest; of an index the one for this machine, where it has one. Whatever else an index is, it is no
    /// cache of ours, which its reader tells.
    async fn fetch(&self, repository: &Repository) -> Result<Option<Bytes>, RegistryError> {
        let found = match repository.manifest(&TagOrDigest::of(&self.reference)).await {
            Err(error) if error.is_not_found() && self.reference.digest().is_none() => {
                return Ok(None);
            }
            found => found?,
        };
        if !media_type::is_index(&found.descriptor.media_type) {
            return Ok(Some(found.bytes));
        }
        let index = serde_json::from_slice::<Index>(&found.bytes);
        let manifests = index.map_or_else(|_| Vec::new(), |index| index.manifests);
        let host = Platform::host();
        let fits = |entry: &&Descriptor| {
            let platform = entry.platform.as_ref();
            platform.is_some_and(|platform| platform.runs(&host))
        };
        let Some(own) = manifests.iter().find(fits) else {
            return Ok(Some(found.bytes));
        };
        let own = repository
            .manifest(&TagOrDigest::Digest(own.digest))
            .await?;
        Ok(Some(own.bytes))
    }

    fn error(&self, action: &str) -> impl FnOnce(RegistryError) -> PlaceError + use<> {
        let message = format!("cannot {action} {}", self.name);
        move |error| match error {
            RegistryError::Cancelled => PlaceError::Cancelled,
            source => PlaceError::Remote {
                message,
                source: Box::new(source),
            },
        }
    }
}

impl Place for RegistryCache {
    fn name(&self) -> &str {
        &self.name
    }

    fn manifest(&self, cancel: &Cancel) -> Result<Option<Vec<u8>>, PlaceError> {
        let failed = self.error("read");
        let fetched = self.repository(Access::Pull, cancel);
        let fetched = fetched.and_then(|repository| self.registries.wait(self.fetch(&repository)));
        Ok(fetched.map_err(failed)?.map(Into::into))
    }

    fn blob(&self, blob: &Descriptor, cancel: &Cancel) -> Result<Box<dyn Read + Send>, PlaceError> {
        let repository = self.repository(Access::Pull, cancel);
        let repository = repository.map_err(self.error("read"))?;
        Ok(Box::new(BlobReader {
            blob: repository.blob(blob),
            registries: Arc::clone(&self.registries),
            chunk: Bytes::new(),
        }))
    }

    fn publish(
        &self,
        _store: &Store,
        _layers: &[Layer],
        _make: &dyn Fn(&[Descriptor], Option<&[u8]>) -> Vec<u8>,
        _cancel: &Cancel,
    ) -> Result<(), PlaceError> {
        Err(self.error("write")(RegistryError::Unsupported("pushing")))
    }
}

/// A blob as it comes.
struct BlobReader {
    blob: Blob,
    registries: Arc<Registries>,
    /// What has come and is not yet read.
    chunk: Bytes,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let next = self.registries.wait(self.blob.next_chunk());
            match next.map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
