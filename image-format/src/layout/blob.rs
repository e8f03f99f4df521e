//! Blobs: written once under their digest, and verified when read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::panic;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::io::{Errno, ReadWriteFlags, pwritev2};

use super::flush::Flush;
use super::follow::{Followed, Follower};
use super::{Store, StoreError, io_error};
use crate::descriptor::Descriptor;
use crate::digest::{Digest, Hasher};

/// The most bytes of a manifest, an index or a config that are read: registries take 4 MiB.
pub const LARGEST_DOCUMENT: u64 = 4 << 20;
/// A block of this many zeros becomes a hole.
const HOLE: usize = 64 << 10;
/// Linux's `RWF_DONTCACHE` (since 6.14): what is written goes to the disk at once, and leaves memory
/// when it is there.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

impl Store {
    /// Where a blob lies, whether it is there or not.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs/sha256").join(digest.hex())
    }

    /// The size of a blob in bytes; `None` where it is missing.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let path = self.blob_path(digest);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Whether a blob is there with all its bytes, which are read for that.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn holds(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        if self.blob_size(digest)? != Some(size) {
            return Ok(false);
        }
        let mut blob = VerifiedReader::new(self.open_blob(digest)?, *digest, size);
        Ok(io::copy(&mut blob, &mut io::sink()).is_ok())
    }

    /// Whether this very process has put the blob into the store: then nobody needs to verify it.
    #[must_use]
    pub fn has_written(&self, digest: &Digest) -> bool {
        self.written().contains(digest)
    }

    fn written(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        let written = self.0.written.lock();
        written.unwrap_or_else(PoisonError::into_inner)
    }

    fn flushing(&self) -> MutexGuard<'_, BTreeMap<Digest, JoinHandle<io::Result<()>>>> {
        let flushing = self.0.flushing.lock();
        flushing.unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a blob, unverified. A layer that was not fetched yet is fetched.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is not there, [`StoreError::Elsewhere`] where it cannot be fetched.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.fetch(digest),
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }

    /// Reads a document whole and verifies it.
    ///
    /// # Errors
    /// When it is missing, corrupt, not of the size its descriptor says, or over 4 MiB.
    pub fn read_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, StoreError> {
        let Descriptor { digest, size, .. } = descriptor;
        if *size > LARGEST_DOCUMENT {
            let (digest, size, limit) = (*digest, *size, LARGEST_DOCUMENT);
            return Err(StoreError::TooLarge {
                digest,
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        let mut reader = VerifiedReader::new(self.open_blob(digest)?, *digest, *size);
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(blob_error(error, || {
                io_error("read", &self.blob_path(digest))
            })),
        }
    }

    /// Stores these bytes.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.holds(&digest, bytes.len() as u64)? {
            return Ok(digest);
        }
        let mut writer = self.blob_writer()?;
        let path = writer.sink.file.path().to_owned();
        writer.write_all(bytes).map_err(io_error("write", &path))?;
        Ok(writer.finish()?.0)
    }

    /// A writer of a blob whose digest is not yet known.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn blob_writer(&self) -> Result<BlobWriter, StoreError> {
        Ok(BlobWriter {
            store: self.clone(),
            sink: Sink {
                file: self.tmp_file()?,
                written: 0,
                hole: false,
                cached: true,
                flush: None,
            },
            hasher: Hasher::new(),
            followed: None,
        })
    }

    /// Makes blobs durable, and the directory that names them.
    ///
    /// # Errors
    /// When one is missing, or the disk fails.
    pub fn sync(&self, digests: &[Digest]) -> Result<(), StoreError> {
        for digest in digests {
            let path = self.blob_path(digest);
            let failed = io_error("make durable", &path);
            let flushing = self.flushing().remove(digest);
            let flushed = flushing.map_or(Ok(()), |thread| {
                let done = thread.join();
                done.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
            });
            let file = self.open_blob(digest)?;
            flushed.and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let dir = self.root().join("blobs/sha256");
        let sync = || File::open(&dir)?.sync_all();
        sync().map_err(io_error("make durable", &dir))
    }
}

/// A blob in the making: not in the store until [`BlobWriter::finish`], and gone if dropped.
pub struct BlobWriter {
    pub(super) store: Store,
    pub(super) sink: Sink,
    pub(super) hasher: Hasher,
    pub(super) followed: Option<Followed>,
}

/// The file that becomes a blob.
pub(super) struct Sink {
    file: tempfile::NamedTempFile,
    written: u64,
    hole: bool,
    /// Whether the file stays in memory as long as there is room.
    cached: bool,
    flush: Option<Flush>,
}

impl BlobWriter {
    /// For a blob that nobody will read soon: it takes no memory from what others read.
    pub(super) fn uncached(mut self) -> Self {
        self.sink.cached = false;
        self
    }

