//! Why an image did not come, and what to do.

use builder::remote::RemoteError;
use image_format::digest::Digest;
use image_format::layout::StoreError;
use image_format::reference::Reference;
use image_format::snapshot::SnapshotError;

use crate::registry::RegistryError;

/// Why an image did not come.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The registry did not give what it was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A document is not valid.
    #[error("{digest} is not valid JSON of its kind")]
    Document {
        /// Which one.
        digest: Digest,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A document is larger than any sound one.
    #[error("the document {digest} has {size} bytes, and {limit} is the most that is read")]
    TooLarge {
        /// Which one.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The most bytes that are read.
        limit: u64,
    },
    /// There is no image for the platform.
    #[error("there is none for {wanted}: it is for {}", .there.join(", "))]
    Platform {
        /// The platform.
        wanted: String,
        /// Those that there are.
        there: Vec<String>,
    },
    /// A layer's tar is not the one that the config names.
    #[error("the tar in the layer {layer} is not the one that the config names, {diff_id}")]
    DiffId {
        /// The layer.
        layer: Digest,
        /// What the config says of it.
        diff_id: Digest,
    },
    /// A layer cannot be read or unpacked.
    #[error("cannot unpack the layer {layer}")]
    Layer {
        /// The layer.
        layer: Digest,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There can be no snapshots.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A thread cannot be made.
    #[error("cannot start a thread for a layer")]
    Thread(#[source] std::io::Error),
}

impl PullError {
    /// Whether the registry has no such image, or does not show it.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_not_found())
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::Registry(RegistryError::Cancelled)
        )
    }

    /// The same, of an image.
    #[must_use]
    pub fn of(self, reference: &Reference) -> RemoteError {
        if self.is_cancelled() {
            return RemoteError::Cancelled;
        }
        let hint = self.hint();
        match self.is_not_found() {
            true => RemoteError::NoImage {
                name: reference.familiar(),
                registry: reference.registry().to_owned(),
                hint,
                source: Box::new(self),
            },
            false => RemoteError::Pull {
                name: reference.familiar(),
                hint,
                source: Box::new(self),
            },
        }
    }

    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::DiffId { .. } => Some(
                "the image is damaged where it comes from: whoever pushed it has to do so again"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
