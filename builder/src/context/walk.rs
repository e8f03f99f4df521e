//! The walk: all that a source holds, in the order of a layer, with one stat for each entry.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, Stat, major, minor};

use super::error::ContextError;
use super::pattern::join;
use super::resolve::{Place, PlaceKind, excluded};
use super::{Context, DIRECTORY};
use crate::cache::files::FileId;
use crate::cancel::Cancel;
use crate::glob::Glob;
use crate::ignore::Matched;

/// Each level holds a directory open, and 1024 files is what a process may have open.
const DEEPEST: usize = 400;

/// One thing that a source names.
#[derive(Debug)]
pub(crate) struct Match {
    /// Its path as the instruction names it, wildcards filled in; empty for the context itself.
    pub(crate) name: Vec<u8>,
    /// Its path in the context, symbolic links followed.
    pub(crate) at: Vec<u8>,
    /// Itself, and what is in it, sorted as in a layer.
    pub(crate) entries: Vec<Found>,
}

/// An entry of the context.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its path below the match; empty for the match itself.
    pub(crate) below: Vec<u8>,
    /// What it is.
    pub(crate) kind: FoundKind,
    /// Its permissions, the lower 12 bits.
    pub(crate) mode: u32,
}

/// What an entry of the context is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FoundKind {
    /// A directory.
    Dir,
    /// A regular file.
    File {
        /// Which, and in which state.
        id: FileId,
        /// Whether it has other names.
        linked: bool,
    },
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// Walks a place. The inner error is that of a place of which the ignore file leaves nothing.
pub(super) fn walk(
    context: &Context,
    name: Vec<u8>,
    place: Place,
    cancel: &Cancel,
) -> Result<Result<Match, ContextError>, ContextError> {
    let mut walker = Walker {
        context,
        cancel,
        entries: Vec::new(),
        top: place.at.len(),
    };
    match place.kind {
        PlaceKind::Other(stat) => {
            let kind = walker.kind(&context.root, b"", &place.at, &stat)?;
            walker.push(&place.at, kind, &stat);
        }
        PlaceKind::Directory(fd) => {
            let fd = match fd {
                Some(fd) => fd,
                None => rustix::fs::openat(&context.root, ".", DIRECTORY, Mode::empty())
                    .map_err(|error| context.io("open", b"", error))?,
            };
            let stat = rustix::fs::fstat(&fd).map_err(|e| context.io("read", &place.at, e))?;
            walker.push(&place.at, FoundKind::Dir, &stat);
            walker.directory(fd, &place.at, &place.matched, 0)?;
            if place.decision.excluded && walker.entries.len() == 1 {
                return Ok(Err(excluded(context, &name, place.decision)));
            }
        }
    }
    Ok(Ok(Match {
        name,
        at: place.at,
        entries: walker.entries,
    }))
}

/// Finds what matches a pattern below a place, and walks each match. Symbolic links are not
/// followed on the way, but where one matches, it is.
pub(super) fn matching(
    context: &Context,
    base: Vec<u8>,
    place: Place,
    globs: &[Glob],
    cancel: &Cancel,
) -> Result<Vec<Match>, ContextError> {
    let mut found = Vec::new();
    let Some((glob, rest)) = globs.split_first() else {
        return Ok(found);
    };
    let PlaceKind::Directory(fd) = &place.kind else {
        return Ok(found);
    };
    let fd = fd.as_ref().unwrap_or(&context.root).as_fd();
    let dir = rustix::fs::openat(fd, ".", DIRECTORY, Mode::empty());
    let mut dir = Dir::new(dir.map_err(|error| context.io("open", &place.at, error))?)
        .map_err(|error| context.io("read", &place.at, error))?;
    for (name, _) in names(context, &mut dir, &place.at)? {
        if !glob.matches(&name) {
            continue;
        }
        let (at, path) = (join(&place.at, &name), join(&base, &name));
        let (decision, _) = context.ignore.matches_in(&place.matched, &at);
        if decision.excluded && !context.ignore.may_contain_included(&at) {
            continue;
        }
        let stat = rustix::fs::statat(fd, &name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| context.io("read", &at, error))?;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if decision.excluded && !directory {
            continue;
        }
        if rest.is_empty() {
            let place = super::resolve::resolve(context, &path)?;
            found.extend(walk(context, path, place, cancel)?.ok());
        } else if directory {
            let place = super::resolve::resolve(context, &at)?;
            found.extend(matching(context, path, place, rest, cancel)?);
        }
    }
    Ok(found)
}

