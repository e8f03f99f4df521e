//! A directory that resolves paths inside itself, as a process with it as its root would: the only
//! way to look at a path in a root file system.
//!
//! Whoever made the tree chose its links. The kernel resolves them here (`openat2(2)`,
//! `RESOLVE_IN_ROOT`): `/etc -> /../../etc` stays inside, and `/proc`'s magic links lead nowhere.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// An open root file system.
pub struct RootDir(OwnedFd);

/// Why a file in a root file system cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RootDirError {
    /// A system call failed.
    #[error("cannot {action} {} in the root file system", path.display())]
    Io {
        /// What was tried, as in `open`.
        action: &'static str,
        /// The path within.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Something else is there than a regular file: to open it could have effects, or take forever.
    #[error("{} in the root file system is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file is larger than what it is for can sensibly need.
    #[error("{} in the root file system has more than {most} bytes", path.display())]
    TooLarge {
        /// The path within.
        path: PathBuf,
        /// The most bytes it may have.
        most: u64,
    },
}

fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> RootDirError {
    move |error| RootDirError::Io {
        action,
        path: path.to_owned(),
        source: error.into(),
    }
}

impl RootDir {
    /// Opens a directory, which the caller names and trusts.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(dir: &Path) -> Result<Self, RootDirError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(dir, flags, Mode::empty());
        opened.map(Self).map_err(failed("open", dir))
    }

    /// What has this path; links on the way are followed, one at its end is not.
    ///
    /// # Errors
    /// When the kernel cannot tell, as for links in a circle.
    pub fn lookup(&self, path: &Path) -> Result<Option<Stat>, RootDirError> {
        let found = self.find(path, OFlags::NOFOLLOW)?;
        Ok(found.map(|(_, stat)| stat))
    }

    /// What this path leads to, all links followed.
    ///
    /// # Errors
    /// As [`RootDir::lookup`].
    pub fn resolve(&self, path: &Path) -> Result<Option<Stat>, RootDirError> {
        let found = self.find(path, OFlags::empty())?;
        Ok(found.map(|(_, stat)| stat))
    }

    /// The content of a regular file, links followed, of at most so many bytes; `None` where
    /// nothing is there.
    ///
    /// # Errors
    /// When it is no regular file, or larger, or cannot be read.
    pub fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, RootDirError> {
        let Some((fd, stat)) = self.find(path, OFlags::empty())? else {
            return Ok(None);
        };
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(RootDirError::NotAFile(path.to_owned()));
        }
        // Only now is it opened, by its handle: it is known to be a file.
        let file = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let file = file.map_err(failed("open", path))?;
        let mut content = Vec::new();
        let length = file.take(most.saturating_add(1)).read_to_end(&mut content);
        if length.map_err(failed("read", path))? as u64 > most {
            let path = path.to_owned();
            return Err(RootDirError::TooLarge { path, most });
        }
        Ok(Some(content))
    }

    fn find(&self, path: &Path, flags: OFlags) -> Result<Option<(OwnedFd, Stat)>, RootDirError> {
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let opened = loop {
            match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), inside) {
                // Somebody moved something meanwhile, and the kernel could not be sure.
                Err(Errno::AGAIN) => {}
                opened => break opened,
            }
        };
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(failed("find", path)(error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(failed("find", path))?;
        Ok(Some((fd, stat)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_nowhere_outside() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("secret"), "outside").unwrap();
        let dir = tmp.path().join("root");
        std::fs::create_dir_all(dir.join("etc")).unwrap();
        std::fs::write(dir.join("secret"), "inside").unwrap();
        symlink("../../../secret", dir.join("etc/up")).unwrap();
        symlink("/secret", dir.join("etc/absolute")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        let root = RootDir::open(&dir).unwrap();
        for path in ["/etc/up", "etc/absolute", "../secret", "/../../secret"] {
            let read = root.read(Path::new(path), 100).unwrap();
            assert_eq!(read.as_deref(), Some(b"inside".as_slice()), "{path}");
        }
        assert!(root.resolve(Path::new("loop")).is_err());
        let link = root.lookup(Path::new("loop")).unwrap().unwrap();
        assert!(FileType::from_raw_mode(link.st_mode).is_symlink());
        assert!(root.lookup(Path::new("secret/x")).unwrap().is_none());
    }

    #[test]
    fn reads_regular_files_of_bounded_size_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("five"), "12345").unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        assert_eq!(root.read(Path::new("five"), 5).unwrap().unwrap(), b"12345");
        assert!(matches!(
            root.read(Path::new("five"), 4),
            Err(RootDirError::TooLarge { most: 4, .. })
        ));
        for other in ["fifo", "."] {
            assert!(matches!(
                root.read(Path::new(other), 5),
                Err(RootDirError::NotAFile(_))
            ));
        }
        assert!(root.read(Path::new("none"), 5).unwrap().is_none());
    }
}
