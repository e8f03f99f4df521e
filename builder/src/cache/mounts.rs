//! The directories of `RUN --mount=type=cache`: what a package manager has fetched, kept between builds.
//!
//! ```text
//! cache/v1/mounts/<key>/<n>/data         what the command sees
//! cache/v1/mounts/<key>/<n>/mount.json   the id, and when it was last used
//! ```
//!
//! The key is the digest of what tells two cache mounts apart, so that no id is ever a path. Of one
//! key there are several directories when commands that do not share it run at the same time: each
//! is in use as long as it is locked, so that a process that is killed leaves none in use. Nothing
//! but [`CacheMounts`] removes them.

mod archive;
mod list;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use image_format::digest::Digest;
use image_format::layout::{Store, StoreError, TmpDir};
use serde::{Deserialize, Serialize};

pub use archive::CacheArchiveError;
pub use list::Listed;

use crate::cancel::Cancel;
pub use crate::dockerfile::mount::Sharing;

const MOUNTS: &str = "mounts";
const DATA: &str = "data";
const RECORD: &str = "mount.json";
/// How often one that waits looks whether it is its turn.
const PAUSE: Duration = Duration::from_millis(50);

/// What can go wrong with the directory of a cache mount.
#[derive(Debug, thiserror::Error)]
pub enum CacheMountError {
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `lock`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An owner that the user's namespace does not have.
    #[error(
        "the cache mount {id:?} cannot belong to {uid}:{gid}: there is no such id here; a larger range in /etc/subuid and /etc/subgid brings more"
    )]
    Owner {
        /// The id of the cache mount.
        id: String,
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// The build ended while it waited for others to leave the directory.
    #[error("cancelled while waiting for the cache mount {id:?}")]
    Cancelled {
        /// The id.
        id: String,
    },
    /// It was to be removed, saved or replaced, and somebody uses it.
    #[error("the cache mount {0:?} is in use")]
    InUse(String),
    /// There is no such cache mount.
    #[error("no cache mount {id:?} in the store")]
    Unknown {
        /// What was asked for.
        id: String,
        /// The id that is nearest to it.
        nearest: Option<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheMountError + use<> {
    let path = path.to_owned();
    move |source| CacheMountError::Io {
        action,
        path,
        source,
    }
}

/// A cache mount as an instruction asks for it. Two that differ in anything but `sharing` are
/// different caches, as docker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMount {
    /// What the Dockerfile calls it: any text.
    pub id: String,
    /// What a new directory is filled with, where there is `from=`: a digest that names it.
    pub seed: Option<Digest>,
    /// Who may use it at the same time.
    pub sharing: Sharing,
    /// The permissions of a new directory.
    pub mode: u32,
    /// The owner of a new directory.
    pub uid: u32,
    /// The group of a new directory.
    pub gid: u32,
}

impl CacheMount {
    /// The cache mount with this id, with what docker takes where nothing else is said.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            seed: None,
            sharing: Sharing::default(),
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    }

    fn identity(&self) -> Identity {
        Identity {
            id: self.id.clone(),
            seed: self.seed,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// What tells two cache mounts apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    id: String,
    seed: Option<Digest>,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Identity {
    fn key(&self) -> Result<Digest, CacheMountError> {
        let bytes = serde_json::to_vec(self).map_err(|source| StoreError::Document {
            what: "the identity of a cache mount".to_owned(),
            source,
        })?;
        Ok(Digest::of(&bytes))
    }
}

/// What is written beside the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    identity: Identity,
    /// When it was last used, in seconds since 1970.
    used: u64,
}

impl Record {
    fn write(&self, store: &Store, path: &Path) -> Result<(), CacheMountError> {
        let file = store.tmp_file()?;
        serde_json::to_writer(file.as_file(), self)
            .map_err(io::Error::from)
            .and_then(|()| Ok(file.persist(path)?))
            .map_err(failed("write", path))?;
        Ok(())
    }
}

/// The cache mounts of a store.
pub struct CacheMounts {
    store: Store,
    all: PathBuf,
}

impl CacheMounts {
    /// Those of this store.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            all: super::directory(store, MOUNTS),
        }
    }

    /// The directory of a cache mount, made where there is none or none that is free, and then filled
    /// by `fill` before anybody else sees it. It is in use until what is given back is dropped.
    ///
    /// # Errors
    /// When a directory cannot be made or locked, `fill` fails, or the build is cancelled meanwhile.
    pub fn acquire<E: From<CacheMountError>>(
        &self,
        mount: &CacheMount,
        cancel: &Cancel,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Held, E> {
        let record = Record {
            identity: mount.identity(),
            used: 0,
        };
        let dir = self.dir(&record.identity.key()?);
        let mut made = None;
        let mut fill = Some(fill);
        loop {
            let guard = self.guard()?;
            let held = match (find(&dir, mount.sharing)?, made.take()) {
                (Found::Free(lock, path), _) => Held::new(lock, path, record),
                (Found::Busy, None) if mount.sharing == Sharing::Locked => {
                    drop(guard);
                    if cancel.is_cancelled() {
                        let id = mount.id.clone();
                        return Err(CacheMountError::Cancelled { id }.into());
                    }
                    std::thread::sleep(PAUSE);
                    continue;
                }
                // Nobody has to wait while this one is filled.
                (_, None) => {
                    drop(guard);
                    let new = self.make(mount)?;
                    if let Some(fill) = fill.take() {
                        fill(&new.path().join(DATA))?;
                    }
                    made = Some(new);
                    continue;
                }
                (_, Some(new)) => {
                    let (lock, path) = publish(&new, &dir, mount.sharing)?;
                    Held::new(lock, path, record)
                }
            };
            held.note_use(&self.store)?;
            return Ok(held);
        }
    }

    /// The directories of all the cache mounts of one command, in their order: the same directory for
    /// those that are the same. They are locked in an order that all commands keep, so that no two
    /// wait for each other.
    ///
    /// `fill` is given the number of the mount whose directory is new, and the directory.
    ///
    /// # Errors
    /// As [`CacheMounts::acquire`].
    pub fn acquire_all<E: From<CacheMountError>>(
        &self,
        mounts: &[CacheMount],
        cancel: &Cancel,
        mut fill: impl FnMut(usize, &Path) -> Result<(), E>,
    ) -> Result<Vec<Arc<Held>>, E> {
        let keys = mounts.iter().map(|mount| mount.identity().key());
        let keys: Vec<Digest> = keys.collect::<Result<_, _>>()?;
        let mut order: Vec<usize> = (0..mounts.len()).collect();
        order.sort_by_key(|&number| keys[number]);
        let mut held: Vec<Option<Arc<Held>>> = vec![None; mounts.len()];
        for (place, &number) in order.iter().enumerate() {
            let same = place.checked_sub(1).map(|before| order[before]);
            let same = same.filter(|&before| keys[before] == keys[number]);
            held[number] = match same {
                Some(before) => held[before].clone(),
                None => {
                    let fill = |path: &Path| fill(number, path);
                    Some(Arc::new(self.acquire(&mounts[number], cancel, fill)?))
                }
            };
        }
        Ok(held.into_iter().flatten().collect())
    }

    /// Held while directories are looked for, made or removed, and never for long.
    fn guard(&self) -> Result<File, CacheMountError> {
        fs::create_dir_all(&self.all).map_err(failed("make", &self.all))?;
        let guard = File::open(&self.all).map_err(failed("open", &self.all))?;
        guard.lock().map_err(failed("lock", &self.all))?;
        Ok(guard)
    }

    /// A new directory that nobody else knows of.
    fn make(&self, mount: &CacheMount) -> Result<TmpDir, CacheMountError> {
        let new = self.store.tmp_dir()?;
        let data = new.path().join(DATA);
        let make = DirBuilder::new().mode(0o700).create(&data);
        make.map_err(failed("make", &data))?;
        let owned = chown(&data, Some(mount.uid), Some(mount.gid));
        owned.map_err(|error| match error.kind() {
            // chown(2): an id that is not mapped.
            io::ErrorKind::InvalidInput => CacheMountError::Owner {
                id: mount.id.clone(),
                uid: mount.uid,
                gid: mount.gid,
            },
            _ => failed("set the owner of", &data)(error),
        })?;
        // Not by the call that makes it: the umask is not asked.
        let mode = fs::Permissions::from_mode(mount.mode & 0o7777);
        fs::set_permissions(&data, mode).map_err(failed("set the mode of", &data))?;
        Ok(new)
    }
}

/// What there is of a key.
enum Found {
    /// One that can be used; it is locked now.
    Free(File, PathBuf),
    /// Some, and others use all of them.
    Busy,
    /// None.
    Nothing,
}

/// Looks for a directory that can be used. The guard is held, so that nothing else is locked here
/// meanwhile.
fn find(dir: &Path, sharing: Sharing) -> Result<Found, CacheMountError> {
    let mut free = None;
    let mut busy = false;
    for number in numbers(dir)? {
        let path = dir.join(number.to_string());
        let lock = File::open(&path).map_err(failed("open", &path))?;
        if try_lock(&path, lock.try_lock())? {
            if sharing != Sharing::Shared {
                return Ok(Found::Free(lock, path));
            }
            // One that is shared already comes before one that is free.
            free.get_or_insert((lock, path));
        } else if sharing == Sharing::Shared && try_lock(&path, lock.try_lock_shared())? {
            return Ok(Found::Free(lock, path));
        } else {
            busy = true;
        }
    }
    match free {
        Some((lock, path)) => {
            lock.lock_shared().map_err(failed("lock", &path))?;
            Ok(Found::Free(lock, path))
        }
        None if busy => Ok(Found::Busy),
        None => Ok(Found::Nothing),
    }
}

fn try_lock(path: &Path, tried: Result<(), TryLockError>) -> Result<bool, CacheMountError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(failed("lock", path)(source)),
    }
}