struct Walker<'a> {
    context: &'a Context,
    cancel: &'a Cancel,
    entries: Vec<Found>,
    /// The length of the match's own path.
    top: usize,
}

impl Walker<'_> {
    fn directory(
        &mut self,
        fd: OwnedFd,
        at: &[u8],
        matched: &Matched,
        depth: usize,
    ) -> Result<(), ContextError> {
        let context = self.context;
        if self.cancel.is_cancelled() {
            return Err(ContextError::Cancelled);
        }
        if depth > DEEPEST {
            let path = context.shown(at);
            return Err(ContextError::TooDeep { path });
        }
        let mut dir = Dir::new(fd).map_err(|error| context.io("read", at, error))?;
        let names = names(context, &mut dir, at)?;
        let fd = dir.fd().map_err(|error| context.io("read", at, error))?;
        let ignoring = !context.ignore.is_empty();
        for (name, hint) in names {
            let path = join(at, &name);
            let (excluded, inner) = if ignoring {
                let (decision, inner) = context.ignore.matches_in(matched, &path);
                (decision.excluded, Some(inner))
            } else {
                (false, None)
            };
            // What the directory says of the type spares a stat of what is left out anyhow.
            let other = !matches!(hint, FileType::Directory | FileType::Unknown);
            if excluded && (other || !context.ignore.may_contain_included(&path)) {
                continue;
            }
            let stat = rustix::fs::statat(fd, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| context.io("read", &path, error))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if excluded && kind != FileType::Directory {
                continue;
            }
            let kind = self.kind(fd, &name, &path, &stat)?;
            let before = self.entries.len();
            let directory = kind == FoundKind::Dir;
            self.push(&path, kind, &stat);
            if directory {
                let open = rustix::fs::openat(fd, &name, DIRECTORY, Mode::empty())
                    .map_err(|error| context.io("open", &path, error))?;
                self.directory(open, &path, inner.as_ref().unwrap_or(matched), depth + 1)?;
                if excluded && self.entries.len() == before + 1 {
                    self.entries.pop();
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, at: &[u8], kind: FoundKind, stat: &Stat) {
        let below = at.get(self.top..).unwrap_or_default();
        self.entries.push(Found {
            below: below.strip_prefix(b"/").unwrap_or(below).to_vec(),
            kind,
            mode: stat.st_mode & 0o7777,
        });
    }

    fn kind(
        &self,
        parent: impl AsFd,
        name: &[u8],
        at: &[u8],
        stat: &Stat,
    ) -> Result<FoundKind, ContextError> {
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => FoundKind::Dir,
            FileType::RegularFile => FoundKind::File {
                id: FileId::of(stat),
                linked: stat.st_nlink > 1,
            },
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|error| self.context.io("read", at, error))?;
                FoundKind::Symlink(target.into_bytes())
            }
            FileType::CharacterDevice => FoundKind::Char(major(stat.st_rdev), minor(stat.st_rdev)),
            FileType::BlockDevice => FoundKind::Block(major(stat.st_rdev), minor(stat.st_rdev)),
            FileType::Fifo => FoundKind::Fifo,
            FileType::Socket | FileType::Unknown => {
                let path = self.context.shown(at);
                return Err(ContextError::Socket { path });
            }
        })
    }
}

/// The names in a directory, sorted, with the type that the directory has for each.
fn names(
    context: &Context,
    dir: &mut Dir,
    at: &[u8],
) -> Result<Vec<(Vec<u8>, FileType)>, ContextError> {
    let mut names = Vec::new();
    while let Some(entry) = dir.read() {
        let entry = entry.map_err(|error| context.io("read", at, error))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names)
}
