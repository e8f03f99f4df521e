//! A root file system that comes as a tar, from anybody and in any order, as a layer.
//!
//! ```text
//! tar ── spool ──► plain file ── index ──► path → where its entry starts ── in order ──► layer
//! ```
//!
//! Nothing is unpacked, so that it takes no privileges and is the same for every user: the entries
//! are found first, then written in a layer's order by going to each where it lies. What the tar
//! says twice counts as the later one says, as if it had been unpacked.

mod index;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::layer::compression::{Compression, decompress};
use crate::layer::header::{self, BLOCK};
use crate::layer::{
    Kind, LayerReader, LayerWriter, Meta, ReadError, Timestamp, WriteError, whiteout,
};
use crate::layout::{Layer, Store, StoreError};
use index::{Index, Place};

/// Headers are read in pieces of this many bytes; contents go past the buffer.
const HEADER_BUFFER: usize = 8 << 10;

/// Why a root file system cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The tar is malformed or hostile.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The layer cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive itself, or the copy of it beside the store.
    #[error("cannot {action} the archive")]
    Io {
        /// What was tried, as in `read`.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A compression that images do not come in.
    #[error("the archive is compressed with {0}; gzip, bzip2, xz, zstd and plain tar can be read")]
    Compression(&'static str),
    /// Not a single entry.
    #[error("the archive is empty")]
    Empty,
    /// An entry lies below something that is no directory.
    #[error("{name}: {parent} above it is not a directory")]
    NotADirectory {
        /// The entry.
        name: String,
        /// What is above it.
        parent: String,
    },
    /// Symbolic links above an entry lead out of the image, or in a circle.
    #[error("{name}: the symbolic links above it lead nowhere")]
    Links {
        /// The entry.
        name: String,
    },
    /// The target of a hard link is not in the archive before it, or is a directory.
    #[error("{name}: a hard link to {target}, which is no file before it in the archive")]
    LinkTarget {
        /// The link.
        name: String,
        /// Its target.
        target: String,
    },
}

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> ImportError {
    move |source| ImportError::Io { action, source }
}

/// What becomes of the times of an archive's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// They stay, but none is after this one.
    UpTo(Timestamp),
    /// All become this one.
    All(Timestamp),
}

/// Whether what begins so is an archive: compressed, or a tar. A whole header of a tar, 512 bytes, is
/// needed to tell.
#[must_use]
pub fn is_archive(start: &[u8]) -> bool {
    let header = start.first_chunk::<BLOCK>();
    compression(start).is_some() || header.is_some_and(header::is_sealed)
}

/// Puts the root file system in `archive` into the store as one layer: a tar, plain, in gzip, bzip2, xz
/// or zstd, in a file or a pipe. The layer is not yet durable.
///
/// # Errors
/// When the archive is malformed, compressed in another way, empty, or holds what no layer can
/// hold; or when the store fails.
pub fn import(store: &Store, archive: File, times: Times) -> Result<Layer, ImportError> {
    let mut tar = plain(store, archive)?;
    let index = index_of(&mut tar)?;
    if index.is_empty() {
        return Err(ImportError::Empty);
    }
    let (Times::UpTo(epoch) | Times::All(epoch)) = times;
    let mut layer = LayerWriter::new(store.blob_writer()?, epoch);
    for place in index.places() {
        append(&mut layer, &tar, place, times)?;
    }
    let (diff_id, size) = layer.finish()?.finish()?;
    Ok(Layer { diff_id, size })
}

fn index_of(tar: &mut File) -> Result<Index, ImportError> {
    let mut index = Index::default();
    let mut reader = LayerReader::new(BufReader::with_capacity(256 << 10, tar));
    while let Some(entry) = reader.next_entry()? {
        index.add(entry, reader.header_offset())?;
    }
    Ok(index)
}

fn append<W: io::Write>(
    layer: &mut LayerWriter<W>,
    mut tar: &File,
    place: Place,
    times: Times,
) -> Result<(), ImportError> {
    tar.seek(SeekFrom::Start(place.offset))
        .map_err(io_error("read"))?;
    let mut reader = LayerReader::new(BufReader::with_capacity(HEADER_BUFFER, tar));
    // It was there a moment ago: an archive that somebody changes meanwhile ends here.
    let mut entry = reader.next_entry()?.ok_or(ImportError::Empty)?;
    entry.path = place.path;
    if entry.path.as_os_str().is_empty() {
        entry.meta = Meta::root(entry.meta.mtime);
    }
    if let Times::All(time) = times {
        entry.meta.mtime = time;
    }
    if let Some(first) = place.link_to {
        entry.kind = Kind::Hardlink(first);
    }
    entry
        .meta
        .xattrs
        .retain(|name, _| whiteout::is_carried(name));
    Ok(layer.append(&entry, reader)?)
}

/// What something is compressed with that begins so.
fn compression(start: &[u8]) -> Option<&'static str> {
    Some(match start {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [b'L', b'Z', b'I', b'P', ..] => "lzip",
        [0x04, 0x22, 0x4d, 0x18, ..] => "lz4",
        [0x1f, 0x9d, ..] => "compress",
        [b'P', b'K', 3, 4, ..] => "zip",
        _ => return None,
    })
}

/// The archive as a plain tar that can be read twice: itself, or a copy beside the store.
fn plain(store: &Store, mut archive: File) -> Result<File, ImportError> {
    let is_file = archive.metadata().map_err(io_error("read"))?.is_file();
    let at_start = is_file && archive.stream_position().map_err(io_error("read"))? == 0;
    let mut start = Vec::new();
    Read::by_ref(&mut archive)
        .take(6)
        .read_to_end(&mut start)
        .map_err(io_error("read"))?;
    let compression = compression(&start);
    if let Some(name) = compression.filter(|_| Compression::of(&start).is_none()) {
        return Err(ImportError::Compression(name));
    }
    if at_start && compression.is_none() {
        archive.rewind().map_err(io_error("read"))?;
        return Ok(archive);
    }
    let whole = io::Cursor::new(start).chain(archive);
    let mut tar = decompress(whole).map_err(io_error("read"))?;
    let dir = store.tmp_dir()?;
    let mut copy = tempfile::tempfile_in(dir.path()).map_err(io_error("copy"))?;
    io::copy(&mut tar, &mut copy).map_err(io_error("copy"))?;
    copy.rewind().map_err(io_error("copy"))?;
    Ok(copy)
}

#[cfg(test)]
mod tests;
