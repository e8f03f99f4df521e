//! Reading a blob while it is still written: it is unpacked as it comes, and all of it that is not yet
//! read lies on the disk, not in memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How far the writing of a blob has come; dropped before its end, the blob does not come to be.
#[derive(Default)]
pub(super) struct Followed(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of bytes that were written.
    written: u64,
    /// Whether that is all; `Some(false)` where the blob was given up.
    ended: Option<bool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    /// So many bytes are in the file.
    pub fn grown(&self, written: u64) {
        self.0.state().written = written;
        self.0.changed.notify_all();
    }

    /// The blob is in the store.
    pub fn end(self) {
        self.0.state().ended = Some(true);
    }

    pub fn follower(&self, file: File) -> Follower {
        Follower {
            file,
            shared: Arc::clone(&self.0),
            at: 0,
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.state().ended.get_or_insert(false);
        self.0.changed.notify_all();
    }
}

/// Reads a blob in the making; see [`super::BlobWriter::follow`].
pub struct Follower {
    file: File,
    shared: Arc<Shared>,
    at: u64,
}

impl Follower {
    /// Waits for bytes, and says how many there are to read; 0 at the end.
    fn wait(&self) -> io::Result<u64> {
        let mut state = self.shared.state();
        loop {
            match state.ended {
                _ if state.written > self.at => return Ok(state.written - self.at),
                Some(true) => return Ok(0),
                Some(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let most = self.wait()?.min(buffer.len() as u64) as usize;
        let buffer = &mut buffer[..most];
        let mut read = self.file.read_at(buffer, self.at)?;
        if read == 0 {
            // A hole at the end, which the file does not have yet.
            buffer.fill(0);
            read = most;
        }
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;

    use crate::digest::Digest;
    use crate::layout::Store;

    #[test]
    fn what_is_written_is_read_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let mut bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        bytes.resize(1 << 20, 0);
        let mut writer = store.blob_writer().unwrap();
        let mut follower = writer.follow().unwrap();
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            follower.read_to_end(&mut read).map(|_| read)
        });
        for piece in bytes.chunks(70_000) {
            writer.write_all(piece).unwrap();
        }
        writer.finish_as(Digest::of(&bytes)).unwrap();
        assert!(reader.join().unwrap().unwrap() == bytes);
    }

    #[test]
    fn what_does_not_come_to_its_end_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        for wrong in [false, true] {
            let mut writer = store.blob_writer().unwrap();
            writer.write_all(b"ab").unwrap();
            let mut follower = writer.follow().unwrap();
            let mut two = [0; 2];
            follower.read_exact(&mut two).unwrap();
            assert_eq!(&two, b"ab");
            match wrong {
                true => drop(writer.finish_as(Digest::of(b"abc")).unwrap_err()),
                false => drop(writer),
            }
            assert!(follower.read(&mut two).is_err());
        }
    }
}
