//! Filling a blob with three threads, so that reading, hashing and writing go on at once.

use std::io::{self, Write};
use std::panic;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use super::blob::BlobWriter;
use super::{StoreError, io_error};

/// The most buffers that wait before a thread: with a [`crate::layer::LayerWriter`], 1 MiB.
const MOST_WAITING: usize = 4;

impl BlobWriter {
    /// Calls `fill` with a writer into this blob; what is hashed and written to the file is so in
    /// other threads. Write in large pieces: each is handed on by itself.
    ///
    /// # Errors
    /// When the file cannot be written; `fill` then got an error from its writer too.
    pub fn fill<T>(&mut self, fill: impl FnOnce(&mut dyn Write) -> T) -> Result<T, StoreError> {
        let (full, to_hash) = sync_channel::<Vec<u8>>(MOST_WAITING);
        let (hashed, to_write) = sync_channel::<Vec<u8>>(MOST_WAITING);
        let (empty, used) = channel();
        let (hasher, sink) = (&mut self.hasher, &mut self.sink);
        let (made, written) = thread::scope(|scope| {
            scope.spawn(move || {
                for buffer in to_hash {
                    hasher.update(&buffer);
                    // The other thread has failed, and says why.
                    if hashed.send(buffer).is_err() {
                        break;
                    }
                }
            });
            let writer = scope.spawn(move || -> io::Result<()> {
                for buffer in to_write {
                    sink.write_all(&buffer)?;
                    // Nobody wants it back any more when all is written.
                    let _ = empty.send(buffer);
                }
                Ok(())
            });
            let mut front = Front { full, used };
            let made = fill(&mut front);
            drop(front);
            let written = writer.join();
            let written = written.unwrap_or_else(|panicked| panic::resume_unwind(panicked));
            (made, written)
        });
        written.map_err(io_error("write a blob in", &self.store.root().join("tmp")))?;
        Ok(made)
    }
}

/// Hands on what is written, in buffers that come back.
struct Front {
    full: SyncSender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
}

impl Write for Front {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.used.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        // A thread that has ended before all was written has failed.
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.full.send(buffer).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        let mut blob = store.blob_writer().unwrap();
        let filled = blob.fill(|out| {
            let mut pieces = bytes.chunks(100_000);
            pieces.try_for_each(|piece| out.write_all(piece))
        });
        filled.unwrap().unwrap();
        let (digest, size) = blob.finish().unwrap();
        assert_eq!((digest, size), (Digest::of(&bytes), 3 << 20));
        assert!(std::fs::read(store.blob_path(&digest)).unwrap() == bytes);
    }
}
