//! A mount, or a tree of mounts, as a descriptor: made while attached nowhere, then attached to a
//! directory or file that is a descriptor too, so that no path is walked twice.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Result;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::sys;

/// No set-user-ID programs, no devices.
pub(super) const INERT: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// The same, and no programs at all.
pub(super) const NO_PROGRAMS: MountAttrFlags = INERT.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// The descriptor of its root; once attached, it leads to where it is attached.
#[derive(Debug)]
pub(super) struct Tree(OwnedFd);

impl Tree {
    /// A new instance of a file system; an option without a value is a flag.
    pub fn filesystem(
        kind: &str,
        options: &[(&str, Option<&str>)],
        attributes: MountAttrFlags,
    ) -> Result<Self> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (name, value) in options {
            match value {
                Some(value) => fsconfig_set_string(&context, *name, *value)?,
                None => fsconfig_set_flag(&context, *name)?,
            }
        }
        fsconfig_create(&context)?;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        Ok(Self(mount))
    }

    /// What `path` leads to on the host, with all that is mounted below it.
    pub fn of_path(path: &Path) -> Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        open_tree(rustix::fs::CWD, path, flags).map(Self)
    }

    /// What `fd` is, with all that is mounted below it.
    pub fn of(fd: impl AsFd) -> Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        open_tree(fd, c"", flags).map(Self)
    }

    /// Adds attributes to every mount in it.
    pub fn restrict(&self, attributes: MountAttrFlags) -> Result<()> {
        sys::mount_setattr(self.0.as_fd(), attributes, true)
    }

    /// Attaches it on top of whatever `target` leads to.
    pub fn attach(&self, target: impl AsFd) -> Result<()> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.0, c"", target, c"", flags)
    }

    /// The descriptor alone.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
