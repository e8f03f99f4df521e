//! The mounts of a command, ready for it.

use std::path::PathBuf;
use std::sync::Arc;

use image_format::layer::apply::ApplyError;
use image_format::layout::{StoreError, TmpDir};
use image_format::nearest::nearest;
use image_format::snapshot::{Prepared, SnapshotError};

use crate::cache::CacheError;
use crate::cache::mounts::{CacheMountError, Held as HeldCache};
use crate::dockerfile::Span;
use crate::executor::StepMount;
use crate::request::Secret;
use crate::step::CopyError;

/// What of a command's mounts cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RunMountError {
    /// A secret that must be there was not given to the build.
    #[error("the build was given no secret {id:?}")]
    NoSecret {
        /// Its id.
        id: String,
        /// The ids there are.
        given: Vec<String>,
        /// The mount.
        span: Span,
    },
    /// A secret that no variable can hold.
    #[error("the secret {id:?} cannot be in a variable: it is not text")]
    NotText {
        /// Its id.
        id: String,
        /// The mount.
        span: Span,
    },
    /// More than a command's secrets may come to.
    #[error("the secrets of the command are {size} bytes, and {most} are the most")]
    SecretsTooLarge {
        /// What they come to.
        size: usize,
        /// The most that they may come to, in bytes.
        most: usize,
        /// The mount with which it is too much.
        span: Span,
    },
    /// An agent that must be there was not given to the build.
    #[error("the build was given no agent {id:?}")]
    NoAgent {
        /// Its id.
        id: String,
        /// The mount.
        span: Span,
    },
    /// The files of a bind cannot be had.
    #[error("cannot mount the files")]
    Files {
        /// Why not.
        source: Box<CopyError>,
        /// The mount.
        span: Span,
    },
    /// The directory of a cache cannot be had.
    #[error(transparent)]
    CacheMount(#[from] CacheMountError),
    /// A new cache cannot be filled with what it is to begin as.
    #[error("cannot fill the new cache {}", dir.display())]
    Fill {
        /// Its directory.
        dir: PathBuf,
        /// Why not.
        source: ApplyError,
    },
    /// What is to be mounted cannot be unpacked.
    #[error("cannot unpack what is to be mounted")]
    Unpack(#[from] Box<SnapshotError>),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunMountError {
    /// Where in the Dockerfile, if it is one mount.
    pub(super) fn span(&self) -> Option<Span> {
        match self {
            Self::NoSecret { span, .. }
            | Self::NotText { span, .. }
            | Self::SecretsTooLarge { span, .. }
            | Self::NoAgent { span, .. } => Some(*span),
            Self::Files { source, span } => source.span().or(Some(*span)),
            Self::CacheMount(_)
            | Self::Fill { .. }
            | Self::Unpack(_)
            | Self::Cache(_)
            | Self::Store(_) => None,
        }
    }

    /// What to do, where something better than the obvious is known.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NoSecret { id, given, .. } => Some(match nearest(id, given) {
                Some(near) => format!("did you mean {near:?}?"),
                None => {
                    format!("give it with --secret id={id},src=FILE or --secret id={id},env=NAME")
                }
            }),
            Self::NotText { .. } => Some("mount it as a file: leave `env` out".to_owned()),
            Self::NoAgent { id, .. } => Some(match id.as_str() {
                "default" => {
                    "give it with --ssh default, which is the agent of $SSH_AUTH_SOCK".to_owned()
                }
                id => format!("give it with --ssh {id}=SOCKET"),
            }),
            Self::Files { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// What a command gets mounted.
#[derive(Default)]
pub(crate) struct Mounted {
    /// In the order to mount them in.
    pub(crate) mounts: Vec<StepMount>,
    /// Variables whose values are secrets.
    pub(crate) secret_env: Vec<(String, Secret)>,
    /// Where the first agent's socket is.
    pub(crate) auth_sock: Option<String>,
    /// What must last until the command has ended.
    pub(crate) held: Held,
}

/// What must last as long as something is mounted.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) roots: Vec<Prepared>,
    pub(crate) caches: Vec<Arc<HeldCache>>,
    pub(crate) dirs: Vec<TmpDir>,
}
