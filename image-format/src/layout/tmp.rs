//! Each process's directory for what is not yet published, and the sweeping of dead ones.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{Store, StoreError, io_error};

const LOCK: &str = "lock";
/// How many directories may wait to be removed; whoever drops one more waits too.
const MOST_WAITING: usize = 16;

/// This process's directory under `tmp/`. It is alive as long as its lock file is locked: a
/// process ID would say nothing in another PID namespace, or after a reboot.
pub(super) struct ProcessTmp {
    dir: tempfile::TempDir,
    _lock: File,
    /// Started with the first directory to be removed; `None` where it could not be.
    remover: OnceLock<Option<Remover>>,
}

/// A thread that removes directories, so that nobody has to wait for the disk to forget them.
struct Remover {
    tasks: SyncSender<Task>,
    thread: JoinHandle<()>,
}

enum Task {
    Remove(PathBuf),
    /// Says that all before it is done.
    Tell(SyncSender<()>),
}

impl Remover {
    fn start() -> Option<Self> {
        let (tasks, to_do) = sync_channel(MOST_WAITING);
        let thread = std::thread::Builder::new().name("remover".into());
        let thread = thread.spawn(move || {
            for task in to_do {
                // What cannot be removed now, the next process sweeps. Who waited may be gone.
                match task {
                    Task::Remove(dir) => drop(super::remove_tree(&dir)),
                    Task::Tell(waiting) => drop(waiting.send(())),
                }
            }
        });
        thread.ok().map(|thread| Self { tasks, thread })
    }
}

impl ProcessTmp {
    /// Sweeps what dead processes left, then makes this one's directory.
    pub(super) fn new(root: &Path) -> Result<Self, StoreError> {
        let parent = root.join("tmp");
        // Held while a directory is not yet locked, so that nobody takes it for a dead one's.
        let guard = File::open(&parent).map_err(io_error("open", &parent))?;
        guard.lock().map_err(io_error("lock", &parent))?;
        sweep(&parent)?;
        let dir = tempfile::Builder::new().prefix("p").tempdir_in(&parent);
        let dir = dir.map_err(io_error("make a directory in", &parent))?;
        let path = dir.path().join(LOCK);
        let lock = File::create(&path).map_err(io_error("write", &path))?;
        lock.lock().map_err(io_error("lock", &path))?;
        Ok(Self {
            dir,
            _lock: lock,
            remover: OnceLock::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Has a directory removed, at the latest when this is dropped.
    fn remove(&self, dir: PathBuf) {
        // Most are moved away by now.
        if !dir.exists() {
            return;
        }
        if let Some(remover) = self.remover.get_or_init(Remover::start) {
            // It takes them as long as there is a sender.
            let _ = remover.tasks.send(Task::Remove(dir));
        }
    }
}

impl Drop for ProcessTmp {
    fn drop(&mut self) {
        if let Some(Remover { tasks, thread }) = self.remover.take().flatten() {
            drop(tasks);
            // A panic in it has been told of.
            let _ = thread.join();
        }
        // What cannot be removed now, the next process sweeps.
        let _ = super::remove_tree(self.dir.path());
    }
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
    let path = dir.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(io_error("open", &path)(error)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
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
        self.store.0.tmp.remove(std::mem::take(&mut self.path));
    }
}

impl Store {
    /// A new, empty directory on the store's file system.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn tmp_dir(&self) -> Result<TmpDir, StoreError> {
        let parent = self.0.tmp.path();
        let dir = tempfile::Builder::new().prefix("d").tempdir_in(parent);
        let dir = dir.map_err(io_error("make a directory in", parent))?;
        Ok(TmpDir {
            path: dir.keep(),
            store: self.clone(),
        })
    }

    /// Waits until every directory that was dropped is gone.
    pub fn tidy(&self) {
        if let Some(Some(remover)) = self.0.tmp.remover.get() {
            let (tell, told) = sync_channel(1);
            let asked = remover.tasks.send(Task::Tell(tell));
            // One that has panicked removes nothing any more.
            let _ = asked.map(|()| told.recv());
        }
    }

    /// A new, empty file on the store's file system, which is gone when dropped, unless it is
    /// given another name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn tmp_file(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        let parent = self.0.tmp.path();
        let file = tempfile::Builder::new().prefix("f").tempfile_in(parent);
        file.map_err(io_error("make a file in", parent))
    }
}
