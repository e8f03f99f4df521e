//! Tree to tar: packs a whole tree, or what an overlay's upper directory took.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::entry::Timestamp;
use super::whiteout::XattrNamespace;
use super::write::WriteError;

/// Why a tree cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The layer cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An operation on a file in the tree failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `read`.
        action: &'static str,
        /// The entry, relative to the root of the tree.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Packs all that is in `dir`, its own metadata as those of the root included.
///
/// # Errors
/// When something in it cannot be in a layer, or reading or writing fails.
pub fn pack_tree<W: Write>(dir: &Path, out: W, epoch: Timestamp) -> Result<W, PackError> {
    let _ = (dir, epoch);
    Ok(out)
}

/// Packs what an overlay's upper directory took, with whiteouts; `None` where it took nothing that
/// differs from the layers below. The upper directory is put to what the layer says.
///
/// # Errors
/// As [`pack_tree`].
pub fn pack_upper<W: Write>(
    upper: &Path,
    lowers: &[PathBuf],
    xattrs: XattrNamespace,
    out: W,
    epoch: Timestamp,
) -> Result<Option<W>, PackError> {
    let _ = (upper, lowers, xattrs, out, epoch);
    Ok(None)
}
