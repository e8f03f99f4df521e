//! Metadata of files: set in the order in which nothing undoes anything else.
//!
//! A change of owner clears set-user-ID and capabilities, so it comes first; every change of
//! content or of what a directory holds changes its time, so that comes last.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::{Fault, failed};
use crate::layer::entry::{Meta, Timestamp};
use crate::layer::whiteout::{XattrNamespace, is_carried};

const DEFAULT_ACL: &str = "system.posix_acl_default";
/// The kernel's bound for a value and for a list of names in bytes.
const LARGEST: usize = 64 << 10;

/// Sets the metadata of a regular file that is new.
pub(super) fn set_file(fd: impl AsFd, meta: &Meta) -> Result<(), Fault> {
    let fd = fd.as_fd();
    own_and_chmod(fd, meta)?;
    for (name, value) in carried(meta) {
        set(fd, name, value)?;
    }
    set_mtime(fd, meta.mtime)
}

/// Sets the metadata of a directory, all but its time and its default ACL, which is given back: it
/// has to wait until nothing is made in it any more. `old` says that it may have others already.
pub(super) fn set_dir(fd: impl AsFd, meta: &Meta, old: bool) -> Result<Option<Vec<u8>>, Fault> {
    let fd = fd.as_fd();
    if old {
        for name in names(|buffer| rustix::fs::flistxattr(fd, buffer))? {
            if is_carried(&name) {
                remove(fd, name.as_bytes())?;
            }
        }
    }
    own_and_chmod(fd, meta)?;
    let mut default_acl = None;
    for (name, value) in carried(meta) {
        if name == DEFAULT_ACL {
            default_acl = Some(value.to_vec());
        } else {
            set(fd, name, value)?;
        }
    }
    Ok(default_acl)
}

/// Sets the metadata of a symbolic link, a device or a FIFO that is new.
pub(super) fn set_other(
    dir: BorrowedFd<'_>,
    name: &[u8],
    meta: &Meta,
    symlink: bool,
) -> Result<(), Fault> {
    let (uid, gid) = owner(meta);
    rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the owner of"))?;
    if !symlink {
        // Not followed: what is there is no link.
        let mode = Mode::from_raw_mode(meta.mode);
        rustix::fs::chmodat(dir, name, mode, AtFlags::empty())
            .map_err(failed("set the mode of"))?;
    }
    for (attribute, value) in carried(meta) {
        let path = by_handle(dir, name);
        rustix::fs::lsetxattr(path.as_slice(), attribute, value, XattrFlags::empty())
            .map_err(|error| refused(attribute, error))?;
    }
    rustix::fs::utimensat(dir, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the time of"))
}

pub(super) fn set_mtime(fd: impl AsFd, mtime: Timestamp) -> Result<(), Fault> {
    rustix::fs::futimens(fd, &times(mtime)).map_err(failed("set the time of"))
}

pub(super) fn set_default_acl(fd: impl AsFd, acl: &[u8]) -> Result<(), Fault> {
    set(fd.as_fd(), OsStr::new(DEFAULT_ACL), acl)
}

/// Reads and removes the default ACL of a directory.
pub(super) fn take_default_acl(fd: impl AsFd) -> Result<Option<Vec<u8>>, Fault> {
    let fd = fd.as_fd();
    let acl = value(|buffer| rustix::fs::fgetxattr(fd, DEFAULT_ACL, buffer))?;
    if acl.is_some() {
        remove(fd, DEFAULT_ACL.as_bytes())?;
    }
    Ok(acl)
}

pub(super) fn set_opaque(fd: impl AsFd, xattrs: XattrNamespace) -> Result<(), Fault> {
    set(fd.as_fd(), OsStr::new(xattrs.opaque()), b"y")
}

pub(super) fn is_opaque(fd: impl AsFd, xattrs: XattrNamespace) -> Result<bool, Fault> {
    let fd = fd.as_fd();
    let value = value(|buffer| rustix::fs::fgetxattr(fd, xattrs.opaque(), buffer))?;
    Ok(value.is_some_and(|value| value == b"y"))
}

/// The metadata of an open file or directory.
pub(super) fn of_file(fd: impl AsFd, stat: &Stat) -> Result<Meta, Fault> {
    let fd = fd.as_fd();
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let names = names(|buffer| rustix::fs::flistxattr(fd, buffer))?;
    meta(stat, names, |name, buffer| {
        rustix::fs::getxattr(path.as_str(), name, buffer)
    })
}

/// The metadata of what has this name in a directory; a link is not followed.
pub(super) fn of_name(dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<Meta, Fault> {
    let path = by_handle(dir, name);
    let path = path.as_slice();
    let names = names(|buffer| rustix::fs::llistxattr(path, buffer))?;
    meta(stat, names, |name, buffer| {
        rustix::fs::lgetxattr(path, name, buffer)
    })
}

pub(super) fn mtime(stat: &Stat) -> Timestamp {
    Timestamp {
        secs: stat.st_mtime,
        nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    }
}

fn meta(
    stat: &Stat,
    names: Vec<OsString>,
    get: impl Fn(&OsStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Meta, Fault> {
    let mut xattrs = BTreeMap::new();
    for name in names.into_iter().filter(|name| is_carried(name)) {
        if let Some(value) = value(|buffer| get(&name, buffer))? {
            xattrs.insert(name, value);
        }
    }
    Ok(Meta {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: mtime(stat),
        xattrs,
    })
}

fn own_and_chmod(fd: BorrowedFd<'_>, meta: &Meta) -> Result<(), Fault> {
    let (uid, gid) = owner(meta);
    rustix::fs::fchown(fd, uid, gid).map_err(failed("set the owner of"))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(meta.mode)).map_err(failed("set the mode of"))
}

fn owner(meta: &Meta) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))
}

fn times(mtime: Timestamp) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.secs,
        tv_nsec: i64::from(mtime.nanos),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn carried(meta: &Meta) -> impl Iterator<Item = (&OsStr, &[u8])> {
    let all = meta.xattrs.iter();
    all.filter(|(name, _)| is_carried(name))
        .map(|(name, value)| (name.as_os_str(), value.as_slice()))
}

fn set(fd: BorrowedFd<'_>, name: &OsStr, value: &[u8]) -> Result<(), Fault> {
    rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
        .map_err(|error| refused(name, error))
}

fn refused(name: &OsStr, error: Errno) -> Fault {
    let name = name.as_bytes().escape_ascii().to_string();
    Fault::Xattr(name, error.into())
}

fn remove(fd: BorrowedFd<'_>, name: &[u8]) -> Result<(), Fault> {
    match rustix::fs::fremovexattr(fd, name) {
        // An ACL that says no more than the mode goes with a change of mode.
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(error) => Err(refused(OsStr::from_bytes(name), error)),
    }
}

fn names(list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Result<Vec<OsString>, Fault> {
    let names = whole(list).map_err(failed("read the extended attributes of"))?;
    let names = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

fn value(get: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Result<Option<Vec<u8>>, Fault> {
    match whole(get) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(failed("read the extended attributes of")(error)),
    }
}

/// What a call gives that needs a buffer large enough.
fn whole(get: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    let length = match get(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer.resize(LARGEST, 0);
            get(&mut buffer)?
        }
        // No attributes, or none of this kind, on this file system.
        Err(Errno::OPNOTSUPP) => return Err(Errno::NODATA),
        length => length?,
    };
    buffer.truncate(length);
    Ok(buffer)
}

/// A path for calls that take no directory handle.
fn by_handle(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}
