//! The layers below, unpacked, as the one tree they make.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes;
use super::content::Below;
use super::dirs::open_dir;
use super::error::{Fault, failed};
use crate::layer::entry::{Kind, Meta};
use crate::layer::whiteout::XattrNamespace;

pub(super) struct Lowers<'a> {
    /// Topmost first.
    layers: &'a [PathBuf],
    xattrs: XattrNamespace,
}

/// Something in a layer below.
pub(super) struct Found {
    dir: OwnedFd,
    name: Vec<u8>,
    pub stat: Stat,
}

/// Whether this is how overlayfs says that a name is gone.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

impl<'a> Lowers<'a> {
    pub fn new(layers: &'a [PathBuf], xattrs: XattrNamespace) -> Self {
        Self { layers, xattrs }
    }

    pub fn xattrs(&self) -> XattrNamespace {
        self.xattrs
    }

    /// The metadata of the root, where there is a layer.
    pub fn root(&self) -> Result<Option<Meta>, Fault> {
        let Some(layer) = self.layers.first() else {
            return Ok(None);
        };
        let fd = open_layer(layer)?;
        let stat = rustix::fs::fstat(&fd).map_err(failed("read the layer below"))?;
        attributes::of_file(&fd, &stat).map(Some)
    }

    /// What the topmost layer that has these names has there. None of them is followed.
    pub fn find<'n>(
        &self,
        names: impl Iterator<Item = &'n [u8]> + Clone,
    ) -> Result<Option<Found>, Fault> {
        const READ: &str = "read the layer below for";
        for layer in self.layers {
            let mut dir = open_layer(layer)?;
            let mut hides_rest = false;
            let mut names = names.clone().peekable();
            while let Some(name) = names.next() {
                let stat = match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => stat,
                    Err(Errno::NOENT) => break,
                    Err(error) => return Err(failed(READ)(error)),
                };
                if is_whiteout(&stat) {
                    return Ok(None);
                }
                if names.peek().is_none() {
                    let name = name.to_vec();
                    return Ok(Some(Found { dir, name, stat }));
                }
                if !FileType::from_raw_mode(stat.st_mode).is_dir() {
                    return Ok(None);
                }
                dir = open_dir(dir.as_fd(), name).map_err(failed(READ))?;
                hides_rest |= attributes::is_opaque(&dir, self.xattrs)?;
            }
            if hides_rest {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// All names that some layer has in its root, gone or not.
    pub fn names_in_root(&self) -> Result<BTreeSet<Vec<u8>>, Fault> {
        let mut names = BTreeSet::new();
        for layer in self.layers {
            let fd = open_layer(layer)?;
            names.extend(
                super::remove::list(fd.as_fd())?
                    .into_iter()
                    .map(|(name, _)| name),
            );
        }
        Ok(names)
    }
}

fn open_layer(layer: &PathBuf) -> Result<OwnedFd, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(layer, flags, Mode::empty()).map_err(failed("open the layer below for"))
}

impl Found {
    #[cfg(test)]
    pub fn at(dir: OwnedFd, name: &[u8]) -> Self {
        let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let name = name.to_vec();
        Self { dir, name, stat }
    }

    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// What it is; `None` for a directory, and what no layer can hold.
    pub fn kind(&self) -> Result<Option<Kind>, Fault> {
        let device = self.stat.st_rdev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Ok(Some(match self.file_type() {
            FileType::RegularFile => Kind::File {
                size: u64::try_from(self.stat.st_size).unwrap_or(0),
            },
            FileType::Symlink => Kind::Symlink(self.target()?),
            FileType::CharacterDevice => Kind::Char(major, minor),
            FileType::BlockDevice => Kind::Block(major, minor),
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(None),
        }))
    }

    /// Where a symbolic link leads.
    pub fn target(&self) -> Result<Vec<u8>, Fault> {
        let target = rustix::fs::readlinkat(&self.dir, self.name.as_slice(), Vec::new());
        let target = target.map_err(failed("read the layer below for"))?;
        Ok(target.into_bytes())
    }

    pub fn meta(&self) -> Result<Meta, Fault> {
        attributes::of_name(self.dir.as_fd(), &self.name, &self.stat)
    }

    /// The content of a file; nothing for others.
    pub fn content(&self, kind: &Kind) -> Result<Below, Fault> {
        let Kind::File { .. } = kind else {
            return Ok(Below(None));
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.dir, self.name.as_slice(), flags, Mode::empty());
        let fd = fd.map_err(failed("read the layer below for"))?;
        Ok(Below(Some(File::from(fd))))
    }
}
