//! Two trees to tar: what turns the old one into the new one.

use std::io::Write;
use std::path::Path;

use super::entry::Timestamp;
use super::pack::{PackError, pack_difference};

/// Packs what differs between two trees, with whiteouts; `None` where nothing does.
///
/// Contents are compared where size and metadata are equal. Times after the epoch are equal, and of a
/// directory, whose time changes with what is in it, one after the epoch is no difference.
///
/// # Errors
/// As [`super::pack::pack_tree`].
pub fn diff<W: Write>(
    old: &Path,
    new: &Path,
    out: W,
    epoch: Timestamp,
) -> Result<Option<W>, PackError> {
    pack_difference(old, new, out, epoch, false)
}
