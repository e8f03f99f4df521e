//! A repository: what can be asked of a registry.

use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::reference::Reference;

use super::error::RegistryError;
use super::upload::Source;

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TagOrDigest {
    /// A tag, which may name another manifest tomorrow.
    Tag(String),
    /// The digest of the manifest.
    Digest(Digest),
}

impl TagOrDigest {
    /// What a reference names: its digest, else its tag, else `latest`.
    #[must_use]
    pub fn of(reference: &Reference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Self::Digest(digest),
            (None, tag) => Self::Tag(tag.unwrap_or("latest").to_owned()),
        }
    }
}

/// A manifest or an index, as it came; its digest is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its media type, digest and size.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What came of putting a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// The digest of the manifest.
    pub digest: Digest,
    /// Whether the registry has noted its `subject`. If not, the referrers' tag has to be written.
    pub subject_is_noted: bool,
}

/// Manifests whose subject another manifest is.
#[derive(Clone, Debug, PartialEq)]
pub struct Referrers {
    /// Them.
    pub descriptors: Vec<Descriptor>,
    /// Whether they come from the tag that stands in for a registry that has no such list.
    pub from_tag: bool,
}

/// A repository in a registry. A clone is the same; its requests may go side by side.
#[derive(Clone)]
pub struct Repository {}

impl Repository {
    /// What a tag or digest names, without fetching it.
    ///
    /// # Errors
    /// When there is no such manifest, or the registry does not answer as it should.
    pub async fn resolve(&self, _which: &TagOrDigest) -> Result<Descriptor, RegistryError> {
        Err(RegistryError::Unsupported("resolving"))
    }

    /// A manifest or an index, of at most 4 MiB.
    ///
    /// # Errors
    /// The same, and when its digest is wrong.
    pub async fn manifest(&self, _which: &TagOrDigest) -> Result<Manifest, RegistryError> {
        Err(RegistryError::Unsupported("pulling"))
    }

    /// Puts a manifest or an index, whose blobs and manifests are there already.
    ///
    /// # Errors
    /// When the registry refuses it, or says that it has another digest.
    pub async fn put_manifest(
        &self,
        _which: &TagOrDigest,
        _media_type: &str,
        _bytes: Bytes,
    ) -> Result<Put, RegistryError> {
        Err(RegistryError::Unsupported("pushing"))
    }

    /// Deletes a manifest, or a tag alone.
    ///
    /// # Errors
    /// When the registry refuses that, as many do.
    pub async fn delete_manifest(&self, _which: &TagOrDigest) -> Result<(), RegistryError> {
        Err(RegistryError::Unsupported("deleting"))
    }

    /// A blob, which begins to come with the first [`Blob::next_chunk`].
    #[must_use]
    pub fn blob(&self, _descriptor: &Descriptor) -> Blob {
        Blob {}
    }

    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn has_blob(&self, _digest: &Digest) -> Result<bool, RegistryError> {
        Err(RegistryError::Unsupported("pushing"))
    }

    /// Takes a blob over from another repository of the same registry. `false` says that it has to be
    /// uploaded.
    ///
    /// # Errors
    /// When the registry cannot be spoken to; what is wrong with the other repository is no error.
    pub async fn mount_blob(&self, _digest: &Digest, _from: &str) -> Result<bool, RegistryError> {
        Err(RegistryError::Unsupported("pushing"))
    }

    /// Uploads a blob whose digest and size in bytes are known. `progress` gets the bytes that were
    /// sent, which may become less when something is sent again.
    ///
    /// # Errors
    /// When the registry refuses it, or the source cannot be read or is not what it was said to be.
    pub async fn upload_blob<S: Source>(
        &self,
        _digest: &Digest,
        _size: u64,
        _source: &S,
        _progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), RegistryError> {
        Err(RegistryError::Unsupported("pushing"))
    }

    /// Uploads a blob whose digest and size are known only at its end, in chunks as it comes.
    ///
    /// # Errors
    /// The same.
    pub async fn upload_stream<S: Source>(
        &self,
        _source: &S,
        _progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(Digest, u64), RegistryError> {
        Err(RegistryError::Unsupported("pushing"))
    }

    /// Tries the right to push: begins an upload and cancels it.
    ///
    /// # Errors
    /// When there is no such right.
    pub async fn check_push(&self) -> Result<(), RegistryError> {
        Err(RegistryError::Unsupported("pushing"))
    }

    /// All tags.
    ///
    /// # Errors
    /// When the registry does not tell them, or tells too many.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        Err(RegistryError::Unsupported("listing tags"))
    }

    /// The manifests whose subject this digest is, all or those of one artifact type.
    ///
    /// # Errors
    /// When the registry does not tell them, or tells too many.
    pub async fn referrers(
        &self,
        _digest: &Digest,
        _artifact_type: Option<&str>,
    ) -> Result<Referrers, RegistryError> {
        Err(RegistryError::Unsupported("listing referrers"))
    }
}

/// A blob that comes in chunks, from where it broke when it breaks.
pub struct Blob {}

impl Blob {
    /// The next bytes; `None` after the last. The last chunk is given only when size and digest of the
    /// whole are right, so whoever has seen `None` has the blob.
    ///
    /// # Errors
    /// When it cannot be had, or is not what its descriptor says: see
    /// [`RegistryError::is_wrong_content`].
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        Err(RegistryError::Unsupported("pulling"))
    }
}
