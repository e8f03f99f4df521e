//! The tree that programs are taken from: its paths, resolved inside it, with every link on the way.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind, Read, Seek};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::layer::Kind;

/// As Linux: more links than this on one way are a loop.
const MOST_LINKS: usize = 40;

/// A tree of files, unpacked or not. Paths are absolute in it, and no link is on their way.
pub trait FileTree {
    /// What is at a path; a link at its end is not followed. `None` if nothing is there.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn look(&self, path: &Path) -> io::Result<Option<Looked>>;

    /// The content of a regular file; it must not wait for anybody.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Content + '_>>;

    /// The names in a directory; nothing where they cannot be read, for they are for advice only.
    fn names(&self, dir: &Path) -> Vec<OsString>;
}

impl<T: FileTree> FileTree for &T {
    fn look(&self, path: &Path) -> io::Result<Option<Looked>> {
        (*self).look(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content + '_>> {
        (*self).open(path)
    }

    fn names(&self, dir: &Path) -> Vec<OsString> {
        (*self).names(dir)
    }
}

/// The content of a file, to be read at any place.
pub trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What it is; never a hard link.
    pub kind: Kind,
    /// Its permissions, the lower 12 bits.
    pub mode: u32,
}

/// A tree in a directory of this machine.
#[derive(Debug)]
pub(super) struct Directory(pub PathBuf);

impl Directory {
    fn on_host(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl FileTree for Directory {
    fn look(&self, path: &Path) -> io::Result<Option<Looked>> {
        let here = self.on_host(path);
        let metadata = match fs::symlink_metadata(&here) {
            Ok(metadata) => metadata,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let kind = if metadata.is_dir() {
            Kind::Dir
        } else if metadata.is_symlink() {
            Kind::Symlink(fs::read_link(&here)?.into_os_string().into_vec())
        } else if metadata.is_file() {
            let size = metadata.len();
            Kind::File { size }
        } else {
            Kind::Fifo
        };
        let mode = metadata.mode() & 0o7777;
        Ok(Some(Looked { kind, mode }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content + '_>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.on_host(path), flags, Mode::empty())?;
        Ok(Box::new(fs::File::from(file)))
    }

    fn names(&self, dir: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(self.on_host(dir)).into_iter();
        let entries = entries.flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    }
}

/// A tree, whose paths may lead through links.
pub(super) struct Tree<'a>(Box<dyn FileTree + 'a>);

/// Where a path leads to.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// The file itself, absolute in the tree and without links.
    pub path: PathBuf,
    /// The links that were followed, absolute in the tree, each without links before its last name.
    pub links: Vec<PathBuf>,
    /// What the file is.
    pub kind: Kind,
}

impl Resolved {
    pub(super) fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }
}

impl<'a> Tree<'a> {
    pub(super) fn new(files: Box<dyn FileTree + 'a>) -> Self {
        Self(files)
    }

    pub(super) fn files(&self) -> &dyn FileTree {
        self.0.as_ref()
    }

    /// Follows a path inside the tree; `None` if nothing is there.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<Option<Resolved>> {
        let mut todo: Vec<OsString> = Vec::new();
        push(&mut todo, path);
        let mut resolved = PathBuf::from("/");
        let mut links = Vec::new();
        let mut kind = Kind::Dir;
        while let Some(name) = todo.pop() {
            if kind != Kind::Dir {
                return Ok(None);
            }
            if name == ".." {
                resolved.pop();
                continue;
            }
            resolved.push(&name);
            let Some(looked) = self.0.look(&resolved)? else {
                return Ok(None);
            };
            let Kind::Symlink(target) = looked.kind else {
                kind = looked.kind;
                continue;
            };
            if links.len() == MOST_LINKS {
                return Err(io::Error::from_raw_os_error(
                    rustix::io::Errno::LOOP.raw_os_error(),
                ));
            }
            let target = Path::new(OsStr::from_bytes(&target));
            links.push(resolved.clone());
            if target.is_absolute() {
                resolved = PathBuf::from("/");
            } else {
                resolved.pop();
            }
            push(&mut todo, target);
        }
        Ok(Some(Resolved {
            path: resolved,
            links,
            kind,
        }))
    }

    /// Opens a resolved path.
    pub(super) fn open(&self, resolved: &Path) -> io::Result<Box<dyn Content + '_>> {
        self.0.open(resolved)
    }

    /// Reads a file of the tree, at most `limit` bytes of it; nothing where there is none.
    pub(super) fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let found = self.resolve(path)?;
        if let Some(found) = found.filter(Resolved::is_file) {
            self.open(&found.path)?
                .take(limit)
                .read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Puts the names of a path onto a stack, the first on top.
fn push(todo: &mut Vec<OsString>, path: &Path) {
    let names = path.components().rev().filter_map(|name| match name {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    todo.extend(names);
}

/// Adds a path and every directory that it lies in.
pub(super) fn add_with_parents(paths: &mut BTreeSet<PathBuf>, path: &Path) {
    let new = path.ancestors().filter(|path| *path != Path::new("/"));
    paths.extend(new.map(Path::to_owned));
}
