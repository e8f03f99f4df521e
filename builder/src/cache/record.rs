//! Records of steps: key, parts and layer.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use image_format::config::chain_id;
use image_format::digest::Digest;
use image_format::layout::{Layer, Roots, Store, StoreError};
use serde::{Deserialize, Serialize, Serializer};

use super::key::{FilePart, Parts};
use super::{CacheError, publish};

const STEPS: &str = "steps";
/// A record lists the files of a context: this many bytes are millions of them.
const LARGEST: u64 = 1 << 30;
/// The most bytes of all the rest: arguments and environment.
const LONGEST_LINE: u64 = 64 << 20;

/// What a step did, and all that it depended on.
///
/// It is stored as two lines, in the second the files that it read: a cached build reads the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The layer it made; none where it changed nothing.
    pub layer: Option<StoredLayer>,
    /// The layers below, base first.
    pub below: Vec<Digest>,
    /// The cache of others that it came from, by [`super::shared::Import::name`]; none where the step was done here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it depended on.
    pub parts: Parts,
}

/// A layer as a record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayer {
    /// The digest of its tar.
    pub diff_id: Digest,
    /// The tar's size in bytes.
    pub size: u64,
}

/// The layer that the step with this key made, `Some(None)` if it is known to make none. A record
/// that does not read, that came from a cache which `is_believed` does not know, or whose layer is not there as it
/// should be, is none at all.
///
/// # Errors
/// When the store fails.
pub fn find(
    store: &Store,
    key: &Digest,
    is_believed: &dyn Fn(&str) -> bool,
) -> Result<Option<Option<Layer>>, StoreError> {
    let Some(record) = read(store, key) else {
        return Ok(None);
    };
    if record.from.is_some_and(|from| !is_believed(&from)) {
        return Ok(None);
    }
    let Some(StoredLayer { diff_id, size }) = record.layer else {
        return Ok(Some(None));
    };
    if store.blob_size(&diff_id)? != Some(size) {
        return Ok(None);
    }
    Ok(Some(Some(Layer { diff_id, size })))
}

/// The record with this key, if there is one that reads.
pub(crate) fn read(store: &Store, key: &Digest) -> Option<Record> {
    let (record, _) = open(&super::directory(store, STEPS).join(name(key)))?;
    Some(record)
}

/// The files that the step with this key read from the context, in its order; none where the record
/// does not read.
pub(crate) fn files(store: &Store, key: &Digest) -> Vec<FilePart> {
    let record = open(&super::directory(store, STEPS).join(name(key)));
    let files = record.and_then(|(_, rest)| serde_json::from_reader(rest.take(LARGEST)).ok());
    files.unwrap_or_default()
}

/// A record, and what comes behind its first line.
fn open(path: &Path) -> Option<(Record, impl BufRead + use<>)> {
    let mut reader = BufReader::new(File::open(path).ok()?);
    let mut line = Vec::new();
    let mut first = reader.by_ref().take(LONGEST_LINE);
    first.read_until(b'\n', &mut line).ok()?;
    let record = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    Some((record, reader))
}

/// Keeps what a step did, with the files that it read.
///
/// # Errors
/// When it cannot be written.
pub fn keep(
    store: &Store,
    key: &Digest,
    record: &Record,
    files: impl Iterator<Item = FilePart> + Clone,
) -> Result<(), CacheError> {
    publish(store, STEPS, &name(key), |out| {
        serde_json::to_writer(&mut *out, record)?;
        out.write_all(b"\n")?;
        Ok(serde_json::Serializer::new(out).collect_seq(files.clone())?)
    })
}

/// Removes a record.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn forget(store: &Store, key: &Digest) -> Result<(), CacheError> {
    let path = super::directory(store, STEPS).join(name(key));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| CacheError::Write { path, source }),
    }
}

/// All records that read.
///
/// # Errors
/// When the directory cannot be read.
pub fn all(store: &Store) -> Result<Vec<(Digest, Record)>, CacheError> {
    let dir = super::directory(store, STEPS);
    let failed = |source| CacheError::Read {
        path: dir.clone(),
        source,
    };
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut records = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let file = entry.file_name();
        let key = file.to_str().and_then(|file| file.strip_suffix(".json"));
        let Some(key) = key.and_then(|hex| Digest::from_hex(hex).ok()) else {
            continue;
        };
        records.extend(open(&entry.path()).map(|(record, _)| (key, record)));
    }
    records.sort_by_key(|(key, _)| *key);
    Ok(records)
}

/// What the records need of the store: the collection of garbage leaves it.
///
/// # Errors
/// When the records cannot be read.
pub fn roots(store: &Store) -> Result<Roots, CacheError> {
    let mut roots = Roots::default();
    let mut stacks = BTreeSet::new();
    for (_, record) in all(store)? {
        let mut stack = record.below;
        if let Some(layer) = record.layer {
            roots.blobs.insert(layer.diff_id);
            stack.push(layer.diff_id);
        }
        stacks.insert((chain_id(&stack), stack));
    }
    roots.stacks = stacks.into_iter().map(|(_, stack)| stack).collect();
    Ok(roots)
}

fn name(key: &Digest) -> String {
    format!("{}.json", key.hex())
}
