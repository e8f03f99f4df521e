//! Everything a command can fail with, still typed. `diagnostic` words it.

use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing says where the store is to be.
    #[error(
        "no place for the store: neither --root nor $MKIMG_ROOT, $XDG_DATA_HOME or $HOME is set"
    )]
    NoStoreRoot,
    /// A file that a command names could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was to be done: `read`, `write`, `open`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The reader of standard output went away.
    #[error("standard output was closed")]
    ReaderGone,
}
