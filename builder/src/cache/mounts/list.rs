//! What cache mounts there are, and the removal of those that nobody uses.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use image_format::digest::Digest;
use image_format::layout::TmpDir;
use image_format::nearest::nearest;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, statat,
};

use super::{CacheMountError, CacheMounts, DATA, RECORD, Record, failed, names, numbers, try_lock};

/// A record has some hundred bytes beside its id, which is a part of a Dockerfile.
const LONGEST_RECORD: u64 = 16 << 20;

/// A cache mount of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the Dockerfile calls it; empty where its record is lost.
    pub id: String,
    /// What its directories lie under, which names it too.
    pub key: Digest,
    /// How many directories it has.
    pub directories: usize,
    /// What they take on the disk, in bytes.
    pub size: u64,
    /// When it was last used, in seconds since 1970.
    pub used: u64,
    /// Whether somebody uses it now.
    pub in_use: bool,
}

impl CacheMounts {
    /// All of them, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, CacheMountError> {
        let mut listed = Vec::new();
        for key in self.keys()? {
            let dir = self.dir(&key);
            let records = numbers(&dir)?.into_iter();
            let records: Vec<_> = records
                .map(|number| record(&dir.join(number.to_string())))
                .collect();
            if records.is_empty() {
                continue;
            }
            let used = records.iter().flatten().map(|record| record.used).max();
            let id = records.iter().flatten().next();
            listed.push(Listed {
                id: id.map_or_else(String::new, |record| record.identity.id.clone()),
                key,
                directories: records.len(),
                size: size(&dir),
                used: used.unwrap_or(0),
                in_use: {
                    let _guard = self.guard()?;
                    self.lock(&key)?.is_none()
                },
            });
        }
        listed.sort_by(|a, b| (&a.id, a.key).cmp(&(&b.id, b.key)));
        Ok(listed)
    }

    /// Those that `names` name by their ids or keys; all where there is no name.
    ///
    /// # Errors
    /// When a name names none.
    pub fn select(&self, names: &[String]) -> Result<Vec<Listed>, CacheMountError> {
        let mut all = self.list()?;
        let is = |mount: &Listed, name: &String| mount.id == *name || mount.key.hex() == *name;
        for name in names {
            if !all.iter().any(|mount| is(mount, name)) {
                return Err(CacheMountError::Unknown {
                    id: name.clone(),
                    nearest: nearest(name, all.iter().map(|mount| mount.id.as_str())),
                });
            }
        }
        all.retain(|mount| names.is_empty() || names.iter().any(|name| is(mount, name)));
        Ok(all)
    }

    /// Removes a cache mount with all its directories.
    ///
    /// # Errors
    /// When somebody uses it, or it cannot be removed.
    pub fn remove(&self, mount: &Listed) -> Result<(), CacheMountError> {
        let guard = self.guard()?;
        let _locks = self.lock_or_refuse(mount)?;
        let gone = self.store.tmp_dir()?;
        self.take(&mount.key, &gone)?;
        drop(guard);
        // Nobody sees it any more.
        image_format::layout::remove_tree(gone.path()).map_err(failed("remove", gone.path()))
    }

    /// Moves all directories of a key away, if there are any.
    pub(super) fn take(&self, key: &Digest, to: &TmpDir) -> Result<(), CacheMountError> {
        let dir = self.dir(key);
        match fs::rename(&dir, to.path().join("gone")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved.map_err(failed("remove", &dir)),
        }
    }

    pub(super) fn dir(&self, key: &Digest) -> PathBuf {
        self.all.join(key.hex())
    }

    fn keys(&self) -> Result<Vec<Digest>, CacheMountError> {
        let names = names(&self.all)?.into_iter();
        let mut keys: Vec<Digest> = names
            .filter_map(|name| Digest::from_hex(name.to_str()?).ok())
            .collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// The locks of all directories of a key, which nobody else uses then; `None` where somebody
    /// uses one.
    pub(super) fn lock(&self, key: &Digest) -> Result<Option<Vec<File>>, CacheMountError> {
        let dir = self.dir(key);
        let mut locks = Vec::new();
        for number in numbers(&dir)? {
            let path = dir.join(number.to_string());
            let lock = match File::open(&path) {
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lock => lock.map_err(failed("open", &path))?,
            };
            if !try_lock(&path, lock.try_lock())? {
                return Ok(None);
            }
            locks.push(lock);
        }
        Ok(Some(locks))
    }

    pub(super) fn lock_or_refuse(&self, mount: &Listed) -> Result<Vec<File>, CacheMountError> {
        self.lock(&mount.key)?
            .ok_or_else(|| CacheMountError::InUse(mount.id.clone()))
    }
}

/// What is written beside a directory; none where it does not read.
pub(super) fn record(dir: &Path) -> Option<Record> {
    let path = dir.join(RECORD);
    // In an archive it may be anything.
    let is_small = |found: fs::Metadata| found.is_file() && found.len() <= LONGEST_RECORD;
    fs::symlink_metadata(&path)
        .ok()
        .filter(|found| is_small(found.clone()))?;
    serde_json::from_slice(&fs::read(&path).ok()?).ok()
}

/// What the directories of a key take on the disk. What goes away meanwhile, or cannot be read, is
/// not counted.
fn size(dir: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    for number in numbers(dir).unwrap_or_default() {
        let data = dir.join(number.to_string()).join(DATA);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(root) = openat(CWD, &data, flags, Mode::empty()) else {
            continue;
        };
        let mut waiting = vec![PathBuf::from(".")];
        while let Some(path) = waiting.pop() {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            if let Ok(dir) = openat2(&root, &path, flags, Mode::empty(), resolve) {
                let mut add = |stat: &Stat| {
                    if stat.st_nlink < 2 || seen.insert((stat.st_dev, stat.st_ino)) {
                        bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
                    }
                };
                let below = read_dir(&dir, &mut add).unwrap_or_default();
                waiting.extend(below.into_iter().map(|name| path.join(name)));
            }
        }
    }
    bytes
}

/// Tells of all that is in a directory, and gives the names of the directories.
fn read_dir(dir: &OwnedFd, add: &mut impl FnMut(&Stat)) -> rustix::io::Result<Vec<PathBuf>> {
    let mut below = Vec::new();
    for entry in Dir::read_from(dir.as_fd())? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        add(&stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let name = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
            below.push(PathBuf::from(<std::ffi::OsStr>::to_owned(name)));
        }
    }
    Ok(below)
}
