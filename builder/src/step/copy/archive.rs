//! Archives that an `ADD` unpacks, which is: lists, for their contents go straight into the layer.
//!
//! Whether a file is one is told by its content, as docker does: by the compressions of layers, and
//! whether a tar's first header comes then. Its plain tar lies in the store, under no name, while
//! the step is done.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use image_format::layer::compression::decompress;
use image_format::layer::index::{IndexError, LayerIndex};
use image_format::layer::tree::{Tree, TreeError};
use image_format::layer::whiteout::{Spelling, classify};
use image_format::layer::{Kind, LayerReader, Meta, ReadError};
use image_format::layout::{Store, StoreError};
use tempfile::NamedTempFile;

use crate::cache::files::FileId;
use crate::cancel::Cancel;
use crate::dockerfile::Span;

use super::contents::Origin;
use super::find::Found;
use super::rootfs::Rootfs;
use super::source::{Content, Source, SourceKind, Unpacking};
use super::{CopyError, stack};

/// The most bytes that an archive may come to, packed as a tar or as files: more is a trap.
const LARGEST: u64 = 256 << 30;

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is malformed, cut off, or names something outside of where it is unpacked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is in it cannot be listed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What is in it makes no tree of files.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name that would be read as a whiteout in a layer.
    #[error("{}: a layer cannot hold a name that starts with .wh.", .0.display())]
    Reserved(PathBuf),
    /// What is in it is larger than anything useful.
    #[error("{}: with it the archive comes to more than {} GiB", .0.display(), LARGEST >> 30)]
    TooLarge(PathBuf),
    /// The tar cannot be put into the store for the while.
    #[error("cannot put the tar that is in it into the store")]
    Keep(#[source] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Makes of each source that is an archive, and is to be unpacked, what is in it.
///
/// # Errors
/// When one is an archive and cannot be unpacked, or cannot be read.
pub(super) fn unpack(
    store: &Store,
    found: &mut Found<'_>,
    span: Span,
    cancel: &Cancel,
) -> Result<(), CopyError> {
    for number in 0..found.sources.len() {
        let source = &found.sources[number];
        if source.unpacking != Unpacking::Wanted {
            continue;
        }
        let Some(file) = open(found, source, span)? else {
            continue;
        };
        let name = String::from_utf8_lossy(&source.name).into_owned();
        let (tar, tree) = match tar(store, file, cancel) {
            Ok(Some(tar)) => tar,
            Ok(None) => continue,
            Err(ArchiveError::Cancelled) => return Err(CopyError::Cancelled),
            Err(source) => {
                let source = Box::new(source);
                return Err(CopyError::Archive { name, source, span });
            }
        };
        unchanged(found, source, span)?;
        let rootfs = Rootfs::of_archive(tar, tree, format!("the archive {name}"));
        let entries = stack::entries(&rootfs, b"", SourceKind::Dir, Meta::default());
        let origin = found.origins.len();
        found.origins.push(Origin::Rootfs(Arc::new(rootfs)));
        let source = &mut found.sources[number];
        source.at = Vec::new();
        source.entries = entries;
        source.origin = origin;
        source.unpacking = Unpacking::Done;
    }
    Ok(())
}

/// The file that a source is; `None` where it is none.
fn open(found: &Found<'_>, source: &Source, span: Span) -> Result<Option<File>, CopyError> {
    let context = found.origins.get(source.origin).and_then(Origin::context);
    let (Some(context), Some(top)) = (context, source.entries.first()) else {
        return Ok(None);
    };
    if !matches!(&top.kind, SourceKind::File(_)) {
        return Ok(None);
    }
    let file = context.opener().open(&source.at);
    let file = file.map_err(|error| CopyError::context(error, span))?;
    Ok(Some(File::from(file)))
}

/// Sees that a file is still the one that was found.
fn unchanged(found: &Found<'_>, source: &Source, span: Span) -> Result<(), CopyError> {
    let context = found.origins.get(source.origin).and_then(Origin::context);
    let (Some(context), Some(top)) = (context, source.entries.first()) else {
        return Ok(());
    };
    let SourceKind::File(file) = &top.kind else {
        return Ok(());
    };
    let Content::Context(id) = &file.content else {
        return Ok(());
    };
    let failed = |error| CopyError::context(error, span);
    let mut opener = context.opener();
    let file = opener.open(&source.at).map_err(failed)?;
    let now = rustix::fs::fstat(&file).map_err(|error| failed(opener.io(&source.at, error)))?;
    if FileId::of(&now) != *id {
        return Err(failed(opener.changed(&source.at)));
    }
    Ok(())
}

/// The plain tar of an archive, and what is in it; `None` where it is no archive.
fn tar(
    store: &Store,
    mut file: File,
    cancel: &Cancel,
) -> Result<Option<(NamedTempFile, Tree)>, ArchiveError> {
    let input = file.try_clone().map_err(IndexError::Io)?;
    // What cannot be read at all is copied, as docker has it: its error comes then.
    let Ok(plain) = decompress(input) else {
        return Ok(None);
    };
    match LayerReader::new(plain).next_entry() {
        Ok(Some(_)) => {}
        Ok(None)
        | Err(
            ReadError::Io { .. }
            | ReadError::Truncated { .. }
            | ReadError::Checksum { .. }
            | ReadError::AfterTheEnd { .. },
        ) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    file.rewind().map_err(IndexError::Io)?;
    let mut tar = store.tmp_file()?;
    keep(decompress(file).map_err(IndexError::Io)?, &mut tar, cancel)?;
    let index = LayerIndex::of_file(tar.reopen().map_err(ArchiveError::Keep)?)?;
    // The destination is there, and what an archive says of it docker does not hear.
    let index = index.without_root();
    let mut total = 0_u64;
    for listed in index.entries() {
        let entry = listed.entry;
        let name = entry.path.file_name().unwrap_or_default();
        if classify(name.as_bytes()) != Spelling::Plain {
            return Err(ArchiveError::Reserved(entry.path));
        }
        if let Kind::File { size } = entry.kind {
            total = total.saturating_add(size);
        }
        // A file of holes is long and takes no room in a tar.
        if total > LARGEST {
            return Err(ArchiveError::TooLarge(entry.path));
        }
    }
    Ok(Some((tar, Tree::new(vec![index])?)))
}

/// Puts a tar into a file, up to its end mark: what comes behind that is nobody's.
fn keep(plain: impl Read, tar: &mut NamedTempFile, cancel: &Cancel) -> Result<(), ArchiveError> {
    let kept = Kept {
        plain,
        tar,
        left: LARGEST,
        failed: None,
        cancel,
    };
    let mut reader = LayerReader::new(BufReader::with_capacity(256 << 10, kept));
    let mut last = PathBuf::new();
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => last = entry.path,
            Ok(None) => return Ok(()),
            Err(error) => {
                return Err(match reader.into_inner().into_inner().failed {
                    Some(Stop::Write(source)) => ArchiveError::Keep(source),
                    Some(Stop::Cancelled) => ArchiveError::Cancelled,
                    Some(Stop::TooLarge) => ArchiveError::TooLarge(last),
                    None => error.into(),
                });
            }
        }
    }
}

/// A reader whose bytes are kept in a file.
struct Kept<'a, R> {
    plain: R,
    tar: &'a mut NamedTempFile,
    left: u64,
    failed: Option<Stop>,
    cancel: &'a Cancel,
}

enum Stop {
    Write(io::Error),
    Cancelled,
    TooLarge,
}

impl<R: Read> Read for Kept<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stop = |stop| {
            self.failed = Some(stop);
            Err(io::Error::other("the archive is not read any further"))
        };
        if self.cancel.is_cancelled() {
            return stop(Stop::Cancelled);
        }
        let count = self.plain.read(buffer)?;
        let Some(left) = self.left.checked_sub(count as u64) else {
            return stop(Stop::TooLarge);
        };
        if let Err(error) = self.tar.write_all(&buffer[..count]) {
            return stop(Stop::Write(error));
        }
        self.left = left;
        Ok(count)
    }
}
