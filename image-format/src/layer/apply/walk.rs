//! The way to an entry's directory, through what is unpacked and what lies below.

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::Unpacker;
use super::error::{Fault, Refusal, failed};
use super::lowers::{Found, is_whiteout};
use crate::layer::entry::{MOST_SYMLINKS, Meta};

/// What a name leads to.
enum Step {
    Entered,
    Symlink(Vec<u8>),
    Missing,
    /// Something of this layer hides what was there.
    Hidden,
    NotADir,
}

impl Unpacker<'_> {
    /// Goes to the directory `path` of the image, through links. A directory that only the layers
    /// below have is made like it is there; one that is nowhere is made if `make` says so, else the
    /// answer is false.
    pub(super) fn enter(&mut self, path: &[u8], make: bool) -> Result<bool, Fault> {
        if self.here.as_deref() == Some(path) {
            return Ok(true);
        }
        self.here = None;
        let names = || names(path);
        let common = self.dirs.common(names());
        self.dirs.truncate(common)?;
        // The next name is last.
        let mut ahead: Vec<Box<[u8]>> = names().skip(common).map(Box::from).collect();
        ahead.reverse();
        let mut symlinks = 0;
        while let Some(name) = ahead.pop() {
            if *name == *b".." {
                self.dirs.up()?;
                continue;
            }
            match self.step(&name)? {
                Step::Entered => {}
                Step::Symlink(target) => {
                    symlinks += 1;
                    if symlinks > MOST_SYMLINKS {
                        return Err(Refusal::Symlinks.into());
                    }
                    if target.starts_with(b"/") {
                        self.dirs.truncate(0)?;
                    }
                    let at = ahead.len();
                    ahead.extend(names_of_link(&target).map(Box::from));
                    ahead[at..].reverse();
                }
                Step::Missing | Step::Hidden | Step::NotADir if !make => return Ok(false),
                Step::Missing => self.make_dir(&name, &Meta::implied_dir(), false)?,
                Step::Hidden => {
                    self.remove(&name)?;
                    self.make_dir(&name, &Meta::implied_dir(), true)?;
                }
                Step::NotADir => return Err(Refusal::NotInDir.into()),
            }
        }
        self.here = Some(path.to_vec());
        Ok(true)
    }

    fn step(&mut self, name: &[u8]) -> Result<Step, Fault> {
        match self.dirs.open(name) {
            Ok(fd) => {
                self.go_into(name, fd)?;
                Ok(Step::Entered)
            }
            Err(Errno::NOENT) => {
                let Some(found) = self.below(name)? else {
                    return Ok(Step::Missing);
                };
                if found.file_type().is_symlink() {
                    return Ok(Step::Symlink(found.target()?));
                }
                if !found.file_type().is_dir() {
                    return Ok(Step::NotADir);
                }
                let meta = found.meta()?;
                self.make_dir(name, &meta, false)?;
                Ok(Step::Entered)
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let Some(stat) = self.own(name)? else {
                    return Ok(Step::Missing);
                };
                if FileType::from_raw_mode(stat.st_mode).is_symlink() {
                    let target = rustix::fs::readlinkat(self.dirs.fd(), name, Vec::new());
                    let target = target.map_err(failed("read a link on the way to"))?;
                    return Ok(Step::Symlink(target.into_bytes()));
                }
                if self.lowers.is_some() && is_whiteout(&stat) {
                    return Ok(Step::Hidden);
                }
                Ok(Step::NotADir)
            }
            Err(error) => Err(failed("open a directory on the way to")(error)),
        }
    }

    /// What stands at a name here, in the target itself.
    pub(super) fn own(&self, name: &[u8]) -> Result<Option<Stat>, Fault> {
        match rustix::fs::statat(self.dirs.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("read")(error)),
        }
    }

    /// What the layers below have at a name here, where the target itself has nothing.
    pub(super) fn below(&self, name: &[u8]) -> Result<Option<Found>, Fault> {
        match &self.lowers {
            Some(lowers) if !self.dirs.is_hidden() => {
                lowers.find(self.dirs.names().chain(std::iter::once(name)))
            }
            _ => Ok(None),
        }
    }
}

/// The names of a path, which has no `.` or `..`.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
}

/// The names of a link's target, `..` among them.
fn names_of_link(target: &[u8]) -> impl Iterator<Item = &[u8]> {
    names(target).filter(|name| *name != b".")
}
