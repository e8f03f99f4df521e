//! Tree to tar: packs a whole tree, or what an overlay's upper directory took.
//!
//! Of files with several names the first in the layer's order is the file, and the others are links
//! to it. Sockets are left out, as docker leaves them out: they mean nothing without the process
//! that listens. Holes are written as zeros, and not read.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::entry::Timestamp;
use super::whiteout::XattrNamespace;
use super::write::{LayerWriter, WriteError};

mod below;
mod content;
mod inode;
mod list;
mod settle;
#[cfg(test)]
mod tests;
mod walk;

use below::Below;
use walk::{Source, Walk};

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
    /// The upper directory was mounted with options that leave names or contents elsewhere.
    #[error("{}: has the attribute {mark}, so it is not whole: overlayfs must be mounted with redirect_dir=off,metacopy=off", path.display())]
    Elsewhere {
        /// The entry, relative to the root of the tree.
        path: PathBuf,
        /// The attribute.
        mark: &'static str,
    },
    /// A device that would be taken for a whiteout.
    #[error("{}: a layer cannot hold the character device 0/0", .0.display())]
    Device(PathBuf),
    /// The trees below cannot be opened.
    #[error("cannot open the layers below")]
    Below(#[source] io::Error),
}

/// Packs all that is in `dir`. The root of an image is root's and for all to see, whatever `dir` is.
///
/// # Errors
/// When something in it cannot be in a layer, or reading or writing fails.
pub fn pack_tree<W: Write>(dir: &Path, out: W, epoch: Timestamp) -> Result<W, PackError> {
    let below = Below::nothing();
    let walk = Walk::new(dir, Source::Whole, &below, out, epoch)?;
    Ok(walk.run_whole()?.finish()?)
}

/// Packs several trees into one archive, each below the name it is given here; the root of each is
/// root's and for all to see. The caller sorts by name.
///
/// # Errors
/// As [`pack_tree`].
pub fn pack_trees<'a, W: Write>(
    trees: impl IntoIterator<Item = (&'a Path, &'a Path)>,
    out: W,
    epoch: Timestamp,
) -> Result<W, PackError> {
    let below = Below::nothing();
    let mut writer = LayerWriter::new(out, epoch);
    for (name, dir) in trees {
        let walk = Walk::under(name.into(), dir, Source::Whole, &below, writer, epoch)?;
        writer = walk.run_whole()?;
    }
    Ok(writer.finish()?)
}

/// Packs what an overlay's upper directory took, with whiteouts; `None` where it took nothing that
/// differs from the layers below (`lowers`, topmost first).
///
/// The upper directory is put to what the layer says: no time is after the epoch, sockets are gone,
/// and so is what was copied up and is as it was. A directory's time after the epoch is no
/// difference. The root is an entry only if its time
/// differs, and is put to what the root of every image is.
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
    let below = Below::open(lowers, Some(xattrs)).map_err(PackError::Below)?;
    Walk::new(upper, Source::Upper(xattrs), &below, out, epoch)?.run()
}

/// Packs what differs between two trees; if `settle`, the new one is put to what the layer says.
pub(crate) fn pack_difference<W: Write>(
    old: &Path,
    new: &Path,
    out: W,
    epoch: Timestamp,
    settle: bool,
) -> Result<Option<W>, PackError> {
    let below = Below::open(&[old.to_owned()], None).map_err(PackError::Below)?;
    Walk::new(new, Source::New { settle }, &below, out, epoch)?.run()
}
