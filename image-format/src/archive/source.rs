//! What images are loaded from, as a set of files by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::load::copy;
use super::{ArchiveError, read_error, write_error};
use crate::layer::compression::decompress;
use crate::layout::{LARGEST_DOCUMENT, Store, TmpDir};

/// The most entries of an archive: docker's have three a layer and some more.
const MOST_ENTRIES: usize = 100_000;
/// Links of links, as old versions of docker wrote them.
const LONGEST_CHAIN: usize = 8;

/// Where images are loaded from.
pub enum Source {
    /// An OCI image layout, or an unpacked docker archive.
    Directory(PathBuf),
    /// A tar of one of them, plain or compressed.
    Archive(Box<dyn Read + Send>),
}

/// The files of a source.
pub(super) enum Files {
    Directory(File),
    Unpacked {
        files: BTreeMap<PathBuf, Entry>,
        _dir: TmpDir,
    },
}

pub(super) enum Entry {
    File(PathBuf),
    Link(PathBuf),
}

impl Files {
    /// Opens a directory, or unpacks an archive's files, under names of our own, beside the store.
    pub(super) fn open(store: &Store, source: Source) -> Result<Self, ArchiveError> {
        match source {
            Source::Directory(path) => {
                let what = path.display().to_string();
                Ok(Self::Directory(
                    File::open(&path).map_err(read_error(&what))?,
                ))
            }
            Source::Archive(reader) => unpack(store, reader),
        }
    }

    /// Opens a file; `None` where there is none of this name.
    pub(super) fn get(&self, name: &str) -> Result<Option<File>, ArchiveError> {
        let opened = match self {
            Self::Directory(dir) => openat2(
                dir,
                name,
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            )
            .map(File::from)
            .map_err(io::Error::from),
            Self::Unpacked { files, .. } => {
                find(files, name).map_or(Err(io::ErrorKind::NotFound.into()), File::open)
            }
        };
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(read_error(name)(error)),
        }
    }

    /// Opens a file that must be there.
    pub(super) fn need(&self, name: &str) -> Result<File, ArchiveError> {
        self.get(name)?
            .ok_or_else(|| ArchiveError::Missing(name.to_owned()))
    }

    /// Reads a document whole.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        let mut file = self.need(name)?.take(LARGEST_DOCUMENT + 1);
        file.read_to_end(&mut bytes).map_err(read_error(name))?;
        if bytes.len() as u64 > LARGEST_DOCUMENT {
            return Err(ArchiveError::TooLarge(name.to_owned()));
        }
        Ok(bytes)
    }
}

fn find<'a>(files: &'a BTreeMap<PathBuf, Entry>, name: &str) -> Option<&'a Path> {
    let mut name = normal(Path::new(name))?;
    for _ in 0..LONGEST_CHAIN {
        match files.get(&name)? {
            Entry::File(path) => return Some(path),
            Entry::Link(target) => name = target.clone(),
        }
    }
    None
}

fn unpack(store: &Store, reader: Box<dyn Read + Send>) -> Result<Files, ArchiveError> {
    let error = || read_error("the archive");
    let dir = store.tmp_dir()?;
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(decompress(reader).map_err(error())?);
    for (number, entry) in archive.entries().map_err(error())?.enumerate() {
        if number >= MOST_ENTRIES {
            return Err(ArchiveError::TooMany(MOST_ENTRIES));
        }
        let mut entry = match entry {
            // What does not begin as a tar is none; what goes on as none is damaged.
            Err(error) if number == 0 && error.kind() == io::ErrorKind::Other => {
                return Err(ArchiveError::NoImages);
            }
            entry => entry.map_err(error())?,
        };
        let Some(name) = normal(&entry.path().map_err(error())?) else {
            continue;
        };
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let path = dir.path().join(number.to_string());
            let shown = name.display().to_string();
            let mut file = File::create(&path).map_err(write_error(&shown))?;
            copy(&shown, &mut entry, &mut file)?;
            files.insert(name, Entry::File(path));
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name().map_err(error())?.unwrap_or_default();
            let from = if kind.is_symlink() {
                name.parent()
            } else {
                None
            };
            if let Some(target) = normal(&from.unwrap_or(Path::new("")).join(target)) {
                files.insert(name, Entry::Link(target));
            }
        }
    }
    Ok(Files::Unpacked { files, _dir: dir })
}

/// The name without `.` and `..`; `None` where it leads out of the archive.
fn normal(name: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => normal.push(part),
            Component::ParentDir if !normal.pop() => return None,
            _ => {}
        }
    }
    Some(normal)
}
