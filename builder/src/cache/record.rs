//! Records of steps: key, parts and layer.

use std::collections::BTreeSet;

use image_format::config::chain_id;
use image_format::digest::Digest;
use image_format::layout::{Layer, Roots, Store, StoreError};
use serde::{Deserialize, Serialize};

use super::key::{FilePart, Parts};
use super::{CacheError, publish, read};

const STEPS: &str = "steps";
/// A record lists the files of a context: this many bytes are millions of them.
const LARGEST: u64 = 1 << 30;

/// What a step did, and all that it depended on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The layer it made; none where it changed nothing.
    pub layer: Option<StoredLayer>,
    /// The layers below, base first.
    pub below: Vec<Digest>,
    /// What it depended on.
    pub parts: Parts,
    /// The files it read from the context, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FilePart>,
}

/// A layer as a record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayer {
    /// The digest of its tar.
    pub diff_id: Digest,
    /// The tar's size in bytes.
    pub size: u64,
}

/// The part of a record that a cached build needs: a copy's list of files is skipped over.
#[derive(Deserialize)]
struct Outcome {
    layer: Option<StoredLayer>,
}

/// The layer that the step with this key made, `Some(None)` if it is known to make none. A record
/// that does not read, or whose layer is not there as it should be, is none at all.
///
/// # Errors
/// When the store fails.
pub fn find(store: &Store, key: &Digest) -> Result<Option<Option<Layer>>, StoreError> {
    let Some(bytes) = read(store, STEPS, &name(key), LARGEST) else {
        return Ok(None);
    };
    let Ok(outcome) = serde_json::from_slice::<Outcome>(&bytes) else {
        return Ok(None);
    };
    let Some(StoredLayer { diff_id, size }) = outcome.layer else {
        return Ok(Some(None));
    };
    if store.blob_size(&diff_id)? != Some(size) {
        return Ok(None);
    }
    Ok(Some(Some(Layer { diff_id, size })))
}

/// The whole record with this key, if there is one that reads.
pub(crate) fn read_whole(store: &Store, key: &Digest) -> Option<Record> {
    let bytes = read(store, STEPS, &name(key), LARGEST)?;
    serde_json::from_slice(&bytes).ok()
}

/// Keeps what a step did.
///
/// # Errors
/// When it cannot be written.
pub fn keep(store: &Store, key: &Digest, record: &Record) -> Result<(), CacheError> {
    publish(store, STEPS, &name(key), |out| {
        serde_json::to_writer(out, record).map_err(std::io::Error::from)
    })
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
        let record = super::read_file(&entry.path(), LARGEST)
            .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        records.extend(record.map(|record| (key, record)));
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
