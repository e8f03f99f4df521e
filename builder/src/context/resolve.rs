//! From a source's path to the place it leads to: symbolic links are followed here, inside the
//! context, and only in the path of a source.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use image_format::nearest::nearest;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::ContextError;
use super::pattern::{components, join};
use super::{Context, DIRECTORY};
use crate::ignore::{Decision, Matched};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// A place in the context that exists.
pub(super) struct Place {
    /// Its path, without symbolic links; empty for the context itself.
    pub(super) at: Vec<u8>,
    /// What it is.
    pub(super) kind: PlaceKind,
    /// What the ignore file says of it.
    pub(super) decision: Decision,
    /// For what is in it.
    pub(super) matched: Matched,
}

/// What a place is.
pub(super) enum PlaceKind {
    /// A directory, open; none for the context's own.
    Directory(Option<OwnedFd>),
    /// Anything else, but a symbolic link.
    Other(Box<Stat>),
}

/// A directory on the way.
struct Step {
    at: Vec<u8>,
    fd: OwnedFd,
    decision: Decision,
    matched: Matched,
}

/// Finds the place that a source's path leads to.
///
/// # Errors
/// When it is missing, left out with all that could be in it, or cannot be reached.
pub(super) fn resolve(context: &Context, path: &[u8]) -> Result<Place, ContextError> {
    let mut pending: VecDeque<Vec<u8>> = components(path).map(<[u8]>::to_vec).collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut links = 0;
    let included = Decision {
        excluded: false,
        line: None,
    };
    while let Some(name) = pending.pop_front() {
        match name.as_slice() {
            b"." => continue,
            b".." => {
                steps.pop();
                continue;
            }
            _ => {}
        }
        let (parent, above) = match steps.last() {
            Some(step) => (step.fd.as_fd(), step.at.as_slice()),
            None => (context.root.as_fd(), &b""[..]),
        };
        let at = join(above, &name);
        let stat = match rustix::fs::statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => {
                return Err(missing(context, path, parent, above, &name));
            }
            Err(error) => return Err(context.io("read", &at, error)),
        };
        let root = context.ignore.root();
        let of_parent = steps.last().map_or(&root, |step| &step.matched);
        let (decision, matched) = context.ignore.matches_in(of_parent, &at);
        let kind = FileType::from_raw_mode(stat.st_mode);
        let inside = kind == FileType::Directory && context.ignore.may_contain_included(&at);
        if decision.excluded && !inside {
            return Err(excluded(context, path, decision));
        }
        match kind {
            FileType::Symlink => {
                links += 1;
                if links > MOST_LINKS {
                    let name = lossy(path);
                    return Err(ContextError::Loop { name });
                }
                let target = rustix::fs::readlinkat(parent, &name, Vec::new())
                    .map_err(|error| context.io("read", &at, error))?;
                let target = target.into_bytes();
                if target.starts_with(b"/") {
                    steps.clear();
                }
                for name in components(&target).collect::<Vec<_>>().into_iter().rev() {
                    pending.push_front(name.to_vec());
                }
            }
            FileType::Directory => {
                let fd = rustix::fs::openat(parent, &name, DIRECTORY, Mode::empty())
                    .map_err(|error| context.io("open", &at, error))?;
                steps.push(Step {
                    at,
                    fd,
                    decision,
                    matched,
                });
            }
            _ if pending.iter().all(|name| name == b".") => {
                return Ok(Place {
                    at,
                    kind: PlaceKind::Other(Box::new(stat)),
                    decision,
                    matched,
                });
            }
            _ => {
                return Err(ContextError::Missing {
                    name: lossy(path),
                    nearest: None,
                });
            }
        }
    }
    Ok(match steps.pop() {
        Some(step) => Place {
            at: step.at,
            kind: PlaceKind::Directory(Some(step.fd)),
            decision: step.decision,
            matched: step.matched,
        },
        None => Place {
            at: Vec::new(),
            kind: PlaceKind::Directory(None),
            decision: included,
            matched: context.ignore.root(),
        },
    })
}

/// The error for what the ignore file leaves out.
pub(super) fn excluded(context: &Context, path: &[u8], decision: Decision) -> ContextError {
    match (&context.ignore_name, decision.line) {
        (Some(file), Some(line)) => ContextError::Excluded {
            name: lossy(path),
            file: file.clone(),
            line,
        },
        _ => ContextError::Missing {
            name: lossy(path),
            nearest: None,
        },
    }
}

/// The error for what is not there, with the name beside it that is nearest.
fn missing(
    context: &Context,
    path: &[u8],
    parent: BorrowedFd<'_>,
    above: &[u8],
    name: &[u8],
) -> ContextError {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let names = rustix::fs::openat(parent, ".", flags, Mode::empty())
        .and_then(Dir::new)
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_bytes().to_vec())
                .filter(|name| name != b"." && name != b"..")
                .filter(|name| !context.ignore.matches(&join(above, name)).excluded)
                .map(|name| lossy(&name))
                .collect::<Vec<_>>()
        });
    let near = names.ok().and_then(|names| nearest(&lossy(name), names));
    ContextError::Missing {
        name: lossy(path),
        nearest: near.map(|near| lossy(&join(above, near.as_bytes()))),
    }
}

pub(super) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
