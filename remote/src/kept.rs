//! What was fetched and is kept for the next time, in the store's `cache/v1/downloads/`.
//!
//! Who uses a file or directory of it holds a shared lock on it as long as it does; who removes one
//! holds the exclusive one, and passes over what is in use. Neither waits for the lock of the store.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use image_format::digest::Digest;
use image_format::layout::{Store, StoreError, remove_tree};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What has not been used for this long goes when something new comes.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why something cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// A file or directory cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is kept, and what of it is in use here.
pub struct Kept {
    store: Store,
    root: PathBuf,
    /// Locked as long as they are open.
    held: Mutex<Vec<File>>,
}

/// What removal freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// The number of files and checked-out repositories.
    pub count: u64,
}

/// What is remembered of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<T> {
    /// The name of the file or directory that it was about, which is not kept any longer than that.
    pub kept: String,
    /// All else.
    #[serde(flatten)]
    pub about: T,
}

/// The kinds of things that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Files, by the digest of their content.
    Files,
    /// Directories with a repository each, by what they were made from.
    Checkouts,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Files, Self::Checkouts];

    fn dir(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Checkouts => "checkouts",
        }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeptError + use<> {
    let path = path.to_owned();
    move |source| KeptError::Io {
        action,
        path,
        source,
    }
}

impl Kept {
    /// What this store keeps.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            root: store.root().join("cache/v1/downloads"),
            held: Mutex::default(),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn path(&self, kind: Kind, name: &str) -> PathBuf {
        self.root.join(kind.dir()).join(name)
    }

    fn record_path(&self, address: &Digest) -> PathBuf {
        self.root.join("urls").join(address.hex())
    }

    /// What is remembered of an address, by the digest of it. A record that does not read, of another
    /// version or a damaged disk, is none.
    #[must_use]
    pub fn recall<T: DeserializeOwned>(&self, address: &Digest) -> Option<Record<T>> {
        let bytes = fs::read(self.record_path(address)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Remembers something of an address, from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember<T: Serialize>(
        &self,
        address: &Digest,
        record: &Record<T>,
    ) -> Result<(), KeptError> {
        let path = self.record_path(address);
        self.make_parent(&path)?;
        let file = self.store.tmp_file()?;
        serde_json::to_writer(&file, record)
            .map_err(io::Error::from)
            .and_then(|()| file.persist(&path).map_err(|error| error.error))
            .map_err(io_error("write", &path))?;
        Ok(())
    }

    /// The path of what is kept under a name, if it is there; it stays as long as this value lives.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub fn hold(&self, kind: Kind, name: &str) -> Result<Option<PathBuf>, KeptError> {
        let path = self.path(kind, name);
        loop {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(io_error("open", &path)(error)),
            };
            file.lock_shared().map_err(io_error("lock", &path))?;
            // Whoever removed it meanwhile had it locked.
            if is_at(&file, &path).map_err(io_error("open", &path))? {
                if kind == Kind::Checkouts {
                    // When it was last used; of a file that is said by its addresses' records.
                    file.set_modified(SystemTime::now())
                        .map_err(io_error("mark as used", &path))?;
                }
                self.keep_open(file);
                return Ok(Some(path));
            }
        }
    }

    fn keep_open(&self, file: File) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(file);
    }

    /// Keeps a file or directory of the store's `tmp/` under a name, and holds it. What is there under
    /// that name already stays.
    ///
    /// # Errors
    /// When it cannot be moved there.
    pub fn keep(&self, kind: Kind, name: &str, from: &Path) -> Result<PathBuf, KeptError> {
        let path = self.path(kind, name);
        self.make_parent(&path)?;
        let file = File::open(from).map_err(io_error("open", from))?;
        file.lock_shared().map_err(io_error("lock", from))?;
        loop {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            match renameat_with(CWD, from, CWD, &path, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.keep_open(file);
                    // What cannot be removed now is tried the next time.
                    let _ = self.remove_unused(UNUSED);
                    return Ok(path);
                }
                Err(rustix::io::Errno::EXIST) => {
                    if let Some(path) = self.hold(kind, name)? {
                        return Ok(path);
                    }
                }
                Err(error) => return Err(io_error("make", &path)(error.into())),
            }
        }
    }

    /// Removes something that is not as it should be, so that it can be kept anew.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, kind: Kind, name: &str) -> Result<(), KeptError> {
        self.discard_path(&self.path(kind, name))
    }

    fn discard_path(&self, path: &Path) -> Result<(), KeptError> {
        let gone = self.store.tmp_dir()?;
        let to = gone.path().join("gone");
        match fs::rename(path, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", path)(error))
            }
            _ => remove_tree(&to).map_err(io_error("remove", &to)),
        }
    }

    /// Removes all that has not been used for so long, and that nobody uses now. For `mkimg prune`.
    ///
    /// # Errors
    /// When something cannot be read or removed.
    pub fn remove_unused(&self, unused: Duration) -> Result<Freed, KeptError> {
        let old = |path: &Path| {
            let used = fs::metadata(path).and_then(|found| found.modified());
            used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age >= unused))
        };
        let urls = self.root.join("urls");
        let mut named = BTreeSet::new();
        for name in names(&urls)? {
            let path = urls.join(name);
            if old(&path) {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            } else if let Ok(bytes) = fs::read(&path)
                && let Ok(record) = serde_json::from_slice::<Record<serde_json::Value>>(&bytes)
            {
                named.insert(OsString::from(record.kept));
            }
        }
        let mut freed = Freed::default();
        for kind in Kind::ALL {
            let dir = self.root.join(kind.dir());
            for name in names(&dir)? {
                let path = dir.join(&name);
                let is_used = match kind {
                    Kind::Files => named.contains(&name),
                    Kind::Checkouts => !old(&path),
                };
                if !is_used
                    && let Ok(file) = File::open(&path)
                    && file.try_lock().is_ok()
                {
                    self.discard_path(&path)?;
                    freed.count += 1;
                }
            }
        }
        Ok(freed)
    }

    fn make_parent(&self, path: &Path) -> Result<(), KeptError> {
        let parent = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(io_error("make", parent))
    }
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn names(dir: &Path) -> Result<Vec<OsString>, KeptError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries,
    };
    entries
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
        .map_err(io_error("read", dir))
}
