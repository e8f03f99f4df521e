//! Where things are mounted inside the root: found, or made, without ever leaving it.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::failure::{During, Failure, Step};

/// As many symbolic links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// What a missing target is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

/// The root's targets.
pub(super) struct Targets {
    root: OwnedFd,
    mount: u64,
    created: Vec<PathBuf>,
}

impl Targets {
    /// Targets inside the mounted root that `root` is.
    pub fn new(root: OwnedFd) -> Result<Self, Failure> {
        let mount = mount_of(root.as_fd()).during(Step::Target)?;
        Ok(Self {
            root,
            mount,
            created: Vec::new(),
        })
    }

    /// The root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// What was made in the root's own file system, parents first.
    pub fn into_created(self) -> Vec<PathBuf> {
        self.created
    }

    /// What is at `path`, if anything is.
    pub fn find(&self, path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// A directory right below the root, which must not be a symbolic link.
    pub fn top(&mut self, name: &str) -> Result<OwnedFd, Failure> {
        let open = || {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(&self.root, name, flags, Mode::empty())
        };
        let path = Path::new("/").join(name);
        let opened = match open() {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&self.root, name, Mode::from_raw_mode(0o755))
                    .during_at(Step::Target, &path)?;
                self.created.push(path.clone());
                open()
            }
            opened => opened,
        };
        opened.map_err(|errno| Failure::Unreachable {
            path,
            errno: errno.raw_os_error(),
        })
    }

    /// What is at `path`; what is missing on the way is made: directories, and `kind` at its end.
    ///
    /// Symbolic links are followed inside the root, one that leads nowhere too: `/etc/resolv.conf`
    /// often does in an image. Every component is opened by itself and never by a path, so that
    /// nobody who writes to a volume meanwhile can lead out.
    pub fn make(&mut self, path: &Path, kind: Kind) -> Result<OwnedFd, Failure> {
        let unreachable = |errno: Errno| Failure::Unreachable {
            path: path.into(),
            errno: errno.raw_os_error(),
        };
        // The way so far, its symbolic links resolved, and what is still to go, backwards.
        let mut way: Vec<(OsString, OwnedFd)> = Vec::new();
        let mut ahead = Vec::new();
        push(&mut ahead, path);
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            let name = match step {
                Next::Root => {
                    way.clear();
                    continue;
                }
                Next::Up => {
                    way.pop();
                    continue;
                }
                Next::Name(name) => name,
            };
            let here = way.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = match rustix::fs::openat(here, &name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    let kind = if ahead.is_empty() {
                        kind
                    } else {
                        Kind::Directory
                    };
                    create(here, &name, kind).map_err(unreachable)?;
                    if mount_of(here).map_err(unreachable)? == self.mount {
                        let names = way.iter().map(|(name, _)| name).chain([&name]);
                        let path = Path::new("/").join(names.collect::<PathBuf>());
                        self.created.push(path);
                    }
                    rustix::fs::openat(here, &name, flags, Mode::empty())
                }
                opened => opened,
            }
            .map_err(unreachable)?;
            let status = rustix::fs::fstat(&opened).map_err(unreachable)?;
            match FileType::from_raw_mode(status.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(unreachable(Errno::LOOP));
                    }
                    let link = rustix::fs::readlinkat(&opened, c"", Vec::new());
                    let link = OsString::from_vec(link.map_err(unreachable)?.into_bytes());
                    push(&mut ahead, Path::new(&link));
                }
                FileType::Directory => way.push((name, opened)),
                _ if ahead.is_empty() => return Ok(opened),
                _ => return Err(unreachable(Errno::NOTDIR)),
            }
        }
        match way.pop() {
            Some((_, fd)) => Ok(fd),
            None => Err(unreachable(Errno::BUSY)),
        }
    }
}

/// One component of a path.
enum Next {
    Root,
    Up,
    Name(OsString),
}

/// Puts the components of `path` in front of what is `ahead`, which is kept backwards.
fn push(ahead: &mut Vec<Next>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::RootDir | Component::Prefix(_) => ahead.push(Next::Root),
            Component::CurDir => {}
            Component::ParentDir => ahead.push(Next::Up),
            Component::Normal(name) => ahead.push(Next::Name(name.to_owned())),
        }
    }
}

fn create(directory: BorrowedFd<'_>, name: &OsString, kind: Kind) -> rustix::io::Result<()> {
    let made = match kind {
        Kind::Directory => rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755)),
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        // Somebody else made it meanwhile, in a volume.
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}

fn mount_of(fd: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let status = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(status.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn targets(root: &Path) -> Targets {
        let root = rustix::fs::open(root, OFlags::PATH, Mode::empty()).unwrap();
        Targets::new(root).unwrap()
    }

    fn made(root: &Path, path: &str, kind: Kind) -> Vec<PathBuf> {
        let mut targets = targets(root);
        targets.make(Path::new(path), kind).unwrap();
        targets.into_created()
    }

    #[test]
    fn what_is_missing_is_made_and_said() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(
            made(root, "/a/b/file", Kind::File),
            ["/a", "/a/b", "/a/b/file"].map(PathBuf::from)
        );
        assert!(root.join("a/b/file").is_file());
        assert_eq!(
            made(root, "/a/b/file", Kind::File),
            [""; 0].map(PathBuf::from)
        );
        assert_eq!(
            made(root, "a/./c/", Kind::Directory),
            [PathBuf::from("/a/c")]
        );
        assert!(root.join("a/c").is_dir());
    }

    #[test]
    fn links_lead_nowhere_but_inside() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("etc")).unwrap();
        symlink("../run/stub", root.join("etc/resolv.conf")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        symlink("../../../../..", root.join("up")).unwrap();
        assert_eq!(
            made(root, "/etc/resolv.conf", Kind::File),
            ["/run", "/run/stub"].map(PathBuf::from)
        );
        made(root, "/out/file", Kind::File);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(
            root.join(outside.path().strip_prefix("/").unwrap())
                .join("file")
                .is_file()
        );
        made(root, "/up/../../top", Kind::Directory);
        assert!(root.join("top").is_dir());
    }

    #[test]
    fn circles_and_files_on_the_way_are_refused() {
        let root = tempfile::tempdir().unwrap();
        symlink("circle", root.path().join("circle")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let mut targets = targets(root.path());
        for (path, errno) in [
            ("/circle", Errno::LOOP),
            ("/file/x", Errno::NOTDIR),
            ("/", Errno::BUSY),
        ] {
            assert_eq!(
                targets.make(Path::new(path), Kind::Directory).unwrap_err(),
                Failure::Unreachable {
                    path: path.into(),
                    errno: errno.raw_os_error()
                }
            );
        }
    }

    #[test]
    fn a_link_in_place_of_a_system_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        symlink("/etc", root.path().join("proc")).unwrap();
        assert!(targets(root.path()).top("proc").is_err());
    }
}
