//! Why a layer cannot be unpacked.

use std::io;
use std::path::{Path, PathBuf};

use crate::layer::read::ReadError;

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The tar is malformed or hostile.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An operation on a file in the target failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `make`.
        action: &'static str,
        /// The entry, relative to the root of the image.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file system did not take an extended attribute.
    #[error("cannot set the extended attribute {name} of {}", path.display())]
    Xattr {
        /// The attribute.
        name: String,
        /// The entry, relative to the root of the image.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The entry cannot be in an image.
    #[error("cannot unpack {}: {reason}", path.display())]
    Refused {
        /// The entry, relative to the root of the image.
        path: PathBuf,
        /// Why not.
        reason: Refusal,
    },
}

/// Why an entry cannot be in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `.wh.` and nothing that could be gone.
    #[error("a whiteout of no file, or a name that is reserved for whiteouts")]
    Whiteout,
    /// A device that overlayfs would take for a whiteout.
    #[error("a character device 0/0 would read as a whiteout")]
    Device,
    /// An entry for the root that is no directory.
    #[error("only a directory can be the root of an image")]
    Root,
    /// What its path leads through exists and is no directory.
    #[error("what it lies in is not a directory")]
    NotInDir,
    /// The target of a hard link is neither in this layer, before it, nor in one below.
    #[error("it is a hard link to a file that is not there")]
    LinkTarget,
    /// The target of a hard link is a directory.
    #[error("it is a hard link to a directory")]
    LinkToDir,
    /// Symbolic links that lead in a circle, or nearly so.
    #[error("the way to it goes through more than 40 symbolic links")]
    Symlinks,
    /// Too many directories in one another.
    #[error("it lies more than {} directories deep", crate::layer::entry::DEEPEST)]
    Depth,
}

/// An error that does not know the entry yet.
#[derive(Debug)]
pub(super) enum Fault {
    Io(&'static str, io::Error),
    Xattr(String, io::Error),
    Refused(Refusal),
}

impl Fault {
    pub fn at(self, path: &Path) -> ApplyError {
        let path = if path.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            path.to_owned()
        };
        match self {
            Self::Io(action, source) => ApplyError::Io {
                action,
                path,
                source,
            },
            Self::Xattr(name, source) => ApplyError::Xattr { name, path, source },
            Self::Refused(reason) => ApplyError::Refused { path, reason },
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Wraps the failure of an operation, said as in `make`.
pub(super) fn failed<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Fault {
    move |error| Fault::Io(action, error.into())
}
