//! What the kernel shows of itself: `/proc` and `/sys`, and what of them is hidden or read-only.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::failure::{During, Failure, Step};
use super::target::Targets;
use super::tree::{NO_PROGRAMS, Tree};

/// Where the host's control groups are, all in one tree (cgroups(7), version 2).
const CGROUPS: &str = "/sys/fs/cgroup";

/// `CGROUP2_SUPER_MAGIC` (statfs(2)).
const CGROUP2: rustix::fs::FsWord = 0x6367_7270;

/// Mounts `/proc` of this process namespace and `/sys` of this network namespace.
pub(super) fn mount(targets: &mut Targets, empty: &mut EmptyDirectory) -> Result<(), Failure> {
    let proc = targets.top("proc")?;
    Tree::filesystem("proc", &[], NO_PROGRAMS)
        .and_then(|tree| tree.attach(&proc))
        .during(Step::Proc)?;

    let read_only = NO_PROGRAMS | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let sys = targets.top("sys")?;
    let tree = match Tree::filesystem("sysfs", &[], read_only) {
        // The network namespace is the host's, and this user namespace has no say in it.
        Err(Errno::PERM) => Tree::of_path(Path::new("/sys")).and_then(|tree| {
            tree.restrict(read_only)?;
            Ok(tree)
        }),
        made => made,
    }
    .during(Step::Sys)?;
    tree.attach(&sys).during(Step::Sys)?;
    control_groups(targets, empty)
}

/// The control groups below this namespace's own, read-only, where the host has version 2; of
/// version 1's many trees none is shown.
fn control_groups(targets: &Targets, empty: &mut EmptyDirectory) -> Result<(), Failure> {
    let Some(place) = targets.find(Path::new(CGROUPS)).during(Step::Sys)? else {
        return Ok(());
    };
    let read_only = NO_PROGRAMS | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let version_2 = rustix::fs::statfs(CGROUPS).is_ok_and(|status| status.f_type == CGROUP2);
    let tree = if version_2 {
        Tree::filesystem("cgroup2", &[], read_only).ok()
    } else {
        None
    };
    match tree {
        Some(tree) => tree.attach(&place),
        None => empty.cover(&place),
    }
    .during_at(Step::Sys, CGROUPS)
}

/// Hides files behind `/dev/null` and directories behind an empty one; what does not exist needs
/// no hiding.
pub(super) fn mask(
    targets: &Targets,
    paths: &[PathBuf],
    empty: &mut EmptyDirectory,
) -> Result<(), Failure> {
    for path in paths {
        let Some(target) = targets.find(path).during_at(Step::Mask, path)? else {
            continue;
        };
        let status = rustix::fs::fstat(&target).during_at(Step::Mask, path)?;
        let directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
        if directory {
            empty.cover(&target)
        } else {
            nothing().and_then(|tree| tree.attach(&target))
        }
        .during_at(Step::Mask, path)?;
    }
    Ok(())
}

/// Makes paths read-only, with all that is mounted below them.
pub(super) fn make_read_only(targets: &Targets, paths: &[PathBuf]) -> Result<(), Failure> {
    for path in paths {
        if let Some(target) = targets.find(path).during_at(Step::ReadOnly, path)? {
            Tree::of(&target)
                .and_then(|tree| {
                    tree.restrict(MountAttrFlags::MOUNT_ATTR_RDONLY)?;
                    tree.attach(&target)
                })
                .during_at(Step::ReadOnly, path)?;
        }
    }
    Ok(())
}

/// An empty directory, which can be seen in many places: its file system is made once.
#[derive(Default)]
pub(super) struct EmptyDirectory(Option<Tree>);

impl EmptyDirectory {
    /// Covers a directory with it.
    fn cover(&mut self, target: &OwnedFd) -> rustix::io::Result<()> {
        if let Some(attached) = &self.0 {
            return Tree::of(attached)?.attach(target);
        }
        let options = [
            ("size", Some("4k")),
            ("nr_inodes", Some("1")),
            ("mode", Some("555")),
        ];
        let attributes = NO_PROGRAMS | MountAttrFlags::MOUNT_ATTR_RDONLY;
        let tree = Tree::filesystem("tmpfs", &options, attributes)?;
        tree.attach(target)?;
        self.0 = Some(tree);
        Ok(())
    }
}

fn nothing() -> rustix::io::Result<Tree> {
    let null: OwnedFd = rustix::fs::openat(
        CWD,
        "/dev/null",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let tree = Tree::of(null)?;
    tree.restrict(MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    Ok(tree)
}
