//! The tree that programs are taken from: its paths, resolved inside it, with every link on the way.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// As Linux: more links than this on one way are a loop.
const MOST_LINKS: usize = 40;

/// A tree, by the directory that is its root.
#[derive(Clone, Debug)]
pub(super) struct Tree(PathBuf);

/// Where a path leads to.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// The file itself, absolute in the tree and without links.
    pub path: PathBuf,
    /// The links that were followed, absolute in the tree, each without links before its last name.
    pub links: Vec<PathBuf>,
    /// What the file is.
    pub metadata: Metadata,
}

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Where an absolute path of the tree lies on this machine. Right only for resolved paths: the
    /// links of others would lead out.
    pub(super) fn on_host(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Follows a path inside the tree; `None` if nothing is there.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<Option<Resolved>> {
        let mut todo: Vec<OsString> = Vec::new();
        push(&mut todo, path);
        let mut resolved = PathBuf::from("/");
        let mut links = Vec::new();
        let mut metadata = fs::symlink_metadata(&self.0)?;
        while let Some(name) = todo.pop() {
            if name == ".." {
                resolved.pop();
                metadata = fs::symlink_metadata(self.on_host(&resolved))?;
                continue;
            }
            resolved.push(&name);
            let here = self.on_host(&resolved);
            metadata = match fs::symlink_metadata(&here) {
                Ok(metadata) => metadata,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            if !metadata.is_symlink() {
                continue;
            }
            if links.len() == MOST_LINKS {
                return Err(io::Error::from_raw_os_error(
                    rustix::io::Errno::LOOP.raw_os_error(),
                ));
            }
            let target = fs::read_link(&here)?;
            links.push(resolved.clone());
            if target.is_absolute() {
                resolved = PathBuf::from("/");
            } else {
                resolved.pop();
            }
            push(&mut todo, &target);
        }
        Ok(Some(Resolved {
            path: resolved,
            links,
            metadata,
        }))
    }

    /// Opens a resolved path; never waits, whatever stands there.
    pub(super) fn open(&self, resolved: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::open(self.on_host(resolved), flags, Mode::empty())?.into())
    }

    /// Reads a file of the tree, at most `limit` bytes of it; nothing where there is none.
    pub(super) fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let found = self.resolve(path)?;
        if let Some(found) = found.filter(|found| found.metadata.is_file()) {
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
