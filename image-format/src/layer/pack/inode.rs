//! One entry of a tree as a layer has it: its kind, its metadata, its extended attributes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags, openat, statx};
use rustix::io::Errno;

use crate::layer::entry::{Kind, Meta, Timestamp};
use crate::layer::whiteout::{self, XattrNamespace};

/// The longest list of names, and the longest value, that Linux has (`limits.h`: XATTR_LIST_MAX,
/// XATTR_SIZE_MAX), in bytes.
const LONGEST_XATTR: usize = 64 << 10;

/// What tells files apart: device and inode.
pub(super) type Id = (u32, u32, u64);

/// An entry of a tree, open if it is a file or a directory.
pub(super) struct Inode {
    pub stat: Statx,
    pub kind: Kind,
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    /// The names of attributes that are not part of an image.
    pub marks: Vec<OsString>,
    pub file: Option<OwnedFd>,
}

/// The metadata of `path`, following no link in its last component.
pub(super) fn stat(at: BorrowedFd<'_>, path: &Path) -> io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(statx(at, path, flags, StatxFlags::BASIC_STATS)?)
}

pub(super) fn file_type(stat: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(stat.stx_mode))
}

pub(super) fn id(stat: &Statx) -> Id {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
}

pub(super) fn mtime(stat: &Statx) -> Timestamp {
    Timestamp {
        secs: stat.stx_mtime.tv_sec,
        nanos: stat.stx_mtime.tv_nsec,
    }
}

/// Whether this is how overlayfs marks what is gone.
pub(super) fn is_whiteout(stat: &Statx) -> bool {
    file_type(stat) == FileType::CharacterDevice
        && (stat.stx_rdev_major, stat.stx_rdev_minor) == (0, 0)
}

impl Inode {
    /// Reads what is known to be of type `expected`.
    pub fn read(at: BorrowedFd<'_>, path: &Path, expected: FileType) -> io::Result<Self> {
        let file = match expected {
            FileType::RegularFile | FileType::Directory => Some(open(at, path, expected)?),
            _ => None,
        };
        let stat = match &file {
            Some(file) => statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?,
            None => stat(at, path)?,
        };
        if file_type(&stat) != expected {
            return Err(changed());
        }
        let kind = kind(at, path, &stat)?;
        let mut inode = Self {
            stat,
            kind,
            xattrs: BTreeMap::new(),
            marks: Vec::new(),
            file,
        };
        inode.read_xattrs(at, path)?;
        Ok(inode)
    }

    pub fn meta(&self) -> Meta {
        Meta {
            mode: u32::from(self.stat.stx_mode) & 0o7777,
            uid: self.stat.stx_uid,
            gid: self.stat.stx_gid,
            mtime: mtime(&self.stat),
            xattrs: self.xattrs.clone(),
        }
    }

    pub fn is_marked(&self, mark: &str) -> bool {
        self.marks.iter().any(|found| found == mark)
    }

    /// Whether this directory hides what is below it.
    pub fn is_opaque(&self, namespace: XattrNamespace) -> io::Result<bool> {
        match &self.file {
            Some(dir) if self.is_marked(namespace.opaque()) => is_opaque(dir.as_fd(), namespace),
            _ => Ok(false),
        }
    }

    fn read_xattrs(&mut self, at: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        let mut buffer = Vec::new();
        // No call takes a directory and a name, and none an fd that was opened as a path only.
        let by_path = PathBuf::from(format!("/proc/self/fd/{}", at.as_raw_fd())).join(path);
        let length = match &self.file {
            Some(file) => rustix::fs::flistxattr_query(file),
            None => rustix::fs::llistxattr_query(&by_path),
        };
        match length {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Ok(_) => buffer.resize(LONGEST_XATTR, 0),
            Err(error) => return Err(error.into()),
        }
        let length = match &self.file {
            Some(file) => rustix::fs::flistxattr(file, buffer.as_mut_slice())?,
            None => rustix::fs::llistxattr(&by_path, buffer.as_mut_slice())?,
        };
        let names = buffer[..length].split(|byte| *byte == 0);
        let names: Vec<OsString> = names
            .filter(|name| !name.is_empty())
            .map(|name| OsStr::from_bytes(name).to_owned())
            .collect();
        for name in names {
            if !whiteout::is_carried(&name) {
                self.marks.push(name);
                continue;
            }
            let length = match &self.file {
                Some(file) => rustix::fs::fgetxattr(file, &name, buffer.as_mut_slice())?,
                None => rustix::fs::lgetxattr(&by_path, &name, buffer.as_mut_slice())?,
            };
            let value = buffer[..length].to_vec();
            let value = match name.as_bytes() {
                b"security.capability" => capability(value),
                _ => value,
            };
            self.xattrs.insert(name, value);
        }
        Ok(())
    }
}

pub(super) fn changed() -> io::Error {
    io::Error::other("it changed while it was read")
}

fn open(at: BorrowedFd<'_>, path: &Path, kind: FileType) -> io::Result<OwnedFd> {
    // Not blocking: what a race has made a FIFO of must not hang.
    let mut flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::DIRECTORY, kind == FileType::Directory);
    Ok(openat(at, path, flags, Mode::empty())?)
}

fn kind(at: BorrowedFd<'_>, path: &Path, stat: &Statx) -> io::Result<Kind> {
    let (major, minor) = (stat.stx_rdev_major, stat.stx_rdev_minor);
    Ok(match file_type(stat) {
        FileType::RegularFile => Kind::File {
            size: stat.stx_size,
        },
        FileType::Directory => Kind::Dir,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(at, path, Vec::new())?;
            Kind::Symlink(OsString::from_vec(target.into_bytes()).into_vec())
        }
        FileType::CharacterDevice => Kind::Char(major, minor),
        FileType::BlockDevice => Kind::Block(major, minor),
        FileType::Fifo => Kind::Fifo,
        FileType::Socket | FileType::Unknown => return Err(changed()),
    })
}

/// Whether the directory hides what is below it; only `y` says so.
pub(super) fn is_opaque(dir: BorrowedFd<'_>, namespace: XattrNamespace) -> io::Result<bool> {
    let mut value = [0_u8; 1];
    match rustix::fs::fgetxattr(dir, namespace.opaque(), value.as_mut_slice()) {
        Ok(length) => Ok(value[..length] == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// File capabilities as an image holds them: version 2, which names no user namespace. The kernel
/// shows its own version 3 so where the namespace is the reader's (capabilities(7), "File
/// capability extensions"); what is left is one that names user 0.
fn capability(value: Vec<u8>) -> Vec<u8> {
    const REVISION: u32 = 0xff00_0000;
    let number = |at: usize| {
        let bytes = value.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    match (number(0), number(20)) {
        (Some(magic), Some(0)) if value.len() == 24 && magic & REVISION == 0x0300_0000 => {
            let magic = magic & !REVISION | 0x0200_0000;
            [&magic.to_le_bytes(), &value[4..20]].concat()
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_the_own_root_name_no_namespace() {
        let mut three = vec![1, 0, 0, 3];
        three.extend([7; 16]);
        let two = [&[1, 0, 0, 2], &[7; 16][..]].concat();
        let foreign = [&three[..], &[1, 0, 0, 0]].concat();
        three.extend([0; 4]);
        assert_eq!(capability(three), two);
        assert_eq!(capability(two.clone()), two);
        assert_eq!(capability(foreign.clone()), foreign);
    }
}
