//! The build cache: what a step's layer was, found again by what the step depends on.
//!
//! ```text
//! cache/v1/steps/<key>.json     a record: the key's parts in full, and the layer
//! cache/v1/builds/<digest>      the keys of a Dockerfile's steps, to say why one is missed
//! cache/v1/logs/<key>.log       the output of steps that failed, the last of them
//! cache/v1/files/<context>      the digests of a context's files, so that unchanged ones are not read
//! cache/v1/layers/<diff-id>     the paths in a layer, so that it need not be unpacked to be asked
//! cache/v1/mounts/<key>/        the directories of cache mounts
//! cache/v1/compressed/<diff-id>-<how>  what a layer is in a compression: see image-format's layout
//! ```
//!
//! All of it can be removed at any time; all of it appears by rename.

pub mod explain;
pub mod files;
pub mod key;
pub mod layers;
pub mod mounts;
pub mod record;
pub mod shared;

use std::fs::File;
use std::io::{self, BufRead, Write};
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

/// So many bytes of a file are read or written at once.
const BUFFER: usize = 64 << 10;

/// The directory of one kind of things in the cache.
fn directory(store: &Store, kind: &str) -> PathBuf {
    store.root().join("cache/v1").join(kind)
}

/// Writes a file of the cache so that it is there whole or not at all. It is not made durable:
/// what a crash of the machine loses, is made again; what it tears, its reader finds out.
///
/// A file that holds just that is left alone: to take one's place costs a wait for the disk.
pub(crate) fn publish(
    store: &Store,
    kind: &str,
    name: &str,
    write: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<(), CacheError> {
    let dir = directory(store, kind);
    let path = dir.join(name);
    if holds(&path, &write).unwrap_or(false) {
        return Ok(());
    }
    let failed = |source| CacheError::Write {
        path: path.clone(),
        source,
    };
    let new = store.tmp_file()?;
    let written = || -> io::Result<()> {
        let mut file = io::BufWriter::with_capacity(BUFFER, new.as_file());
        write(&mut file)?;
        file.flush()?;
        std::fs::create_dir_all(&dir)
    };
    written().map_err(failed)?;
    new.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Whether a file holds what `write` would write.
fn holds(path: &Path, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> io::Result<bool> {
    let mut there = Comparison(io::BufReader::with_capacity(BUFFER, File::open(path)?));
    write(&mut there)?;
    Ok(there.0.fill_buf()?.is_empty())
}

/// Fails when something else is written than what is there.
struct Comparison<R>(R);

impl<R: BufRead> Write for Comparison<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let there = self.0.fill_buf()?;
        let count = bytes.len().min(there.len());
        if count == 0 || bytes[..count] != there[..count] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.0.consume(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_there_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let inode = || {
            let path = directory(&store, "kind").join("name");
            std::fs::metadata(path).unwrap().ino()
        };
        let put = |text: &str| {
            publish(&store, "kind", "name", |out| {
                text.as_bytes()
                    .chunks(7)
                    .try_for_each(|part| out.write_all(part))
            })
            .unwrap();
            assert_eq!(read(&store, "kind", "name", 100_000), Some(text.into()));
        };
        let long = "0123456789".repeat(9_000);
        put(&long);
        let first = inode();
        put(&long);
        assert_eq!(inode(), first);
        for other in [
            &long[..80_000],
            "",
            &format!("{long}x"),
            &long.replace('0', "x"),
        ] {
            put(other);
        }
    }
}
