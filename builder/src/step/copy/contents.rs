//! The contents of the files of a copy: two threads read them, a third takes them in order.
//!
//! Of small files reading takes longer than all else. The readers take turns: each reads some
//! files, as many as fill a buffer, and leaves as many to the other. What lies between the threads
//! is bounded, whatever the size of a file.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use image_format::digest::{Digest, Hasher};

use crate::cache::files::FileId;
use crate::cancel::Cancel;
use crate::context::{Context, Opener};
use crate::dockerfile::Span;

use super::CopyError;
use super::rootfs::{self, Rootfs, StoredReader};
use super::source::{Content, Source, SourceEntry, SourceFile};

/// The size of a buffer: many small files, or a part of a large one.
const BUFFER: usize = 256 << 10;
/// How many buffers each reader has.
const BUFFERS: usize = 8;
const READERS: usize = 2;
/// As many bytes as could be read while a file is opened.
const OPENING: u64 = 1 << 10;

/// A file to be read.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// Where it is from.
    pub(super) source: &'a Source,
    /// Its entry there.
    pub(super) entry: &'a SourceEntry,
    /// What is known of it.
    pub(super) file: &'a SourceFile,
}

/// Where files lie.
pub(super) enum Origin<'a> {
    /// In a context.
    Context(&'a Context),
    /// In a directory that was fetched.
    Fetched(Box<Context>),
    /// In a root file system, or an archive.
    Rootfs(Arc<Rootfs>),
}

impl Origin<'_> {
    /// The directory it is; none of a root file system.
    pub(super) fn context(&self) -> Option<&Context> {
        match self {
            Self::Context(context) => Some(context),
            Self::Fetched(context) => Some(context),
            Self::Rootfs(_) => None,
        }
    }

    /// The same once more.
    pub(super) fn again(&self) -> Origin<'_> {
        match self {
            Self::Context(context) => Origin::Context(context),
            Self::Fetched(context) => Origin::Context(context),
            Self::Rootfs(rootfs) => Origin::Rootfs(Arc::clone(rootfs)),
        }
    }

    fn open(&self) -> Open<'_> {
        match self {
            Self::Context(context) => Open::Context(context.opener()),
            Self::Fetched(context) => Open::Context(context.opener()),
            Self::Rootfs(rootfs) => Open::Rootfs(rootfs.reader()),
        }
    }
}

/// An origin that is read from.
enum Open<'a> {
    Context(Opener<'a>),
    Rootfs(rootfs::Reader<'a>),
}

/// Reads the files in their order, and lets `take` have them one after the other.
///
/// # Errors
/// When a file cannot be read or changes meanwhile, or `take` fails.
pub(super) fn read_in_order<'a, T>(
    origins: &'a [Origin<'_>],
    jobs: impl Iterator<Item = Job<'a>> + Clone + Send,
    span: Span,
    cancel: &Cancel,
    take: impl FnOnce(&mut Contents) -> Result<T, CopyError>,
) -> Result<T, CopyError> {
    std::thread::scope(|scope| {
        let lanes = std::array::from_fn(|number| {
            let (full, filled) = sync_channel(BUFFERS);
            let (emptied, empty) = channel();
            for _ in 0..BUFFERS {
                // The receiver is alive.
                let _ = emptied.send(Vec::new());
            }
            let jobs = jobs.clone();
            scope.spawn(move || {
                let mut reader = Reader {
                    number,
                    batch: Batch::default(),
                    full: &full,
                    empty: &empty,
                    span,
                    cancel,
                };
                if let Err(Stop::Failed(error)) = reader.run(origins, jobs) {
                    // Whoever took the contents has ended, or hears of it.
                    let _ = full.send(Err(*error));
                }
            });
            Lane { filled, emptied }
        });
        // Dropped before the scope ends: a reader that waits for buffers wakes up then.
        let mut contents = Contents {
            lanes,
            turn: 0,
            batch: Batch::default(),
            piece: 0,
            offset: 0,
            digest: None,
            failed: None,
        };
        take(&mut contents)
    })
}

/// Some files' contents, or a part of one's.
#[derive(Default)]
struct Batch {
    data: Vec<u8>,
    /// The end of each piece in `data`, and at the last of a file its digest.
    pieces: Vec<(usize, Option<Digest>)>,
    /// Whether it is the other reader's turn then.
    ends_turn: bool,
}