/// The numbers of a key's directories, in order.
fn numbers(dir: &Path) -> Result<Vec<u64>, CacheMountError> {
    let mut numbers = Vec::new();
    for name in names(dir)? {
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The names in a directory; none where there is no such directory.
fn names(dir: &Path) -> Result<Vec<std::ffi::OsString>, CacheMountError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", dir))?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<_>>();
    names.map_err(failed("read", dir))
}

/// Puts a directory that is whole where others find it, locked. The guard is held.
fn publish(new: &TmpDir, dir: &Path, sharing: Sharing) -> Result<(File, PathBuf), CacheMountError> {
    fs::create_dir_all(dir).map_err(failed("make", dir))?;
    let next = numbers(dir)?.last().map_or(0, |last| last + 1);
    let path = dir.join(next.to_string());
    let lock = File::open(new.path()).map_err(failed("open", new.path()))?;
    let locked = match sharing {
        Sharing::Shared => lock.lock_shared(),
        Sharing::Private | Sharing::Locked => lock.lock(),
    };
    locked.map_err(failed("lock", new.path()))?;
    fs::rename(new.path(), &path).map_err(failed("make", &path))?;
    Ok((lock, path))
}

/// The directory of a cache mount, in use until this is dropped.
#[derive(Debug)]
pub struct Held {
    data: PathBuf,
    /// What the data and the record lie in.
    directory: PathBuf,
    record: Record,
    _lock: File,
}

impl Held {
    fn new(lock: File, directory: PathBuf, record: Record) -> Self {
        Self {
            data: directory.join(DATA),
            directory,
            record,
            _lock: lock,
        }
    }

    /// The directory that the command is to see.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.data
    }

    fn note_use(&self, store: &Store) -> Result<(), CacheMountError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let record = Record {
            used: now.map_or(0, |now| now.as_secs()),
            ..self.record.clone()
        };
        record.write(store, &self.directory.join(RECORD))
    }
}
