//! Each process's directory for what is not yet published, and the sweeping of dead ones.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::remover::Remover;
use super::{Store, StoreError, io_error};

/// This process's directory under `tmp/`, made when something is first written: many commands only
/// read. It is alive as long as it is locked: a process ID would say nothing in another PID
/// namespace, or after a reboot.
pub(super) struct ProcessTmp {
    /// Dropped before the directory that all it removes is in.
    remover: Remover,
    parent: PathBuf,
    own: OnceLock<Own>,
    making: Mutex<()>,
}

struct Own {
    dir: tempfile::TempDir,
    _lock: File,
}

impl ProcessTmp {
    /// Sweeps what dead processes left.
    pub(super) fn new(root: &Path) -> Result<Self, StoreError> {
        let parent = root.join("tmp");
        let _guard = guard(&parent)?;
        sweep(&parent)?;
        Ok(Self {
            remover: Remover::default(),
            parent,
            own: OnceLock::new(),
            making: Mutex::new(()),
        })
    }

    pub(super) fn path(&self) -> Result<&Path, StoreError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let own = match self.own.get() {
            Some(own) => own,
            None => {
                let own = Own::make(&self.parent)?;
                self.own.get_or_init(|| own)
            }
        };
        Ok(own.dir.path())
    }
}

impl Own {
    fn make(parent: &Path) -> Result<Self, StoreError> {
        let _guard = guard(parent)?;
        let dir = tempfile::Builder::new().prefix("p").tempdir_in(parent);
        let dir = dir.map_err(io_error("make a directory in", parent))?;
        let lock = File::open(dir.path()).map_err(io_error("open", dir.path()))?;
        lock.lock().map_err(io_error("lock", dir.path()))?;
        Ok(Self { dir, _lock: lock })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // What cannot be removed now, the next process sweeps.
        let _ = super::remove_tree(self.dir.path());
    }
}

/// Held while a directory is not yet locked, so that nobody takes it for a dead one's.
fn guard(parent: &Path) -> Result<File, StoreError> {
    let guard = File::open(parent).map_err(io_error("open", parent))?;
    guard.lock().map_err(io_error("lock", parent))?;
    Ok(guard)
}

fn sweep(parent: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(parent).map_err(io_error("read", parent))? {
        let dir = entry.map_err(io_error("read", parent))?.path();
        if is_dead(&dir)? {
            // Files of subordinate users can be removed only in their namespace: what is left, a
            // process that works there sweeps.
            let _ = super::remove_tree(&dir);
        }
    }
    Ok(())
}

fn is_dead(dir: &Path) -> Result<bool, StoreError> {
    let lock = match File::open(dir) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("open", dir)(error)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(io_error("lock", dir)(error)),
    }
}

/// A directory on the store's file system that is removed when dropped, unless moved away: soon,
/// and at the latest when the store is closed (see [`Store::tidy`]).
pub struct TmpDir {
    path: PathBuf,
    /// The store must outlive it, or its process's directory is gone first.
    store: Store,
}

impl TmpDir {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TmpDir {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        self.store.0.tmp.remover.remove(path);
    }
}

impl Store {
    /// The directory of what this process has not yet published: who ends without dropping the store
    /// removes it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn unfinished(&self) -> Result<&Path, StoreError> {
        self.0.tmp.path()
    }

    /// A new, empty directory on the store's file system.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn tmp_dir(&self) -> Result<TmpDir, StoreError> {
        let parent = self.0.tmp.path()?;
        let dir = tempfile::Builder::new().prefix("d").tempdir_in(parent);
        let dir = dir.map_err(io_error("make a directory in", parent))?;
        Ok(TmpDir {
            path: dir.keep(),
            store: self.clone(),
        })
    }

    /// Waits until every directory that was dropped is gone.
    pub fn tidy(&self) {
        self.0.tmp.remover.wait();
    }

    /// A new, empty file on the store's file system, which is gone when dropped, unless it is
    /// given another name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn tmp_file(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        let parent = self.0.tmp.path()?;
        let file = tempfile::Builder::new().prefix("f").tempfile_in(parent);
        file.map_err(io_error("make a file in", parent))
    }
}