enum Stop {
    /// Nobody takes the contents any more.
    Unwanted,
    Failed(Box<CopyError>),
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        Self::Failed(Box::new(error))
    }
}

struct Reader<'s> {
    /// Its turns are those with this number, counted round.
    number: usize,
    batch: Batch,
    full: &'s SyncSender<Result<Batch, CopyError>>,
    empty: &'s Receiver<Vec<u8>>,
    span: Span,
    cancel: &'s Cancel,
}

impl Reader<'_> {
    fn run<'a>(
        &mut self,
        origins: &'a [Origin<'_>],
        jobs: impl Iterator<Item = Job<'a>>,
    ) -> Result<(), Stop> {
        let mut open: Vec<Open<'_>> = origins.iter().map(Origin::open).collect();
        self.take_turns(jobs, |reader, job| {
            match (&job.file.content, open.get_mut(job.source.origin)) {
                (Content::Text(text), _) => reader.text(text),
                (Content::Context(id), Some(Open::Context(opener))) => {
                    let path = job.source.path_of(job.entry);
                    reader.context_file(opener, &path, id)
                }
                (Content::Layer(place), Some(Open::Rootfs(layers))) => {
                    reader.layer_file(&mut layers.open(*place)?, job.file.size)
                }
                // A file lies where its source does.
                _ => Err(CopyError::Reader.into()),
            }
        })
    }

    /// Reads what is to be read in its turns.
    fn take_turns<'a>(
        &mut self,
        jobs: impl Iterator<Item = Job<'a>>,
        mut read: impl FnMut(&mut Self, Job<'a>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (mut turn, mut taken) = (0, 0);
        for job in jobs {
            if taken >= BUFFER as u64 {
                self.end_turn(turn)?;
                (turn, taken) = ((turn + 1) % READERS, 0);
            }
            taken += OPENING + job.file.size;
            if turn == self.number {
                read(self, job)?;
            }
        }
        self.end_turn(turn)
    }

    fn end_turn(&mut self, turn: usize) -> Result<(), Stop> {
        if turn != self.number {
            return Ok(());
        }
        self.batch.ends_turn = true;
        self.send()
    }

    fn context_file(
        &mut self,
        opener: &mut Opener<'_>,
        path: &[u8],
        id: &FileId,
    ) -> Result<(), Stop> {
        let span = self.span;
        let failed = |error| Stop::from(CopyError::context(error, span));
        let file = opener.open(path).map_err(failed)?;
        let mut hasher = Hasher::new();
        let mut left = id.size;
        while left > 0 {
            let (start, room) = self.room(left)?;
            let slot = &mut self.batch.data[start..start + room];
            let count = match rustix::io::read(&file, slot) {
                Ok(0) => return Err(failed(opener.changed(path))),
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => 0,
                Err(error) => return Err(failed(opener.io(path, error))),
            };
            hasher.update(&self.batch.data[start..start + count]);
            self.batch.data.truncate(start + count);
            left -= count as u64;
            if left > 0 {
                self.batch.pieces.push((start + count, None));
            }
        }
        let after = rustix::fs::fstat(&file).map_err(|error| failed(opener.io(path, error)))?;
        if FileId::of(&after) != *id {
            return Err(failed(opener.changed(path)));
        }
        self.end_file(hasher.finish());
        Ok(())
    }

    fn text(&mut self, mut text: &[u8]) -> Result<(), Stop> {
        let digest = Digest::of(text);
        while !text.is_empty() {
            let (start, room) = self.room(text.len() as u64)?;
            let (now, later) = text.split_at(room);
            self.batch.data[start..].copy_from_slice(now);
            text = later;
            if !text.is_empty() {
                self.batch.pieces.push((start + room, None));
            }
        }
        self.end_file(digest);
        Ok(())
    }

    fn layer_file(&mut self, file: &mut StoredReader<'_>, size: u64) -> Result<(), Stop> {
        let mut hasher = Hasher::new();
        let mut left = size;
        while left > 0 {
            let (start, room) = self.room(left)?;
            let count = file.read(&mut self.batch.data[start..start + room])?;
            if count == 0 {
                return Err(file.failed(io::ErrorKind::UnexpectedEof.into()).into());
            }
            hasher.update(&self.batch.data[start..start + count]);
            self.batch.data.truncate(start + count);
            left -= count as u64;
            if left > 0 {
                self.batch.pieces.push((start + count, None));
            }
        }
        self.end_file(hasher.finish());
        Ok(())
    }

    fn end_file(&mut self, digest: Digest) {
        self.batch
            .pieces
            .push((self.batch.data.len(), Some(digest)));
    }

    /// Makes room for up to `wanted` bytes at the end of the batch: where it starts, and how much.
    fn room(&mut self, wanted: u64) -> Result<(usize, usize), Stop> {
        if self.cancel.is_cancelled() {
            return Err(CopyError::Cancelled.into());
        }
        let wanted = usize::try_from(wanted).unwrap_or(BUFFER).min(BUFFER);
        // A small file is not cut for the sake of a few bytes.
        if BUFFER - self.batch.data.len() < wanted.min(BUFFER / 8) {
            self.send()?;
        }
        if self.batch.data.capacity() == 0 {
            self.batch.data = self.empty.recv().map_err(|_| Stop::Unwanted)?;
            self.batch.data.clear();
            self.batch.data.reserve_exact(BUFFER);
        }
        let start = self.batch.data.len();
        let room = wanted.min(BUFFER - start);
        self.batch.data.resize(start + room, 0);
        Ok((start, room))
    }

    fn send(&mut self) -> Result<(), Stop> {
        let batch = std::mem::take(&mut self.batch);
        self.full.send(Ok(batch)).map_err(|_| Stop::Unwanted)
    }
}

