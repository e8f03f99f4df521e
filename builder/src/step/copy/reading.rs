//! The digests of a context's files, with as little reading as can be.
//!
//! Known files are not read. Where most of the bytes are unknown, the layer is made at once, and
//! the digests fall off on the way: hashing alone first would read everything twice.

use std::collections::HashSet;
use std::time::SystemTime;

use image_format::digest::Digest;
use image_format::layout::Layer;

use crate::context::Context;

use super::contents::{Job, read_in_order};
use super::find::Found;
use super::maker::Maker;
use super::source::{Content, Source, SourceFile, SourceKind, Unpacking};
use super::{CopyError, Words};

/// What came of reading.
pub(super) struct Read<'a> {
    /// What was asked for.
    pub(super) found: Found<'a>,
    /// By source and entry.
    digests: Vec<Vec<Option<Digest>>>,
    /// The layer, if it was made on the way.
    pub(super) layer: Option<Layer>,
}

impl<'a> Read<'a> {
    /// What was found where no digest is asked for.
    pub(super) fn none(found: Found<'a>) -> Self {
        Self {
            found,
            digests: Vec::new(),
            layer: None,
        }
    }

    /// The digest of a file; that of nothing where it was not asked for.
    pub(super) fn digest(&self, source: usize, entry: usize) -> Digest {
        let digest = self.digests.get(source).and_then(|all| all.get(entry));
        digest.copied().flatten().unwrap_or_else(|| Digest::of(b""))
    }
}

/// Finds the digests of all files, and keeps those of the files that were read.
pub(super) fn read<'a>(
    maker: &Maker<'_>,
    context: &Context,
    found: Found<'a>,
    words: &Words,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Read<'a>, CopyError> {
    let seen = SystemTime::now();
    let mut read = Read {
        digests: found
            .sources
            .iter()
            .map(|source| vec![None; source.entries.len()])
            .collect(),
        found,
        layer: None,
    };
    let Found { sources, origins } = &read.found;
    let (mut known, mut unknown) = (0, 0);
    {
        let digests = context.digests(maker.store);
        for (source, entry, file) in files(sources) {
            let Content::Context(id) = &file.content else {
                continue;
            };
            match digests.as_ref().and_then(|digests| digests.get(id)) {
                None => unknown += file.size,
                digest => {
                    known += file.size;
                    read.digests[source][entry] = digest;
                }
            }
        }
    }
    if unknown == 0 {
        return Ok(read);
    }
    let mut fresh: Vec<(usize, usize)> = Vec::new();
    let digests = &mut read.digests;
    let mut keep = |source: usize, entry: usize, digest| {
        let slot = &mut digests[source][entry];
        if slot.is_none() {
            fresh.push((source, entry));
            *slot = Some(digest);
        }
    };
    // An archive has to be known before it is looked into.
    let unpacks = |source: &Source| source.unpacking != Unpacking::No;
    if unknown >= known && !sources.iter().any(unpacks) {
        read.layer = Some(maker.make(&read.found, words, progress, &mut keep)?);
    }
    // What the layer did not need: files that another source's took the place of.
    let left: Vec<_> = {
        let digests = &read.digests;
        files(sources)
            .filter(|(source, entry, _)| digests[*source][*entry].is_none())
            .collect()
    };
    let jobs = left.iter().map(|(source, entry, file)| Job {
        source: &sources[*source],
        entry: &sources[*source].entries[*entry],
        file,
    });
    read_in_order(origins, jobs, words.span, maker.cancel, |contents| {
        for (source, entry, _) in &left {
            let digest = contents.next_file()?;
            read.digests[*source][*entry] = Some(digest);
            fresh.push((*source, *entry));
        }
        Ok(())
    })?;
    if let Some(digests) = context.digests(maker.store).take() {
        let fresh = fresh.iter().filter_map(|(source, entry)| {
            let digest = read.digests[*source][*entry]?;
            match &sources[*source].entries[*entry].kind {
                SourceKind::File(SourceFile {
                    content: Content::Context(id),
                    ..
                }) => Some((*id, digest)),
                _ => None,
            }
        });
        digests.add(maker.store, fresh, seen)?;
    }
    Ok(read)
}

/// The files whose digests are needed: not the empty ones, of a file with several names the first,
/// and none of what is known otherwise.
fn files(sources: &[Source]) -> impl Iterator<Item = (usize, usize, &SourceFile)> {
    let sources = sources.iter().enumerate();
    let sources = sources.filter(|(_, source)| source.known.is_none());
    sources.flat_map(|(number, source)| {
        let mut inodes = HashSet::new();
        let entries = source.entries.iter().enumerate();
        entries.filter_map(move |(place, entry)| match &entry.kind {
            SourceKind::File(file) if file.size > 0 => {
                let first = file.inode.is_none_or(|inode| inodes.insert(inode));
                first.then_some((number, place, file))
            }
            _ => None,
        })
    })
}
