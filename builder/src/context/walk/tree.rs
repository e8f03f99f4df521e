//! A directory with all that is in it, by two threads: a walk waits for the kernel more than it
//! computes. The order of the result does not depend on who came first.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode};

use super::super::error::ContextError;
use super::super::pattern::join;
use super::super::{Context, DIRECTORY};
use super::{Enter, Found, FoundKind, found_kind, names};
use crate::cancel::Cancel;
use crate::ignore::Matched;

/// Each level holds a directory open, and 1024 files is what a process may have open.
const DEEPEST: usize = 200;

/// Where a walk begins.
pub(super) struct From<'a> {
    pub(super) fd: OwnedFd,
    /// Where it lies in the context.
    pub(super) at: &'a [u8],
    pub(super) matched: Matched,
}

/// Adds to `entries` what is in a directory, sorted as in a layer.
pub(super) fn walk(
    context: &Context,
    from: From<'_>,
    enter: Enter<'_>,
    cancel: &Cancel,
    entries: &mut Vec<Found>,
) -> Result<(), ContextError> {
    let From { fd, at, matched } = from;
    let walker = Walker {
        context,
        cancel,
        enter,
        top: at.len(),
        shared: Mutex::default(),
        wake: Condvar::new(),
    };
    walker.list(fd, at, &matched, 0, 0, &mut Vec::new())?;
    if !walker.shared().ahead.is_empty() {
        std::thread::scope(|scope| {
            scope.spawn(|| walker.work());
            walker.work();
        });
    }
    let shared = walker.shared.into_inner();
    let mut shared = shared.unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = shared.failed.take() {
        return Err(error);
    }
    gather(&mut shared.listings, 0, entries);
    Ok(())
}

/// Puts the directory of this number behind the entries, and each directory's own behind it.
fn gather(listings: &mut [Vec<Listed>], number: usize, entries: &mut Vec<Found>) {
    let Some(listing) = listings.get_mut(number) else {
        return;
    };
    for listed in std::mem::take(listing) {
        let before = entries.len();
        entries.push(listed.found);
        if let Some(inside) = listed.inside {
            gather(listings, inside, entries);
            // What is left out is there for the sake of what is let in.
            if listed.excluded && entries.len() == before + 1 {
                entries.pop();
            }
        }
    }
}

struct Walker<'a> {
    context: &'a Context,
    cancel: &'a Cancel,
    enter: Enter<'a>,
    /// The length of the path of what is walked.
    top: usize,
    shared: Mutex<Shared>,
    wake: Condvar,
}

#[derive(Default)]
struct Shared {
    /// The next one last.
    ahead: Vec<Task>,
    busy: usize,
    listings: Vec<Vec<Listed>>,
    failed: Option<ContextError>,
}

/// A directory to be listed.
struct Task {
    parent: Arc<OwnedFd>,
    name: Vec<u8>,
    at: Vec<u8>,
    matched: Matched,
    depth: usize,
    /// The number of its listing.
    number: usize,
}

/// An entry of a directory.
struct Listed {
    found: Found,
    /// For a directory the number of its listing.
    inside: Option<usize>,
    excluded: bool,
}

impl Walker<'_> {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists directories until there are none, or something fails.
    fn work(&self) {
        let mut buffer = Vec::new();
        let mut shared = self.shared();
        loop {
            if shared.failed.is_some() {
                return;
            }
            let Some(task) = shared.ahead.pop() else {
                if shared.busy == 0 {
                    return;
                }
                shared = self
                    .wake
                    .wait(shared)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            shared.busy += 1;
            drop(shared);
            let done = self.open_and_list(&task, &mut buffer);
            shared = self.shared();
            shared.busy -= 1;
            if let Err(error) = done {
                shared.failed = Some(error);
            }
            if shared.busy == 0 || shared.failed.is_some() || shared.ahead.len() > 1 {
                self.wake.notify_all();
            }
        }
    }

    fn open_and_list(&self, task: &Task, buffer: &mut Vec<u8>) -> Result<(), ContextError> {
        let fd = rustix::fs::openat(&task.parent, &task.name, DIRECTORY, Mode::empty())
            .map_err(|error| self.context.io("open", &task.at, error))?;
        self.list(fd, &task.at, &task.matched, task.depth, task.number, buffer)
    }

    fn list(
        &self,
        fd: OwnedFd,
        at: &[u8],
        matched: &Matched,
        depth: usize,
        number: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), ContextError> {
        let context = self.context;
        if self.cancel.is_cancelled() {
            return Err(ContextError::Cancelled);
        }
        if depth > DEEPEST {
            let path = context.shown(at);
            return Err(ContextError::TooDeep { path });
        }
        let names = names(context, &fd, at, buffer)?;
        let fd = Arc::new(fd);
        let ignoring = !context.ignore.is_empty();
        let mut listing = Vec::with_capacity(names.len());
        let mut tasks: Vec<Task> = Vec::new();
        for (name, hint) in names {
            let path = join(at, &name);
            let (excluded, inner) = if ignoring {
                let (decision, inner) = context.ignore.matches_in(matched, &path);
                (decision.excluded, inner)
            } else {
                (false, Matched::default())
            };
            // What the directory says of the type spares a stat of what is left out anyhow.
            let other = !matches!(hint, FileType::Directory | FileType::Unknown);
            if excluded && (other || !context.ignore.may_contain_included(&path)) {
                continue;
            }
            let stat = rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| context.io("read", &path, error))?;
            if excluded && FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                continue;
            }
            let kind = found_kind(context, &fd, &name, &path, &stat)?;
            let below = match self.top {
                0 => 0,
                top => top + 1,
            };
            if kind == FoundKind::Dir && (self.enter)(&path[below..]) {
                tasks.push(Task {
                    parent: Arc::clone(&fd),
                    name,
                    at: path.clone(),
                    matched: inner,
                    depth: depth + 1,
                    // By its place in the listing, until the listing has its own.
                    number: listing.len(),
                });
            }
            let below = match below {
                0 => path,
                below => path[below..].to_vec(),
            };
            let mode = stat.st_mode & 0o7777;
            listing.push(Listed {
                found: Found { below, kind, mode },
                inside: None,
                excluded,
            });
        }
        let mut shared = self.shared();
        let first = shared.listings.len().max(1);
        shared.listings.resize_with(first + tasks.len(), Vec::new);
        for (inside, task) in (first..).zip(&mut tasks) {
            listing[task.number].inside = Some(inside);
            task.number = inside;
        }
        shared.listings[number] = listing;
        shared.ahead.extend(tasks.into_iter().rev());
        Ok(())
    }
}
