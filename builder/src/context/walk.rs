//! The walk: all that a source holds, in the order of a layer, with one stat for each entry.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, major, minor, openat2,
};
use rustix::io::Errno;

use super::error::ContextError;
use super::pattern::join;
use super::resolve::{Place, PlaceKind, excluded};
use super::{Context, DIRECTORY};
use crate::cache::files::FileId;
use crate::cancel::Cancel;
use crate::glob::Glob;

mod tree;

/// How much of a directory is read at once.
const LISTING: usize = 32 << 10;

/// Says of a directory, by its path below the match, whether anything in it is wanted.
pub(crate) type Enter<'a> = &'a (dyn Fn(&[u8]) -> bool + Sync);

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
    enter: Enter<'_>,
    cancel: &Cancel,
) -> Result<Result<Match, ContextError>, ContextError> {
    let at = place.at;
    let entries = match place.kind {
        PlaceKind::Other(stat) => vec![Found {
            below: Vec::new(),
            // It is no link, so that its parent is not needed.
            kind: found_kind(context, &context.root, b"", &at, &stat)?,
            mode: stat.st_mode & 0o7777,
        }],
        PlaceKind::Directory(fd) => {
            let fd = match fd {
                Some(fd) => fd,
                None => rustix::fs::openat(&context.root, ".", DIRECTORY, Mode::empty())
                    .map_err(|error| context.io("open", b"", error))?,
            };
            let stat = rustix::fs::fstat(&fd).map_err(|error| context.io("read", &at, error))?;
            let mut entries = vec![Found {
                below: Vec::new(),
                kind: FoundKind::Dir,
                mode: stat.st_mode & 0o7777,
            }];
            let from = tree::From {
                fd,
                at: &at,
                matched: place.matched,
            };
            tree::walk(context, from, enter, cancel, &mut entries)?;
            if place.decision.excluded && entries.len() == 1 {
                return Ok(Err(excluded(context, &name, place.decision)));
            }
            entries
        }
    };
    Ok(Ok(Match { name, at, entries }))
}

/// Finds what matches a pattern below a place, and walks each match. Symbolic links are not
/// followed on the way, but where one matches, it is.
pub(super) fn matching(
    context: &Context,
    base: Vec<u8>,
    place: Place,
    globs: &[Glob],
    enter: Enter<'_>,
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
    let dir = rustix::fs::openat(fd, ".", DIRECTORY, Mode::empty())
        .map_err(|error| context.io("open", &place.at, error))?;
    for (name, _) in names(context, &dir, &place.at, &mut Vec::new())? {
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
            found.extend(walk(context, path, place, enter, cancel)?.ok());
        } else if directory {
            let place = super::resolve::resolve(context, &at)?;
            found.extend(matching(context, path, place, rest, enter, cancel)?);
        }
    }
    Ok(found)
}

/// Looks at one path, in which no symbolic link may be but at its end.
pub(super) fn look(context: &Context, path: &[u8]) -> Result<Option<Found>, ContextError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let name = if path.is_empty() { b"." } else { path };
    let fd = match openat2(&context.root, name, flags, Mode::empty(), inside) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => return Ok(None),
        Err(error) => return Err(context.io("read", path, error)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|error| context.io("read", path, error))?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let left_out = context.ignore.matches(path).excluded;
    if !path.is_empty() && left_out && !(directory && context.ignore.may_contain_included(path)) {
        return Ok(None);
    }
    Ok(Some(Found {
        below: Vec::new(),
        kind: found_kind(context, &fd, b"", path, &stat)?,
        mode: stat.st_mode & 0o7777,
    }))
}

/// What an entry is.
fn found_kind(
    context: &Context,
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
                .map_err(|error| context.io("read", at, error))?;
            FoundKind::Symlink(target.into_bytes())
        }
        FileType::CharacterDevice => FoundKind::Char(major(stat.st_rdev), minor(stat.st_rdev)),
        FileType::BlockDevice => FoundKind::Block(major(stat.st_rdev), minor(stat.st_rdev)),
        FileType::Fifo => FoundKind::Fifo,
        FileType::Socket | FileType::Unknown => {
            let path = context.shown(at);
            return Err(ContextError::Socket { path });
        }
    })
}

/// The names in a directory, sorted, with the type that the directory has for each. `buffer` is
/// for the kernel to write to, and can be used again.
fn names(
    context: &Context,
    dir: &OwnedFd,
    at: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<Vec<(Vec<u8>, FileType)>, ContextError> {
    buffer.reserve_exact(LISTING);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| context.io("read", at, error))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names)
}
