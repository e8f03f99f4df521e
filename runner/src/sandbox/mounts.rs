//! What a specification mounts into the root: volumes, files, directories in memory.
//!
//! In two steps: the sources while the host's paths can still be seen, then the targets.

use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::PROC_SUPER_MAGIC;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use rustix::mount::MountAttrFlags;

use super::failure::{During, Failure, Step};
use super::payload;
use super::root::Root;
use super::spec::{Hidden, Mount, MountSource};
use super::target::{Kind, Targets};
use super::tree::{INERT, Tree};

/// A source, ready to be attached.
pub(super) struct Prepared {
    tree: Tree,
    kind: Kind,
    target: PathBuf,
}

/// Makes the sources, attached nowhere. `staging` is a directory of the host that the root will
/// cover.
pub(super) fn prepare(
    mounts: &[Mount],
    staging: BorrowedFd<'_>,
) -> std::result::Result<Vec<Prepared>, Failure> {
    let mut files = Files {
        staging,
        made: None,
        count: 0,
    };
    mounts
        .iter()
        .map(|mount| source(mount, &mut files))
        .collect()
}

/// Attaches the sources to their targets, in order, so that a later one can lie inside an earlier.
pub(super) fn attach(
    prepared: Vec<Prepared>,
    targets: &mut Targets,
) -> std::result::Result<(), Failure> {
    for mount in prepared {
        let target = targets.make(&mount.target, mount.kind)?;
        let there = rustix::fs::fstatfs(&target).during_at(Step::Target, &mount.target)?;
        if there.f_type == PROC_SUPER_MAGIC {
            return Err(Failure::OntoProc { path: mount.target });
        }
        let status = rustix::fs::fstat(&target).during_at(Step::Target, &mount.target)?;
        let directory = mount.kind == Kind::Directory;
        if directory != (FileType::from_raw_mode(status.st_mode) == FileType::Directory) {
            let path = mount.target;
            return Err(Failure::Mismatch { path, directory });
        }
        mount
            .tree
            .attach(target)
            .during_at(Step::Mount, &mount.target)?;
    }
    Ok(())
}

fn source(mount: &Mount, files: &mut Files<'_>) -> std::result::Result<Prepared, Failure> {
    let tree = match &mount.source {
        MountSource::Bind { path } => Tree::of_path(path).during_at(Step::Mount, path)?,
        MountSource::Snapshot { root, path } => {
            let root = Root::open(root, false)?.mount(false)?;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
                .and_then(Tree::of)
                .during_at(Step::Mount, path)?
        }
        MountSource::Tmpfs { size, mode } => memory(*size, *mode).during(Step::Mount)?,
        MountSource::File { contents, mode } => files
            .make(contents.as_bytes(), *mode)
            .and_then(Tree::of)
            .during_at(Step::Mount, &mount.target)?,
        MountSource::Secret {
            contents: Hidden(contents),
            mode,
            uid,
            gid,
        } => {
            let file = files
                .make(contents, *mode)
                .during_at(Step::Mount, &mount.target)?;
            payload::own(&file, *uid, *gid)?;
            Tree::of(file).during_at(Step::Mount, &mount.target)?
        }
    };
    let read_only = if mount.read_only {
        MountAttrFlags::MOUNT_ATTR_RDONLY
    } else {
        MountAttrFlags::empty()
    };
    // Device files of a volume are as inert as those of the root.
    tree.restrict(MountAttrFlags::MOUNT_ATTR_NODEV | read_only)
        .during_at(Step::Mount, &mount.target)?;
    let status = rustix::fs::fstat(&tree).during_at(Step::Mount, &mount.target)?;
    let kind = match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => Kind::Directory,
        _ => Kind::File,
    };
    Ok(Prepared {
        tree,
        kind,
        target: mount.target.clone(),
    })
}

fn memory(size: Option<u64>, mode: u32) -> Result<Tree> {
    let mode = format!("{mode:o}");
    let size = size.map(|size| size.to_string());
    let mut options = vec![("mode", Some(mode.as_str()))];
    if let Some(size) = &size {
        options.push(("size", Some(size)));
    }
    Tree::filesystem("tmpfs", &options, INERT)
}

/// Files in memory. They are made in a file system that is attached to the host's tree, in this
/// mount namespace alone, because kernels before 6.15 clone nothing out of a detached one.
struct Files<'a> {
    staging: BorrowedFd<'a>,
    made: Option<Tree>,
    count: usize,
}

impl Files<'_> {
    fn make(&mut self, contents: &[u8], mode: u32) -> Result<OwnedFd> {
        let files = match &mut self.made {
            Some(files) => files,
            none => {
                let files = Tree::filesystem("tmpfs", &[("mode", Some("700"))], INERT)?;
                files.attach(self.staging)?;
                none.insert(files)
            }
        };
        let name = self.count.to_string();
        self.count += 1;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file: OwnedFd =
            rustix::fs::openat(&*files, name, flags, Mode::from_raw_mode(mode & 0o7777))?;
        let mut file = std::fs::File::from(file);
        file.write_all(contents)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(file.into())
    }
}
