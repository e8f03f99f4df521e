//! Why an image was not pushed.

use std::io;

use image_format::archive::ArchiveError;
use image_format::digest::Digest;
use image_format::layout::StoreError;

use crate::registry::RegistryError;

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The registry did not do what it was asked for.
    #[error(transparent)]
    Registry(RegistryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer could not be compressed.
    #[error(transparent)]
    Archive(ArchiveError),
    /// A document is not what it is said to be.
    #[error("{digest} is not valid JSON of its kind")]
    Document {
        /// Which one.
        digest: Digest,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A blob is nowhere.
    #[error("the blob {blob} is neither in the store nor in the registry")]
    Missing {
        /// The blob.
        blob: Digest,
    },
    /// A list of lists of lists.
    #[error("the indexes of {0} are nested too deep")]
    Nesting(Digest),
    /// There can be no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl From<RegistryError> for PushError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Cancelled => Self::Cancelled,
            error => Self::Registry(error),
        }
    }
}

impl From<ArchiveError> for PushError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Cancelled => Self::Cancelled,
            ArchiveError::Store(error) => Self::Store(error),
            error => Self::Archive(error),
        }
    }
}

impl PushError {
    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Missing { .. } => Some("pull or load the image again, and push it then".into()),
            _ => None,
        }
    }
}
