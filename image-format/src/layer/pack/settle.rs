//! Puts what was packed to what the layer says, so that the next step sees the same whether it
//! stands on this tree or on the layer unpacked again.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, fchmod, fchown,
    fremovexattr, futimens, makedev, mknodat, utimensat,
};

use super::inode::Inode;
use crate::layer::entry::{Meta, Timestamp};

fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.secs,
            tv_nsec: mtime.nanos.into(),
        },
    }
}

/// Sets the time of `name`, also if it is a link.
pub(super) fn set_mtime(dir: BorrowedFd<'_>, name: &Path, mtime: Timestamp) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(utimensat(dir, name, &times(mtime), flags)?)
}

pub(super) fn set_dir_mtime(dir: BorrowedFd<'_>, mtime: Timestamp) -> io::Result<()> {
    Ok(futimens(dir, &times(mtime))?)
}

/// Puts the root of a tree to what the root of every image is, see [`Meta::root`].
pub(super) fn reset_root(root: &Inode) -> io::Result<()> {
    let Some(dir) = &root.file else {
        return Ok(());
    };
    let Meta { mode, uid, gid, .. } = Meta::implied_dir();
    fchown(dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    fchmod(dir, Mode::from_raw_mode(mode))?;
    for name in root.xattrs.keys() {
        fremovexattr(dir, name.as_os_str())?;
    }
    Ok(())
}

/// Marks `name` as gone, as overlayfs does.
pub(super) fn make_whiteout(dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let kind = FileType::CharacterDevice;
    Ok(mknodat(dir, name, kind, Mode::empty(), makedev(0, 0))?)
}