    /// Reads the blob while it is written, from its beginning: a read waits for bytes that are still to
    /// come, and the end is there when the blob is in the store. Where it does not get there, the last read
    /// fails.
    ///
    /// # Errors
    /// When the file cannot be opened once more.
    pub fn follow(&mut self) -> Result<Follower, StoreError> {
        let file = &self.sink.file;
        let again = file.as_file().try_clone();
        let again = again.map_err(io_error("open", file.path()))?;
        let followed = self.followed.get_or_insert_default();
        followed.grown(self.sink.written);
        Ok(followed.follower(again))
    }

    /// The number of bytes that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.sink.written
    }

    /// Puts the blob into the store; the same bytes twice are one blob.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn finish(self) -> Result<(Digest, u64), StoreError> {
        let Self {
            store,
            sink,
            hasher,
            followed,
        } = self;
        let Sink {
            file,
            written,
            hole,
            flush,
            cached: _,
        } = sink;
        let digest = hasher.finish();
        let path = store.blob_path(&digest);
        if hole {
            file.as_file()
                .set_len(written)
                .map_err(io_error("write", file.path()))?;
        }
        // What was cut off by a crash, or rotted on the disk, is mended so. What is whole stays: it
        // may be durable, which this file is not.
        if !store.holds(&digest, written)? {
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))
                .map_err(|error| io_error("write", file.path())(error.into()))?;
            file.persist(&path)
                .map_err(|error| io_error("write", &path)(error.error))?;
            if let Some(flush) = flush {
                store.flushing().insert(digest, flush.finish());
            }
        }
        store.written().insert(digest);
        if let Some(followed) = followed {
            followed.end();
        }
        Ok((digest, written))
    }

    /// As [`BlobWriter::finish`], but only if the bytes are the expected ones.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when they are not; nothing is stored then.
    pub fn finish_as(self, expected: Digest) -> Result<u64, StoreError> {
        let found = self.hasher.clone().finish();
        if found != expected {
            return Err(StoreError::Corrupt {
                expected,
                found,
                size: self.sink.written,
            });
        }
        self.finish().map(|(_, size)| size)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        if let Some(followed) = &self.followed {
            followed.grown(self.sink.written);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// Where the last write ended.
        const HERE: u64 = u64::MAX;
        if !self.cached {
            match pwritev2(&self.file, &[IoSlice::new(bytes)], HERE, DONT_CACHE) {
                // The kernel, or the file system, cannot.
                Err(Errno::OPNOTSUPP) => self.cached = true,
                written => return Ok(written?),
            }
        }
        self.file.as_file_mut().write(bytes)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let hole = bytes.len() >= HOLE && bytes.iter().all(|byte| *byte == 0);
        let taken = if hole {
            self.file
                .as_file_mut()
                .seek(SeekFrom::Current(bytes.len() as i64))?;
            bytes.len()
        } else {
            self.put(bytes)?
        };
        self.hole |= hole;
        self.written += taken as u64;
        Flush::after(&mut self.flush, self.file.as_file(), taken, self.written);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands on a blob's bytes and fails at their end if they were not the right ones.
///
/// Who must not use wrong bytes reads to the end before it publishes anything.
pub struct VerifiedReader<R> {
    inner: R,
    hasher: Hasher,
    digest: Digest,
    expected: Option<u64>,
    found: u64,
}

impl<R: Read> VerifiedReader<R> {
    /// Wraps the reader of a blob with this digest and this many bytes.
    pub fn new(inner: R, digest: Digest, size: u64) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
            digest,
            expected: Some(size),
            found: 0,
        }
    }

    /// Wraps a reader of which only the digest is known: a layer's tar within its compression.
    pub fn of_unknown_size(inner: R, digest: Digest) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
            digest,
            expected: None,
            found: 0,
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        let Self {
            digest,
            expected,
            found: size,
            ..
        } = *self;
        if let Some(expected) = expected.filter(|expected| *expected != size) {
            return Err(StoreError::Size {
                digest,
                expected,
                found: size,
            });
        }
        let found = self.hasher.clone().finish();
        if found == digest {
            Ok(())
        } else {
            Err(StoreError::Corrupt {
                expected: digest,
                found,
                size,
            })
        }
    }
}

impl<R: Read> Read for VerifiedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.found += read as u64;
        if read == 0 || self.expected.is_some_and(|expected| self.found > expected) {
            self.check().map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

/// The store's error inside an I/O error, or the I/O error itself.
pub(super) fn blob_error<F>(error: io::Error, name: impl FnOnce() -> F) -> StoreError
where
    F: FnOnce(io::Error) -> StoreError,
{
    match error.downcast::<StoreError>() {
        Ok(inner) => inner,
        Err(error) => name()(error),
    }
}