/// From one reader, and back.
struct Lane {
    filled: Receiver<Result<Batch, CopyError>>,
    emptied: Sender<Vec<u8>>,
}

/// The contents as they come. Reading gives those of the current file up to its end.
pub(super) struct Contents {
    lanes: [Lane; READERS],
    /// Whose turn the current batch is of.
    turn: usize,
    batch: Batch,
    /// The current piece of the batch, and how far the batch has been taken.
    piece: usize,
    offset: usize,
    /// Of the current file, when its end has been reached.
    digest: Option<Digest>,
    failed: Option<CopyError>,
}

impl Contents {
    /// Goes to the next file, past what is left of the current one.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(super) fn next_file(&mut self) -> Result<Digest, CopyError> {
        loop {
            if let Some(digest) = self.digest.take() {
                return Ok(digest);
            }
            self.advance()?;
            if let Some((end, _)) = self.batch.pieces.get(self.piece) {
                self.offset = *end;
            }
            self.end_piece();
        }
    }

    /// Why reading failed, if it did.
    pub(super) fn failure(&mut self) -> Option<CopyError> {
        self.failed.take()
    }

    /// Sees that there is a current piece.
    fn advance(&mut self) -> Result<(), CopyError> {
        while self.piece >= self.batch.pieces.len() {
            let old = std::mem::take(&mut self.batch);
            if old.data.capacity() > 0 {
                // The reader may have read all there is.
                let _ = self.lanes[self.turn].emptied.send(old.data);
            }
            if old.ends_turn {
                self.turn = (self.turn + 1) % READERS;
            }
            self.batch = match self.lanes[self.turn].filled.recv() {
                Ok(batch) => batch?,
                Err(_) => return Err(CopyError::Reader),
            };
            (self.piece, self.offset) = (0, 0);
        }
        Ok(())
    }

    fn end_piece(&mut self) {
        if let Some((end, digest)) = self.batch.pieces.get(self.piece)
            && *end == self.offset
        {
            self.digest = *digest;
            self.piece += 1;
        }
    }
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.digest.is_some() || buffer.is_empty() {
            return Ok(0);
        }
        if let Err(error) = self.advance() {
            self.failed = Some(error);
            return Err(io::Error::other("the content of a file is missing"));
        }
        let end = self.batch.pieces.get(self.piece).map_or(0, |piece| piece.0);
        let data = self.batch.data.get(self.offset..end).unwrap_or_default();
        let count = data.len().min(buffer.len());
        buffer[..count].copy_from_slice(&data[..count]);
        self.offset += count;
        self.end_piece();
        Ok(count)
    }
}
