//! Writing in a thread of its own, so that reading a tree and hashing the layer go on at once.

use std::io::{self, Write};
use std::panic;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// The most buffers that wait: with a [`super::LayerWriter`] before it, 1 MiB.
const MOST_WAITING: usize = 4;

/// Calls `fill` with a writer that hands on to `out`, which works in another thread.
///
/// What is written in large pieces is handed on in the same pieces.
///
/// # Errors
/// What `out` failed with; `fill` then got errors from its writer too.
pub fn write_behind<W: Write + Send, T>(
    mut out: W,
    fill: impl FnOnce(&mut dyn Write) -> T,
) -> io::Result<(T, W)> {
    let (full, waiting) = sync_channel::<Vec<u8>>(MOST_WAITING);
    let (empty, used) = channel();
    thread::scope(|scope| {
        let thread = scope.spawn(move || -> io::Result<W> {
            drain(&mut out, &waiting, &empty)?;
            Ok(out)
        });
        let mut front = Front { full, used };
        let made = fill(&mut front);
        drop(front);
        match thread.join() {
            Ok(out) => Ok((made, out?)),
            Err(panicked) => panic::resume_unwind(panicked),
        }
    })
}

fn drain<W: Write>(
    out: &mut W,
    waiting: &Receiver<Vec<u8>>,
    empty: &Sender<Vec<u8>>,
) -> io::Result<()> {
    for buffer in waiting {
        out.write_all(&buffer)?;
        // Nobody wants it back any more when all is written.
        let _ = empty.send(buffer);
    }
    out.flush()
}

struct Front {
    full: SyncSender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
}

impl Write for Front {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.used.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        // The thread has ended before all was written: it failed, and says why.
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
    use super::*;

    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn keeps_the_bytes_in_order() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let (made, out) = write_behind(Vec::new(), |out| {
            bytes
                .chunks(1000)
                .try_for_each(|piece| out.write_all(piece))
        })
        .unwrap();
        made.unwrap();
        assert_eq!(out, bytes);
    }

    #[test]
    fn tells_why_writing_failed() {
        let failed = write_behind(Full(1000), |out| {
            (0..1000).try_for_each(|_| out.write_all(&[0; 100]))
        });
        assert_eq!(failed.err().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
