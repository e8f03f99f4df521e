//! Filling a blob with three threads, so that reading, hashing and writing go on at once.

use std::io::{self, Write};
use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::blob::{BlobWriter, Sink};
use super::{Store, StoreError, io_error};
use crate::digest::Hasher;

/// The most buffers that wait before a thread: with a [`crate::layer::LayerWriter`], 1 MiB.
const MOST_WAITING: usize = 4;

impl Store {
    /// Calls `fill` with a writer into a new blob; what is hashed and written to the file is so in
    /// other threads. Write in large pieces: each is handed on by itself.
    ///
    /// The blob is `None` where nothing was written; no file and no thread was made then. It is taken
    /// for one that is not read soon.
    ///
    /// # Errors
    /// When the file cannot be made or written; `fill` then got an error from its writer too.
    pub fn fill_blob<T>(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> T,
    ) -> Result<(T, Option<BlobWriter>), StoreError> {
        let mut front = Front::NotStarted(self);
        let filled = fill(&mut front);
        let blob = match front {
            Front::NotStarted(_) => None,
            Front::Started(threads) => Some(threads.join()?),
            Front::Failed(error) => return Err(error),
        };
        Ok((filled, blob))
    }
}

/// Hands on what is written.
enum Front<'a> {
    NotStarted(&'a Store),
    Started(Threads),
    Failed(StoreError),
}

impl Write for Front<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Front::NotStarted(store) = self {
            *self = match Threads::start(store) {
                Ok(threads) => Front::Started(threads),
                Err(error) => Front::Failed(error),
            };
        }
        match self {
            Front::Started(threads) => threads.hand_on(bytes),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The one that hashes, and the one that writes.
struct Threads {
    store: Store,
    full: SyncSender<Vec<u8>>,
    /// Buffers that come back.
    used: Receiver<Vec<u8>>,
    hasher: JoinHandle<Hasher>,
    writer: JoinHandle<io::Result<Sink>>,
}

impl Threads {
    fn start(store: &Store) -> Result<Self, StoreError> {
        let blob = store.blob_writer()?.uncached();
        let (full, to_hash) = sync_channel::<Vec<u8>>(MOST_WAITING);
        let (hashed, to_write) = sync_channel::<Vec<u8>>(MOST_WAITING);
        let (empty, used) = channel();
        let (mut hasher, mut sink) = (blob.hasher, blob.sink);
        let failed = || io_error("start a thread for a blob in", store.root());
        let hasher = Builder::new().name("hasher".into()).spawn(move || {
            for buffer in to_hash {
                hasher.update(&buffer);
                // The other thread has failed, and says why.
                if hashed.send(buffer).is_err() {
                    break;
                }
            }
            hasher
        });
        let writer = Builder::new().name("writer".into()).spawn(move || {
            for buffer in to_write {
                sink.write_all(&buffer)?;
                // Nobody wants it back any more when all is written.
                let _ = empty.send(buffer);
            }
            Ok(sink)
        });
        Ok(Self {
            store: blob.store,
            full,
            used,
            hasher: hasher.map_err(failed())?,
            writer: writer.map_err(failed())?,
        })
    }

    fn hand_on(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.used.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        // A thread that has ended before all was written has failed.
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.full.send(buffer).map_err(gone)?;
        Ok(bytes.len())
    }

    fn join(self) -> Result<BlobWriter, StoreError> {
        drop(self.full);
        let hasher = self.hasher.join();
        let sink = self.writer.join();
        let sink = sink.unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        Ok(BlobWriter {
            sink: sink.map_err(io_error("write a blob in", &self.store.root().join("tmp")))?,
            hasher: hasher.unwrap_or_else(|panicked| panic::resume_unwind(panicked)),
            store: self.store,
            followed: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::digest::Digest;
    use crate::layout::Store;

    #[test]
    fn keeps_the_bytes_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let mut bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        bytes.resize(3 << 20, 0);
        let (filled, blob) = store
            .fill_blob(|out| {
                let mut pieces = bytes.chunks(100_000);
                pieces.try_for_each(|piece| out.write_all(piece))
            })
            .unwrap();
        filled.unwrap();
        let blob = blob.unwrap();
        let (digest, size) = blob.finish().unwrap();
        assert_eq!((digest, size), (Digest::of(&bytes), 3 << 20));
        assert!(std::fs::read(store.blob_path(&digest)).unwrap() == bytes);
    }

    #[test]
    fn nothing_written_is_no_blob() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let (filled, blob) = store.fill_blob(|_| 7).unwrap();
        assert!(filled == 7 && blob.is_none());
    }
}
