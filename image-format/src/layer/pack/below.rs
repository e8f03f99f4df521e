//! What lies below a tree that is packed: the layers under an upper directory, joined as overlayfs
//! joins them, or the old one of two trees.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Statx, openat};
use rustix::io::Errno;

use super::content::{self, Content};
use super::inode::{self, Inode};
use crate::layer::entry::{Kind, Timestamp};
use crate::layer::whiteout::XattrNamespace;

/// The most bytes of a path that one system call gets; the kernel's bound is 4096.
const PIECE: usize = 4000;

/// The trees below, topmost first. Nobody changes them.
pub(super) struct Below {
    roots: Vec<OwnedFd>,
    /// Where overlayfs' marks are; `None` where there are none, in a plain tree.
    marks: Option<XattrNamespace>,
}

/// The trees that have a directory of some path, topmost first.
pub(super) type Dirs = Vec<usize>;

/// What is below at some path.
pub(super) struct Found {
    pub stat: Statx,
    root: usize,
    /// If it is a directory: the trees whose entries are seen in it.
    pub dirs: Dirs,
}

impl Below {
    pub fn open(roots: &[PathBuf], marks: Option<XattrNamespace>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |root| openat(rustix::fs::CWD, root, flags, Mode::empty());
        let roots = roots.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { roots, marks })
    }

    pub fn nothing() -> Self {
        Self {
            roots: Vec::new(),
            marks: None,
        }
    }

    /// All trees: where the search of a root starts.
    pub fn all(&self) -> Dirs {
        (0..self.roots.len()).collect()
    }

    /// What is seen at `path`, in a directory that the trees `dirs` have.
    pub fn find(&self, dirs: &[usize], path: &Path) -> io::Result<Option<Found>> {
        let mut found: Option<Found> = None;
        for root in dirs {
            let (at, tail) = self.reach(*root, path)?;
            let at = at.as_ref().unwrap_or(&self.roots[*root]).as_fd();
            let stat = match inode::stat(at, tail) {
                Ok(stat) => stat,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_dir = inode::file_type(&stat) == FileType::Directory;
            match &mut found {
                None if self.marks.is_some() && inode::is_whiteout(&stat) => return Ok(None),
                None => {
                    found = Some(Found {
                        stat,
                        root: *root,
                        dirs: if is_dir { vec![*root] } else { Vec::new() },
                    });
                }
                Some(top) if is_dir => top.dirs.push(*root),
                Some(_) => break,
            }
            if !is_dir || self.is_opaque(at, tail)? {
                break;
            }
        }
        Ok(found)
    }

    fn is_opaque(&self, at: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
        let Some(namespace) = self.marks else {
            return Ok(false);
        };
        inode::is_opaque(open_dir(at, path)?.as_fd(), namespace)
    }

    /// The directory at `path`, to list it.
    pub fn open_dir(&self, root: usize, path: &Path) -> io::Result<OwnedFd> {
        let (at, tail) = self.reach(root, path)?;
        open_dir(at.as_ref().unwrap_or(&self.roots[root]).as_fd(), tail)
    }

    /// Whether an entry says what is below already. No time counts that is after the epoch, and
    /// none of a directory: that only says that something was made or removed in it.
    pub fn is_same(
        &self,
        found: &Found,
        path: &Path,
        new: &Inode,
        epoch: Timestamp,
    ) -> io::Result<bool> {
        let (a, b) = (&found.stat, &new.stat);
        let (old_time, new_time) = (inode::mtime(a), inode::mtime(b));
        let is_dir = new.kind == Kind::Dir;
        let same_time = old_time.min(epoch) == new_time.min(epoch) || is_dir && new_time > epoch;
        if !same_time || (a.stx_mode, a.stx_uid, a.stx_gid) != (b.stx_mode, b.stx_uid, b.stx_gid) {
            return Ok(false);
        }
        if !is_dir && a.stx_size != b.stx_size {
            return Ok(false);
        }
        let (at, tail) = self.reach(found.root, path)?;
        let at = at.as_ref().unwrap_or(&self.roots[found.root]).as_fd();
        let old = Inode::read(at, tail, inode::file_type(a))?;
        if old.kind != new.kind || old.xattrs != new.xattrs {
            return Ok(false);
        }
        match (&new.kind, &old.file, &new.file) {
            (Kind::File { .. }, Some(one), Some(other)) => content::is_same(
                Content::new(one.as_fd(), &old.stat),
                Content::new(other.as_fd(), &new.stat),
            ),
            _ => Ok(true),
        }
    }

    /// Where to resolve what part of a path, so that its length has no bound. All directories on
    /// the way are known to be directories, so that no link is followed.
    fn reach<'a>(&self, root: usize, path: &'a Path) -> io::Result<(Option<OwnedFd>, &'a Path)> {
        let mut rest = path.as_os_str().as_bytes();
        let mut at: Option<OwnedFd> = None;
        while rest.len() > PIECE {
            let Some(slash) = rest[..PIECE].iter().rposition(|byte| *byte == b'/') else {
                return Err(Errno::NAMETOOLONG.into());
            };
            let piece = Path::new(std::ffi::OsStr::from_bytes(&rest[..slash]));
            let from = at.as_ref().unwrap_or(&self.roots[root]);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            at = Some(openat(from, piece, flags, Mode::empty())?);
            rest = &rest[slash + 1..];
        }
        let rest = if rest.is_empty() { b"." } else { rest };
        Ok((at, Path::new(std::ffi::OsStr::from_bytes(rest))))
    }
}

fn open_dir(at: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}
