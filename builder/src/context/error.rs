//! Why a context cannot be used.

use std::io;
use std::path::PathBuf;

use crate::glob::GlobError;
use crate::ignore::IgnoreError;

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The directory cannot be opened.
    #[error("cannot open the context {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ignore file has a pattern that cannot be used.
    #[error("{}: {source}", file.display())]
    Ignore {
        /// The ignore file.
        file: PathBuf,
        /// Which line, and why.
        source: IgnoreError,
    },
    /// A source is not a valid pattern.
    #[error(transparent)]
    Pattern(#[from] GlobError),
    /// Something of the context cannot be read.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A source is not there.
    #[error("{name:?} is not in the build context")]
    Missing {
        /// The source.
        name: String,
        /// What is there and was probably meant.
        nearest: Option<String>,
    },
    /// A source is there, and the ignore file leaves it out.
    #[error("{name:?} is left out of the build context by line {line} of {file}")]
    Excluded {
        /// The source.
        name: String,
        /// The ignore file.
        file: String,
        /// The line of its last pattern that applied, from 1.
        line: usize,
    },
    /// Links that lead to each other.
    #[error("{name:?} in the build context leads through too many symbolic links")]
    Loop {
        /// The source.
        name: String,
    },
    /// Directories nested deeper than is walked.
    #[error("{}: the directories are nested too deep", path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
    },
    /// An image has no way to hold a socket.
    #[error("{} is a socket, which no image can hold", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
    },
    /// A file is not what it was a moment ago.
    #[error("{} was changed while it was copied", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl ContextError {
    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean {nearest:?}?")),
            Self::Excluded { file, line, .. } => Some(format!(
                "change line {line} of {file}, or let the file in by a later line that starts with `!`"
            )),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
                "make it readable for the user who builds, or leave it out by .dockerignore"
                    .to_owned(),
            ),
            Self::Socket { .. } => Some("leave it out by .dockerignore, or remove it".to_owned()),
            Self::Changed { .. } => {
                Some("build again when nothing writes to the context".to_owned())
            }
            _ => None,
        }
    }
}
