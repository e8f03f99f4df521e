//! One entry of a layer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A point in time, as seconds and nanoseconds after (or before) 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded down: half a second before 1970 is second -1.
    pub secs: i64,
    /// Nanoseconds after that second, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// 1980-01-01: the epoch where none is given (0 breaks zip), and the time of directories that
    /// a layer only implies.
    pub const DEFAULT_EPOCH: Self = Self::from_secs(315_532_800);

    /// The start of this second.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self { secs, nanos: 0 }
    }
}

/// What every kind of entry has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permissions with set-user-ID, set-group-ID and sticky: the lower 12 bits. Always 0777 for a
    /// symbolic link that was read.
    pub mode: u32,
    /// The owner, as the image sees it.
    pub uid: u32,
    /// The group, as the image sees it.
    pub gid: u32,
    /// The time of the last change of the content.
    pub mtime: Timestamp,
    /// Extended attributes by their full name (`user.x`, `security.capability`).
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
}

impl Meta {
    /// The metadata of a directory that no layer describes, as entries in it imply it.
    #[must_use]
    pub fn implied_dir() -> Self {
        Self {
            mode: 0o755,
            mtime: Timestamp::DEFAULT_EPOCH,
            ..Self::default()
        }
    }

    /// The metadata of an image's root. Docker, containerd and podman take none of a layer, so that an
    /// image made of somebody's private directory can be used by everybody in it; here its time counts.
    #[must_use]
    pub fn root(mtime: Timestamp) -> Self {
        Self {
            mtime,
            ..Self::implied_dir()
        }
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of so many bytes.
    File {
        /// The length of its content in bytes.
        size: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link, with its target as it is written.
    Symlink(Vec<u8>),
    /// Another name of a file of an earlier entry, or of a lower layer.
    Hardlink(PathBuf),
    /// A character device, major and minor.
    Char(u32, u32),
    /// A block device, major and minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root of the image, without `.` or `..`; empty for the root itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its metadata.
    pub meta: Meta,
}

/// The order of a layer's entries: by path component, bytewise; a directory before what is in it.
#[must_use]
pub fn path_order(a: &[u8], b: &[u8]) -> Ordering {
    // No name holds NUL, so that it may stand for the separator, which has to come first.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// The most directories in one another.
pub(super) const DEEPEST: usize = 4096;
/// The most symbolic links on the way to a file: as many as the kernel follows.
pub(super) const MOST_SYMLINKS: usize = 40;

/// The directory and the name of a path, as text.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_component() {
        let mut paths = ["a-b", "a/b", "a", "b", "a/b/c", "a.b", ""];
        paths.sort_by(|a, b| path_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a-b", "a.b", "b"]);
    }
}
