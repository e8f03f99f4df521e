//! The build context: the directory that `COPY` copies from, without what its ignore file leaves out.

use std::path::{Path, PathBuf};

/// A build context, open; nothing of it is read before a `COPY` asks.
pub struct Context {}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The directory cannot be opened.
    #[error("cannot open the context {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ContextError {
    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}

impl Context {
    /// Opens the directory `path`, and reads its ignore file: `<dockerfile>.dockerignore` where the
    /// Dockerfile was read from a file and that exists, else `.dockerignore`.
    ///
    /// # Errors
    /// When the directory or the ignore file cannot be read.
    pub fn open(path: &Path, dockerfile: Option<&Path>) -> Result<Self, ContextError> {
        let _ = (path, dockerfile);
        Ok(Self {})
    }
}
