//! Containers: what is kept of one beside the processes that run in it.
//!
//! ```text
//! containers/v1/<id>/            config.json, exit.json when it has ended, and what it wrote
//! containers/v1/ephemeral/<id>/  the same, of one that is removed at its end
//! containers/v1/names/<name>     the ID that has the name
//! ```
//!
//! A container runs as long as its directory is locked: flock(2) ends with the process that holds
//! it, whatever ends that, and knows neither process IDs nor reboots. While one is made its parent is
//! locked, so that nobody sweeps it before it is locked itself. Ephemeral ones that nobody has locked are swept by the next that is made.

pub mod attach;
mod create;
pub mod environment;
mod list;
mod name;
mod process;
mod record;
mod signals;
mod streams;
mod volume;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use image_format::layout::{Store, StoreError, remove_tree};
use image_format::snapshot::SnapshotError;

pub use attach::{AttachError, Console};
pub use create::{ContainerOptions, NetworkMode, UnknownNetwork};
pub use environment::{Variable, VariableError};
pub use list::{Listed, State, find, list, remove, roots, used_by};
pub use name::{Name, NameError, SHORT_ID};
pub use process::{ProcessError, ProcessOptions};
pub use record::{Ended, Record};
pub use signals::{Signals, SignalsError};
pub use volume::{Volume, VolumeError};

use crate::Exit;

/// Why something with a container failed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no randomness to be had.
    #[error("cannot make up an ID")]
    Random(#[source] io::Error),
    /// Another container has the name.
    #[error("the name {name} is taken by the container {}", short(id))]
    NameTaken {
        /// The name.
        name: Name,
        /// Who has it.
        id: String,
    },
    /// No container is called so.
    #[error("no container {name:?}")]
    NoContainer {
        /// The name or ID as given.
        name: String,
        /// The name that is nearest to it.
        nearest: Option<String>,
    },
    /// The beginning of an ID fits several.
    #[error("{0:?} is the beginning of more than one container's ID")]
    Ambiguous(String),
    /// What is to be removed runs.
    #[error("the container {name} is running")]
    Running {
        /// Its name.
        name: Name,
    },
    /// A record does not read as one.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is nothing to run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A volume cannot be had.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The image's layers cannot be stacked.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ContainerError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ContainerError::NameTaken { name, .. } => Some(format!(
                "choose another --name, or remove that container: mkimg rm {name}"
            )),
            ContainerError::NoContainer { nearest, .. } => {
                nearest.as_ref().map(|name| format!("is it {name}?"))
            }
            ContainerError::Running { .. } => {
                Some("end the mkimg run that started it first".into())
            }
            ContainerError::Volume(error) => error.hint().map(Into::into),
            ContainerError::Process(ProcessError::NoCommand) => {
                Some("say what to run after the image, as in mkimg run IMAGE sh".into())
            }
            _ => None,
        }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContainerError + use<> {
    let path = path.to_owned();
    move |source| ContainerError::Io {
        action,
        path,
        source,
    }
}

/// The beginning of an ID that is shown.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// The directories of a store's containers.
#[derive(Debug, Clone)]
struct Places {
    all: PathBuf,
    ephemeral: PathBuf,
    names: PathBuf,
}

impl Places {
    fn of(store: &Store) -> Self {
        let all = store.root().join("containers/v1");
        Self {
            ephemeral: all.join("ephemeral"),
            names: all.join("names"),
            all,
        }
    }

    /// Where the container with this ID is.
    fn dir(&self, id: &str) -> Option<PathBuf> {
        [self.all.join(id), self.ephemeral.join(id)]
            .into_iter()
            .find(|dir| dir.exists())
    }
}

/// A container that this process runs.
#[derive(Debug)]
pub struct Container {
    /// What is kept of it.
    pub record: Record,
    dir: PathBuf,
    places: Places,
    /// Its overlay's work directory, where all is to be removed.
    work: Option<PathBuf>,
    _lock: File,
}

impl Container {
    /// Begins to remove what is to be removed, while the kernel still ends the last processes: the
    /// work directory, which holds most of the directories of one that wrote little, and which no
    /// process in the container can reach. To be called once its program has ended.
    pub(crate) fn ending(&self) {
        if let Some(work) = &self.work {
            // What is left, the end of it all removes, or says why not.
            let _ = remove_tree(work);
        }
    }

    /// Keeps how it ended; or removes it, where that was asked for. No process of it may be left.
    ///
    /// # Errors
    /// When that cannot be written, or not all can be removed.
    pub fn finish(self, exit: Exit) -> Result<(), ContainerError> {
        if self.record.ephemeral {
            return self.places.remove(&self.record, &self.dir);
        }
        Ended::now(exit).write(&self.dir)
    }

    /// Removes it, whether that was asked for or not: what never ran leaves nothing.
    ///
    /// # Errors
    /// When not all can be removed.
    pub fn discard(self) -> Result<(), ContainerError> {
        self.places.remove(&self.record, &self.dir)
    }
}

impl Places {
    /// Removes a container's directory and name. The caller has it locked.
    fn remove(&self, record: &Record, dir: &Path) -> Result<(), ContainerError> {
        let name = self.names.join(record.name.as_str());
        if fs::read(&name).is_ok_and(|id| id == record.id.as_bytes()) {
            fs::remove_file(&name).map_err(io_error("remove", &name))?;
        }
        remove_tree(dir).map_err(io_error("remove", dir))
    }

    /// Removes what dead processes left of containers that were to leave nothing.
    fn sweep(&self) -> Result<(), ContainerError> {
        let _guard = guard(&self.ephemeral)?;
        for entry in entries(&self.ephemeral)? {
            let Some(_lock) = lock(&entry)? else {
                continue;
            };
            // What cannot be removed now, or has no record because its making was cut off, is no
            // reason not to make another.
            let _ = match Record::read(&entry) {
                Ok(record) => self.remove(&record, &entry),
                Err(_) => remove_tree(&entry).map_err(io_error("remove", &entry)),
            };
        }
        Ok(())
    }
}

/// Held while a directory is not yet locked, or a name not yet given.
fn guard(parent: &Path) -> Result<File, ContainerError> {
    let guard = File::open(parent).map_err(io_error("open", parent))?;
    guard.lock().map_err(io_error("lock", parent))?;
    Ok(guard)
}

/// Locks a container's directory; `None` where it runs, or is gone.
fn lock(dir: &Path) -> Result<Option<File>, ContainerError> {
    let file = match File::open(dir) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", dir)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(io_error("lock", dir)(error)),
    }
}

/// The directories in `dir` that have an ID's name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, ContainerError> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", dir)(error)),
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry.map_err(io_error("read", dir))?;
        if entry.file_name().to_str().is_some_and(name::is_id) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
