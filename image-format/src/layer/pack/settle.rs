//! Puts what was packed to what the layer says, so that the next step sees the same whether it
//! stands on this tree or on the layer unpacked again.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, Timespec, Timestamps, UTIME_OMIT, futimens, makedev, mknodat,
    utimensat,
};

use crate::layer::entry::Timestamp;

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

/// Marks `name` as gone, as overlayfs does.
pub(super) fn make_whiteout(dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let kind = FileType::CharacterDevice;
    Ok(mknodat(dir, name, kind, Mode::empty(), makedev(0, 0))?)
}
