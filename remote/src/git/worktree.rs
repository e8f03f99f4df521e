//! Writing the files of a commit into an empty directory.
//!
//! Each directory is made, opened without following links, and written into by its handle, and
//! nothing that is there already is touched: no tree, whatever it holds, leads out of the directory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use builder::cancel::Cancel;
use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use gix_object::{Kind, TreeRef};
use gix_validate::path::component;
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat, symlinkat};

use super::attributes::{self, Attributes};
use super::error::GitError;
use super::objects::Objects;

/// The deepest directory; git's own repositories have a dozen.
const DEEPEST: usize = 200;
/// The most files: a tree that repeats itself could name more than any disk holds.
const MOST_FILES: usize = 5_000_000;

/// What a checkout wrote.
#[derive(Default)]
pub struct Written {
    /// All files, links and submodules, in the order of their trees.
    pub entries: Vec<Entry>,
}

/// A file, link or submodule.
pub struct Entry {
    /// Relative to the repository.
    pub path: Vec<u8>,
    /// Its content, or its commit.
    pub id: ObjectId,
    /// What it is.
    pub kind: EntryKind,
}

/// Writes a tree into an empty directory.
pub fn write(
    objects: &mut Objects,
    tree: ObjectId,
    dir: &Path,
    cancel: &Cancel,
) -> Result<Written, GitError> {
    let top = openat(CWD, dir, DIR, Mode::empty()).map_err(|error| GitError::File {
        action: "open",
        path: dir.to_owned(),
        source: error.into(),
    })?;
    let mut writer = Writer {
        objects,
        attributes: Attributes::new()?,
        root: dir,
        cancel,
        written: Written::default(),
        depth: 0,
    };
    writer.tree(tree, &top, &mut Vec::new())?;
    Ok(writer.written)
}

const DIR: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

struct Writer<'a> {
    objects: &'a mut Objects,
    attributes: Attributes,
    root: &'a Path,
    cancel: &'a Cancel,
    written: Written,
    depth: usize,
}

impl Writer<'_> {
    fn tree(&mut self, id: ObjectId, dir: &OwnedFd, path: &mut Vec<u8>) -> Result<(), GitError> {
        if self.depth > DEEPEST {
            return Err(GitError::TooMuch("directories more than 200 deep"));
        }
        let mut buffer = Vec::new();
        let (kind, data) = self.objects.read(id, &mut buffer)?;
        if kind != Kind::Tree {
            return Err(GitError::Missing(id));
        }
        let tree = TreeRef::from_bytes(data, gix_hash::Kind::Sha1);
        let entries = tree
            .map_err(|source| GitError::Object { id, source })?
            .entries;
        let own = entries
            .iter()
            .find(|entry| entry.filename == attributes::FILE && entry.mode.is_blob());
        let mut content = Vec::new();
        if let Some(own) = own {
            self.objects.read(own.oid.to_owned(), &mut content)?;
        }
        let length = path.len();
        let file = format!("{}.gitattributes", String::from_utf8_lossy(path));
        self.attributes.enter(&content, &file)?;
        for entry in &entries {
            if self.cancel.is_cancelled() {
                return Err(GitError::Cancelled);
            }
            path.extend_from_slice(entry.filename);
            let kind = entry.mode.kind();
            self.check(entry.filename, kind, path)?;
            let name = to_os(entry.filename);
            self.entry(
                Entry {
                    path: path.clone(),
                    id: entry.oid.to_owned(),
                    kind,
                },
                dir,
                &name,
            )?;
            path.truncate(length);
        }
        self.attributes.leave();
        Ok(())
    }

    /// Refuses names that are no names, and those that a file system could take for `.git`.
    fn check(
        &self,
        name: &gix_object::bstr::BStr,
        kind: EntryKind,
        path: &[u8],
    ) -> Result<(), GitError> {
        let options = component::Options {
            protect_windows: false,
            protect_hfs: true,
            protect_ntfs: true,
        };
        let mode = (kind == EntryKind::Link).then_some(component::Mode::Symlink);
        let checked = gix_validate::path::component(name, mode, options);
        checked.map(drop).map_err(|source| GitError::Name {
            path: String::from_utf8_lossy(path).into_owned(),
            source,
        })
    }

    fn entry(&mut self, entry: Entry, dir: &OwnedFd, name: &Path) -> Result<(), GitError> {
        if self.written.entries.len() >= MOST_FILES {
            return Err(GitError::TooMuch("more than 5,000,000 files"));
        }
        let root = self.root;
        let failed = |path: &[u8], action| {
            let path = root.join(to_os(path));
            move |source: io::Error| GitError::File {
                action,
                path,
                source,
            }
        };
        match entry.kind {
            EntryKind::Tree => {
                let sub = make_dir(dir, name).map_err(failed(&entry.path, "make"))?;
                let mut path = entry.path;
                path.push(b'/');
                self.depth += 1;
                self.tree(entry.id, &sub, &mut path)?;
                self.depth -= 1;
                return Ok(());
            }
            EntryKind::Commit => {
                make_dir(dir, name).map_err(failed(&entry.path, "make"))?;
            }
            EntryKind::Link => {
                let mut target = Vec::new();
                self.blob(entry.id, &mut target)?;
                symlinkat(to_os(&target), dir, name)
                    .map_err(|error| failed(&entry.path, "link")(error.into()))?;
            }
            EntryKind::Blob | EntryKind::BlobExecutable => {
                let mut content = Vec::new();
                self.blob(entry.id, &mut content)?;
                let converted = self.attributes.convert(&entry.path, &entry.id, &content)?;
                let mode = match entry.kind {
                    EntryKind::Blob => Mode::from_raw_mode(0o644),
                    _ => Mode::from_raw_mode(0o755),
                };
                write_file(dir, name, &converted, mode).map_err(failed(&entry.path, "write"))?;
            }
        }
        self.written.entries.push(entry);
        Ok(())
    }

    fn blob(&mut self, id: ObjectId, to: &mut Vec<u8>) -> Result<(), GitError> {
        match self.objects.read(id, to)? {
            (Kind::Blob, _) => Ok(()),
            _ => Err(GitError::Missing(id)),
        }
    }
}

fn make_dir(dir: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o755);
    mkdirat(dir, name, mode)?;
    let made = openat(dir, name, DIR, Mode::empty())?;
    // Whatever the umask.
    fchmod(&made, mode)?;
    Ok(made)
}

fn write_file(dir: &OwnedFd, name: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir.as_fd(), name, flags, mode)?);
    fchmod(&file, mode)?;
    file.write_all(bytes)
}

/// Bytes as the system takes them for a path.
pub fn to_os(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
