//! Caches that machines share, in registries ([`builder::cache::shared`]).

use std::io::{self, Read};
use std::sync::Arc;

use builder::cache::shared::document::EMPTY;
use builder::cache::shared::{Place, PlaceError};
use builder::cancel::Cancel;
use bytes::{Buf, Bytes};
use image_format::descriptor::{Descriptor, Platform};
use image_format::digest::Digest;
use image_format::layout::{Layer, Store};
use image_format::manifest::Index;
use image_format::media_type::{self, OCI_MANIFEST};
use image_format::reference::Reference;

use crate::push::{Packing, Push, PushError};
use crate::registry::{Access, Blob, RegistryError, Repository, Source, TagOrDigest};
use crate::supply::Way;

/// As often an export is merged with what others put there meanwhile.
const MOST_TRIES: usize = 3;

/// A cache in a registry, or in an image there.
pub struct RegistryCache {
    way: Arc<Way>,
    reference: Reference,
    name: String,
    packing: Packing,
}

impl RegistryCache {
    /// What the reference names.
    #[must_use]
    pub fn new(way: &Arc<Way>, reference: &Reference) -> Self {
        let reference = reference.clone().with_default_tag();
        Self {
            way: Arc::clone(way),
            name: reference.to_string(),
            packing: Packing::default(),
            reference,
        }
    }

    fn repository(&self, access: Access, cancel: &Cancel) -> Result<Repository, RegistryError> {
        let registries = self.way.registries()?;
        registries.repository(&self.reference, access, cancel)
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

    /// Puts the manifest that `make` makes of the one that is there. A registry has no lock: where somebody else puts
    /// another one meanwhile, it is done again, and what is lost then is found missing and exported another time.
    async fn put(
        &self,
        repository: &Repository,
        make: &dyn Fn(Option<&[u8]>) -> Vec<u8>,
    ) -> Result<(), RegistryError> {
        let config = Digest::of(EMPTY);
        if !repository.has_blob(&config).await? {
            let size = EMPTY.len() as u64;
            let source = Bytes::from_static(EMPTY);
            repository
                .upload_blob(&config, size, &Whole(source), &mut |_| {})
                .await?;
        }
        let tag = TagOrDigest::of(&self.reference);
        for _ in 0..MOST_TRIES {
            let before = self.fetch(repository).await?;
            let mut manifest = Bytes::from(make(before.as_deref()));
            let put = repository.put_manifest(&tag, OCI_MANIFEST, manifest.clone());
            match put.await {
                // The registry may have lost what earlier exports brought.
                Err(RegistryError::Cancelled) => return Err(RegistryError::Cancelled),
                Err(_) if before.is_some() => {
                    manifest = Bytes::from(make(None));
                    let put = repository.put_manifest(&tag, OCI_MANIFEST, manifest.clone());
                    put.await?;
                }
                put => drop(put?),
            }
            if repository.resolve(&tag).await?.digest == Digest::of(&manifest) {
                break;
            }
        }
        Ok(())
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
        let fetch = || {
            let repository = self.repository(Access::Pull, cancel)?;
            self.way.registries()?.wait(self.fetch(&repository))
        };
        Ok(fetch().map_err(failed)?.map(Into::into))
    }

    fn blob(&self, blob: &Descriptor, cancel: &Cancel) -> Result<Box<dyn Read + Send>, PlaceError> {
        let repository = self.repository(Access::Pull, cancel);
        let repository = repository.map_err(self.error("read"))?;
        Ok(Box::new(BlobReader {
            blob: repository.blob(blob),
            way: Arc::clone(&self.way),
            chunk: Bytes::new(),
        }))
    }

    fn publish(
        &self,
        store: &Store,
        layers: &[Layer],
        make: &dyn Fn(&[Descriptor], Option<&[u8]>) -> Vec<u8>,
        cancel: &Cancel,
    ) -> Result<(), PlaceError> {
        let push = || {
            let push = Push {
                store,
                registries: self.way.registries()?,
                packing: self.packing,
                hear: &|_| {},
                cancel,
            };
            push.layers(layers, &self.reference)
        };
        let blobs = push().map_err(|error| match error {
            PushError::Registry(RegistryError::Cancelled) => PlaceError::Cancelled,
            source => PlaceError::Remote {
                message: format!("cannot write {}", self.name),
                source: Box::new(source),
            },
        })?;
        let put = || {
            let repository = self.repository(Access::Push, cancel)?;
            let make = |before: Option<&[u8]>| make(&blobs, before);
            let put = self.put(&repository, &make);
            self.way.registries()?.wait(put)
        };
        put().map_err(self.error("write"))
    }
}

/// A blob as it comes.
struct BlobReader {
    blob: Blob,
    way: Arc<Way>,
    /// What has come and is not yet read.
    chunk: Bytes,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let registries = self.way.registries().map_err(io::Error::other)?;
            match registries
                .wait(self.blob.next_chunk())
                .map_err(io::Error::other)?
            {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// A blob that is at hand.
struct Whole(Bytes);

impl Source for Whole {
    async fn read_at(&self, offset: u64) -> io::Result<Bytes> {
        let at = usize::try_from(offset).map_or(self.0.len(), |at| at.min(self.0.len()));
        Ok(self.0.slice(at..))
    }
}
