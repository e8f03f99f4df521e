//! The build cache: what a step's layer was, found again by what the step depends on.
//!
//! ```text
//! cache/v1/steps/<key>.json     a record: the key's parts in full, and the layer
//! cache/v1/builds/<digest>      the keys of a Dockerfile's steps, to say why one is missed
//! cache/v1/logs/<key>.log       the output of steps that failed, the last of them
//! cache/v1/files/<context>      the digests of a context's files, so that unchanged ones are not read
//! cache/v1/layers/<diff-id>     the paths in a layer, so that it need not be unpacked to be asked
//! ```
//!
//! All of it can be removed at any time; all of it appears by rename.

pub mod explain;
pub mod files;
pub mod key;
pub mod layers;
pub mod record;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image_format::layout::{Store, StoreError};

/// What can go wrong with the cache. What cannot be read in it is no error, but not there.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file of the cache cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory of the cache cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record cannot be put into JSON.
    #[error("cannot write a record of the cache")]
    Record(#[from] serde_json::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The directory of one kind of things in the cache.
fn directory(store: &Store, kind: &str) -> PathBuf {
    store.root().join("cache/v1").join(kind)
}

/// Writes a file of the cache so that it is there whole or not at all. It is not made durable:
/// what a crash of the machine loses, is made again; what it tears, its reader finds out.
pub(crate) fn publish(
    store: &Store,
    kind: &str,
    name: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CacheError> {
    let dir = directory(store, kind);
    let path = dir.join(name);
    let failed = |source| CacheError::Write {
        path: path.clone(),
        source,
    };
    let tmp = store.tmp_dir()?;
    let new = tmp.path().join("new");
    let written = || -> io::Result<()> {
        std::fs::create_dir_all(&dir)?;
        let mut file = io::BufWriter::with_capacity(1 << 16, std::fs::File::create(&new)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        std::fs::rename(&new, &path)
    };
    written().map_err(failed)
}

/// The bytes of a file of the cache; none where it is missing or larger than `limit` bytes.
pub(crate) fn read(store: &Store, kind: &str, name: &str, limit: u64) -> Option<Vec<u8>> {
    read_file(&directory(store, kind).join(name), limit)
}

fn read_file(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.len() > limit {
        return None;
    }
    std::fs::read(path).ok()
}
