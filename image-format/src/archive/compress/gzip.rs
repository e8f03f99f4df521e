//! gzip on several cores, with bytes that do not depend on how many: the tar is cut into blocks of one
//! size, and each is compressed by itself, with the end of the block before as its dictionary. What comes
//! out is one member.
//!
//! Sources: RFC 1951 and RFC 1952; zlib's manual, `Z_SYNC_FLUSH`.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress};

/// A block's size. It is part of what makes the bytes.
const BLOCK: usize = 1 << 20;
/// As far back deflate refers.
const WINDOW: usize = 32 << 10;
/// Magic, deflate, no flags, no time, nothing said of the effort, no system: the bytes are the tar's alone.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The last block of deflate's: an empty one.
const END: [u8; 2] = [3, 0];
/// More workers take more memory than a layer may.
const MOST_WORKERS: usize = 8;

/// One block on its way.
struct Job {
    block: Vec<u8>,
    dictionary: Vec<u8>,
    done: Sender<io::Result<Done>>,
}

struct Done {
    /// The block again, to be used for another.
    block: Vec<u8>,
    compressed: Vec<u8>,
    crc: Crc,
}

/// Compresses what `tar` yields.
pub(super) fn compress(
    mut tar: impl Read,
    mut out: impl Write,
    level: u32,
    workers: NonZeroUsize,
) -> io::Result<()> {
    let workers = workers.get().min(MOST_WORKERS);
    // One for each to work at, and one to be fetched by the next that is free.
    let most_pending = workers + 1;
    let (jobs, waiting) = sync_channel::<Job>(most_pending);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        // Moved in, so that the workers end with it.
        let jobs = jobs;
        for _ in 0..workers {
            let worker = thread::Builder::new().name("gzip".to_owned());
            worker.spawn_scoped(scope, || work(&waiting, level))?;
        }
        out.write_all(&HEADER)?;
        let mut pending: VecDeque<Receiver<io::Result<Done>>> = VecDeque::new();
        let (mut crc, mut size) = (Crc::new(), 0_u32);
        let (mut spare, mut dictionary) = (Vec::new(), Vec::new());
        loop {
            let mut block: Vec<u8> = std::mem::take(&mut spare);
            block.clear();
            tar.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            let is_end = block.is_empty();
            if !is_end {
                // Its length modulo 2³², as the format has it.
                size = size.wrapping_add(block.len() as u32);
                let next = block[block.len().saturating_sub(WINDOW)..].to_vec();
                let dictionary = std::mem::replace(&mut dictionary, next);
                let (done, receiver) = channel();
                let job = Job {
                    block,
                    dictionary,
                    done,
                };
                jobs.send(job).map_err(|_| gone())?;
                pending.push_back(receiver);
            }
            while pending.len() >= most_pending || is_end {
                let Some(receiver) = pending.pop_front() else {
                    break;
                };
                let done = receiver.recv().map_err(|_| gone())??;
                out.write_all(&done.compressed)?;
                crc.combine(&done.crc);
                spare = done.block;
            }
            if is_end {
                break;
            }
        }
        out.write_all(&END)?;
        out.write_all(&crc.sum().to_le_bytes())?;
        out.write_all(&size.to_le_bytes())
    })
}

/// A worker is there no more: it has panicked, which its end tells.
fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

fn work(waiting: &Mutex<Receiver<Job>>, level: u32) {
    loop {
        let job = {
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.recv()
        };
        let Ok(Job {
            block,
            dictionary,
            done,
        }) = job
        else {
            return;
        };
        let compressed = deflated(level, &block, &dictionary);
        let result = compressed.map(|compressed| {
            let mut crc = Crc::new();
            crc.update(&block);
            Done {
                block,
                compressed,
                crc,
            }
        });
        // Nobody waits for it when another has failed.
        let _ = done.send(result);
    }
}

/// A block as deflate has it, ending at a whole byte and not as the last.
fn deflated(level: u32, block: &[u8], dictionary: &[u8]) -> io::Result<Vec<u8>> {
    // A new one each time: one that is reset goes on from what it saw before (zlib-rs 0.6.8), and the
    // bytes would depend on who compressed which blocks.
    let mut deflate = Compress::new(Compression::new(level), false);
    if !dictionary.is_empty() {
        deflate.set_dictionary(dictionary)?;
    }
    let mut out = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let rest = &block[deflate.total_in() as usize..];
        deflate.compress_vec(rest, &mut out, FlushCompress::Sync)?;
        // With room left all has been written.
        if out.len() < out.capacity() {
            return Ok(out);
        }
        out.reserve(block.len() / 2 + 1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn data(size: usize) -> Vec<u8> {
        let mut seed = 7_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 28) as u8
        };
        (0..size).map(|_| next()).collect()
    }

    fn gzip(data: &[u8], workers: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let workers = NonZeroUsize::new(workers).unwrap();
        compress(data, &mut out, 4, workers).unwrap();
        out
    }

    #[test]
    fn one_member_and_the_same_bytes_on_any_number_of_cores() {
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 12_345] {
            let data = data(size);
            let one = gzip(&data, 1);
            for workers in [2, 3, 100] {
                assert!(gzip(&data, workers) == one);
            }
            let mut reader = flate2::bufread::GzDecoder::new(one.as_slice());
            let mut back = Vec::new();
            reader.read_to_end(&mut back).unwrap();
            assert!(back == data);
            // Nothing is left for a second member.
            assert!(reader.into_inner().is_empty());
        }
    }

    #[test]
    fn the_bytes_stay_what_they_are() {
        let digest = Digest::of(&gzip(&data(2 * BLOCK + 100), 2));
        let pinned = "sha256:cc197a9fb68c0d591b089cbf54d1c19d7b1dad0d526413b03f0d881276919371";
        assert_eq!(digest.to_string(), pinned);
    }

    #[test]
    fn what_cannot_be_compressed_grows_little() {
        let mut seed = 1_u64;
        let noise: Vec<u8> = (0..2 * BLOCK / 8)
            .flat_map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()
            })
            .collect();
        let size = gzip(&noise, 2).len();
        assert!(size < noise.len() + noise.len() / 1000, "{size}");
    }

    #[test]
    fn a_reader_that_fails_is_an_error() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let reader = io::Cursor::new(data(3 * BLOCK)).chain(Fails);
        let failed = compress(reader, Vec::new(), 4, NonZeroUsize::MIN).unwrap_err();
        assert_eq!(failed.to_string(), "broken");
    }
}
