//! From the tree of a copy to its layer, in one pass over the files.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use image_format::digest::Digest;
use image_format::layer::{Entry, Kind, LayerWriter, Meta, Timestamp, WriteError};
use image_format::layout::{BlobWriter, Layer, Store};

use crate::cancel::Cancel;
use crate::dockerfile::Span;

use super::CopyError;
use super::contents::{Contents, Job, Origin, read_in_order};
use super::source::{Source, SourceEntry, SourceFile, SourceKind};
use super::target::{Overrides, Placed, unkey};

/// Progress is told of after so many bytes.
const TOLD: u64 = 1 << 20;

/// What the layer of a copy is made of.
pub(super) struct Tree<'a> {
    /// The sources.
    pub(super) sources: &'a [Source],
    /// What the instruction says of all of it.
    pub(super) overrides: &'a Overrides,
    /// What goes where.
    pub(super) entries: BTreeMap<Vec<u8>, Placed>,
    /// Where the files lie, by the sources' numbers.
    pub(super) origins: &'a [Origin<'a>],
    /// The instruction.
    pub(super) span: Span,
}

/// Writes the layer, and tells the digest of each file that it read, by source and entry.
///
/// # Errors
/// When a file cannot be read or changes meanwhile, or the layer cannot be written.
pub(super) fn write(
    store: &Store,
    tree: Tree<'_>,
    epoch: Timestamp,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &Cancel,
    digest: &mut dyn FnMut(usize, usize, Digest),
) -> Result<Layer, CopyError> {
    let Tree {
        sources,
        overrides,
        entries,
        origins,
        span,
    } = tree;
    let links = links(sources, &entries);
    let total = contents(sources, &entries, &links)
        .map(|(.., file)| file.size)
        .sum();
    let jobs = contents(sources, &entries, &links).filter_map(|(source, entry, file)| {
        let source = sources.get(source)?;
        let entry = source.entries.get(entry)?;
        let job = Job {
            source,
            entry,
            file,
        };
        (file.size > 0).then_some(job)
    });
    let mut layer = LayerWriter::new(store.blob_writer()?, epoch);
    read_in_order(origins, jobs, span, cancel, |contents| {
        let mut out = Out {
            layer: &mut layer,
            contents,
            span,
            progress: Progress {
                done: 0,
                told: 0,
                total,
                tell: progress,
            },
        };
        for (key, placed) in &entries {
            let path = PathBuf::from(OsStr::from_bytes(&unkey(key)));
            let (source, entry) = match placed {
                Placed::Dir(meta) => {
                    let (kind, meta) = (Kind::Dir, Meta::clone(meta));
                    out.plain(&Entry { path, kind, meta })?;
                    continue;
                }
                Placed::Copied { source, entry } => (*source, *entry),
            };
            let Some(copied) = entry_of(sources, source, entry) else {
                continue;
            };
            let meta = overrides.meta(&sources[source], copied);
            let kind = match &copied.kind {
                SourceKind::Dir => Kind::Dir,
                SourceKind::Symlink(target) => Kind::Symlink(target.clone()),
                SourceKind::Char(major, minor) => Kind::Char(*major, *minor),
                SourceKind::Block(major, minor) => Kind::Block(*major, *minor),
                SourceKind::Fifo => Kind::Fifo,
                SourceKind::File(file) => match links.get(key) {
                    Some(first) => Kind::Hardlink(PathBuf::from(OsStr::from_bytes(first))),
                    None => {
                        let kind = Kind::File { size: file.size };
                        let read = out.file(&Entry { path, kind, meta })?;
                        digest(source, entry, read);
                        continue;
                    }
                },
            };
            out.plain(&Entry { path, kind, meta })?;
        }
        Ok(())
    })?;
    let finished = layer.finish().map_err(|source| CopyError::Write {
        path: PathBuf::new(),
        source,
        span,
    })?;
    let (diff_id, size) = finished.finish()?;
    Ok(Layer { diff_id, size })
}

fn entry_of(sources: &[Source], source: usize, entry: usize) -> Option<&SourceEntry> {
    sources.get(source)?.entries.get(entry)
}

/// The further names of files that have several within one source, each with the first in the
/// order of the layer.
fn links(sources: &[Source], entries: &BTreeMap<Vec<u8>, Placed>) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut firsts: HashMap<(usize, (u64, u64)), &Vec<u8>> = HashMap::new();
    let mut links = HashMap::new();
    for (key, source, _, file) in files(sources, entries) {
        let Some(inode) = file.inode else {
            continue;
        };
        match firsts.entry((source, inode)) {
            std::collections::hash_map::Entry::Vacant(first) => {
                first.insert(key);
            }
            std::collections::hash_map::Entry::Occupied(first) => {
                links.insert(key.clone(), unkey(first.get()));
            }
        }
    }
    links
}

/// The files whose contents are in the layer, in its order, with their source and entry.
fn contents<'a>(
    sources: &'a [Source],
    entries: &'a BTreeMap<Vec<u8>, Placed>,
    links: &'a HashMap<Vec<u8>, Vec<u8>>,
) -> impl Iterator<Item = (usize, usize, &'a SourceFile)> + Clone + Send {
    files(sources, entries)
        .filter(|(key, ..)| !links.contains_key(*key))
        .map(|(_, source, entry, file)| (source, entry, file))
}

fn files<'a>(
    sources: &'a [Source],
    entries: &'a BTreeMap<Vec<u8>, Placed>,
) -> impl Iterator<Item = (&'a Vec<u8>, usize, usize, &'a SourceFile)> + Clone + Send {
    entries.iter().filter_map(|(key, placed)| match placed {
        Placed::Dir(_) => None,
        Placed::Copied { source, entry } => match &entry_of(sources, *source, *entry)?.kind {
            SourceKind::File(file) => Some((key, *source, *entry, file)),
            _ => None,
        },
    })
}

struct Out<'a, 'p> {
    layer: &'a mut LayerWriter<BlobWriter>,
    contents: &'a mut Contents,
    span: Span,
    progress: Progress<'p>,
}

/// How far the contents have come.
struct Progress<'p> {
    done: u64,
    told: u64,
    total: u64,
    tell: &'p mut dyn FnMut(u64, u64),
}

/// The content of a file, on whose way progress is told of.
struct Told<'a, 'p> {
    contents: &'a mut Contents,
    progress: &'a mut Progress<'p>,
}

impl Read for Told<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.contents.read(buffer)?;
        let progress = &mut *self.progress;
        progress.done += count as u64;
        if progress.done - progress.told >= TOLD || progress.done == progress.total {
            progress.told = progress.done;
            (progress.tell)(progress.done, progress.total);
        }
        Ok(count)
    }
}

impl Out<'_, '_> {
    fn plain(&mut self, entry: &Entry) -> Result<(), CopyError> {
        let written = self.layer.append(entry, io::empty());
        written.map_err(|source| self.failed(entry, source))
    }

    fn file(&mut self, entry: &Entry) -> Result<Digest, CopyError> {
        if entry.kind == (Kind::File { size: 0 }) {
            self.plain(entry)?;
            return Ok(Digest::of(b""));
        }
        let told = Told {
            contents: &mut *self.contents,
            progress: &mut self.progress,
        };
        let written = self.layer.append(entry, told);
        if let Some(failure) = self.contents.failure() {
            return Err(failure);
        }
        written.map_err(|source| self.failed(entry, source))?;
        self.contents.next_file()
    }

    fn failed(&self, entry: &Entry, source: WriteError) -> CopyError {
        CopyError::Write {
            path: entry.path.clone(),
            source,
            span: self.span,
        }
    }
}
