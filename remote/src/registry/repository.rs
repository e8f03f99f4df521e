//! A repository: what can be asked of a registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::reference::Reference;

use super::blob::Blob;
use super::connections::lock;
use super::error::RegistryError;
use super::mirrors::Places;
use super::scope::Scopes;
use super::session::{Begun, Session};
use super::upload::{Source, Upload};

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

    fn is_digest(&self) -> bool {
        matches!(self, Self::Digest(_))
    }

    /// As it stands in an address.
    pub(super) fn tail(&self) -> String {
        match self {
            Self::Tag(tag) => tag.clone(),
            Self::Digest(digest) => digest.to_string(),
        }
    }

    /// As it stands in a reference.
    pub(super) fn suffix(&self) -> String {
        match self {
            Self::Tag(tag) => format!(":{tag}"),
            Self::Digest(digest) => format!("@{digest}"),
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
pub struct Repository {
    places: Places,
    /// Uploads that were begun when a blob could not be mounted.
    begun: Arc<Mutex<HashMap<Digest, Session>>>,
}

impl Repository {
    pub(super) fn new(places: Places) -> Self {
        Self {
            places,
            begun: Arc::default(),
        }
    }

    /// What a tag or digest names, without fetching it where the registry can do that.
    ///
    /// # Errors
    /// When there is no such manifest, or the registry does not answer as it should.
    pub async fn resolve(&self, which: &TagOrDigest) -> Result<Descriptor, RegistryError> {
        let mut round = self.places.round(which.is_digest());
        loop {
            match round.place().resolve(which).await {
                Ok(Some(descriptor)) => return Ok(descriptor),
                Ok(None) => match round.place().manifest(which).await {
                    Ok(manifest) => return Ok(manifest.descriptor),
                    Err(error) => round.failed(error)?,
                },
                Err(error) => round.failed(error)?,
            }
        }
    }

    /// A manifest or an index, of at most 4 MiB.
    ///
    /// # Errors
    /// The same, and when its digest is wrong.
    pub async fn manifest(&self, which: &TagOrDigest) -> Result<Manifest, RegistryError> {
        let mut round = self.places.round(which.is_digest());
        loop {
            match round.place().manifest(which).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => round.failed(error)?,
            }
        }
    }

    /// Puts a manifest or an index, whose blobs and manifests are there already.
    ///
    /// # Errors
    /// When the registry refuses it, or says that it has another digest.
    pub async fn put_manifest(
        &self,
        which: &TagOrDigest,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, RegistryError> {
        let origin = self.places.origin();
        origin.put_manifest(which, media_type, bytes).await
    }

    /// Deletes a manifest, or a tag alone.
    ///
    /// # Errors
    /// When the registry refuses that, as many do.
    pub async fn delete_manifest(&self, which: &TagOrDigest) -> Result<(), RegistryError> {
        let origin = self.places.origin().scoped(&["delete"]);
        origin.delete_manifest(which).await
    }

    /// A blob, which begins to come with the first [`Blob::next_chunk`].
    #[must_use]
    pub fn blob(&self, descriptor: &Descriptor) -> Blob {
        Blob::new(self.places.round(true), descriptor)
    }

    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.places.origin().has_blob(digest).await
    }

    /// Takes a blob over from another repository of the same registry. `false` says that it has to be
    /// uploaded, for which that request may have been the first.
    ///
    /// # Errors
    /// When the registry cannot be spoken to, or does not let us push; what is wrong with the other
    /// repository is no error.
    pub async fn mount_blob(&self, digest: &Digest, from: &str) -> Result<bool, RegistryError> {
        let mut place = self.places.origin().clone();
        place.scopes = place.scopes.with(&Scopes::repository(from, &["pull"]));
        let what = format!("blob {digest} of {from}");
        match place.begin_upload(Some((digest, from)), &what).await {
            Ok(Begun::Mounted) => Ok(true),
            Ok(Begun::Session(session)) => {
                lock(&self.begun).insert(*digest, session);
                Ok(false)
            }
            Err(
                RegistryError::NotFound { .. }
                | RegistryError::Unauthorized { .. }
                | RegistryError::Forbidden { .. }
                | RegistryError::Refused { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads a blob whose digest and size in bytes are known. `progress` gets the bytes that were
    /// sent, which may become less when something is sent again.
    ///
    /// # Errors
    /// When the registry refuses it, or the source cannot be read or is not what it was said to be.
    pub async fn upload_blob<S: Source>(
        &self,
        digest: &Digest,
        size: u64,
        source: &S,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), RegistryError> {
        let begun = lock(&self.begun).remove(digest);
        let whole = Some((*digest, size));
        let upload = Upload::new(self.places.origin(), source, whole, begun, progress);
        upload.run().await.map(drop)
    }

    /// Uploads a blob whose digest and size are known only at its end, in chunks as it comes.
    ///
    /// # Errors
    /// The same.
    pub async fn upload_stream<S: Source>(
        &self,
        source: &S,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(Digest, u64), RegistryError> {
        let upload = Upload::new(self.places.origin(), source, None, None, progress);
        upload.run().await
    }

    /// Tries the right to push: begins an upload and cancels it.
    ///
    /// # Errors
    /// When there is no such right.
    pub async fn check_push(&self) -> Result<(), RegistryError> {
        let place = self.places.origin();
        let what = format!("right to push to {}", place.endpoint.repository);
        match place.begin_upload(None, &what).await? {
            Begun::Session(session) => place.cancel_upload(session, &what).await,
            Begun::Mounted => Ok(()),
        }
    }

    /// All tags.
    ///
    /// # Errors
    /// When the registry does not tell them, or tells too many.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let mut round = self.places.round(false);
        loop {
            match round.place().tags().await {
                Ok(tags) => return Ok(tags),
                Err(error) => round.failed(error)?,
            }
        }
    }

    /// The manifests whose subject this digest is, all or those of one artifact type. Mirrors are not
    /// asked, which may know less.
    ///
    /// # Errors
    /// When the registry does not tell them, or tells too many.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, RegistryError> {
        let origin = self.places.origin();
        origin.referrers(digest, artifact_type).await
    }
}
