//! The collection of what nothing names any more.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use super::{Store, StoreError, io_error, remove_tree};
use crate::config::{ImageConfig, chain_id};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::manifest::{Index, Manifest};
use crate::media_type;
use crate::snapshot::origin;

/// What others than the index still need: the cache its layers, the containers their snapshots.
#[derive(Debug, Default)]
pub struct Roots {
    /// Blobs to keep.
    pub blobs: BTreeSet<Digest>,
    /// Stacks of layers, by their diff IDs, whose snapshots to keep.
    pub stacks: Vec<Vec<Digest>>,
}

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// The number of blobs.
    pub blobs: u64,
    /// The number of bytes in them.
    pub bytes: u64,
    /// The number of unpacked layers.
    pub snapshots: u64,
}

impl Store {
    /// Removes every blob and snapshot that neither an image nor one of `roots` needs; `None`,
    /// and nothing removed, while another process uses the store.
    ///
    /// `roots` is asked when nobody else can change them any more.
    ///
    /// # Errors
    /// When a document cannot be read, for what it names would be lost, or a removal fails.
    pub fn collect_garbage<E: From<StoreError>>(
        &self,
        roots: impl FnOnce() -> Result<Roots, E>,
    ) -> Result<Option<Freed>, E> {
        if self.0.lock.try_lock().is_err() {
            self.share_lock()?;
            return Ok(None);
        }
        let freed = roots().and_then(|roots| Ok(self.sweep_all(roots)?));
        self.share_lock()?;
        freed.map(Some)
    }

    /// The conversion of a lock loses the one it had when it fails.
    fn share_lock(&self) -> Result<(), StoreError> {
        self.0
            .lock
            .lock_shared()
            .map_err(io_error("lock", &self.root().join("lock")))
    }

    fn sweep_all(&self, roots: Roots) -> Result<Freed, StoreError> {
        let mut needed = Needed {
            blobs: roots.blobs,
            snapshots: BTreeSet::new(),
            tars: BTreeSet::new(),
        };
        roots
            .stacks
            .iter()
            .for_each(|stack| needed.add_stack(stack));
        for entry in &self.index()?.manifests {
            self.mark(entry, &mut needed)?;
        }
        self.mark_compressed_forms(&needed.tars, &mut needed.blobs)?;
        let stand_ins = self.keep_elsewhere(&needed.blobs)?;
        needed.blobs.extend(stand_ins);
        let mut freed = Freed::default();
        self.sweep(&self.root().join("blobs/sha256"), &needed.blobs, |path| {
            freed.bytes += fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
            freed.blobs += 1;
        })?;
        freed.snapshots = self.sweep_snapshots(&needed.snapshots)?;
        Ok(freed)
    }

    /// Removes the unpacked layers that are not needed, and all that can be used no more: of
    /// another boot, or of a store that lay elsewhere. Gives the number of those removed.
    fn sweep_snapshots(&self, needed: &BTreeSet<Digest>) -> Result<u64, StoreError> {
        let all = origin::all(self.root());
        let place = origin::place(&all)?;
        let mut count = 0;
        for entry in fs::read_dir(&all).map_err(io_error("read", &all))? {
            let entry = entry.map_err(io_error("read", &all))?;
            let path = entry.path();
            if origin::is_at(&entry.file_name(), &place) {
                self.sweep(&path, needed, |_| count += 1)?;
                continue;
            }
            count += names(&path)?
                .filter(|name| digest_of_name(name).is_some())
                .count() as u64;
            self.discard(&path)?;
        }
        Ok(count)
    }

    fn mark(&self, descriptor: &Descriptor, needed: &mut Needed) -> Result<(), StoreError> {
        if !needed.blobs.insert(descriptor.digest) {
            return Ok(());
        }
        let what = descriptor.digest.to_string();
        let document = |source| StoreError::Document {
            what: what.clone(),
            source,
        };
        if media_type::is_index(&descriptor.media_type) {
            let bytes = self.read_document(descriptor)?;
            let index: Index = serde_json::from_slice(&bytes).map_err(document)?;
            let there = |entry: &&Descriptor| self.blob_path(&entry.digest).exists();
            return index
                .manifests
                .iter()
                .filter(there)
                .try_for_each(|e| self.mark(e, needed));
        }
        if media_type::is_manifest(&descriptor.media_type) {
            let bytes = self.read_document(descriptor)?;
            let manifest: Manifest = serde_json::from_slice(&bytes).map_err(document)?;
            needed.blobs.insert(manifest.config.digest);
            needed
                .blobs
                .extend(manifest.layers.iter().map(|layer| layer.digest));
            if media_type::is_config(&manifest.config.media_type) {
                let bytes = self.read_document(&manifest.config)?;
                let config: ImageConfig = serde_json::from_slice(&bytes).map_err(document)?;
                needed.add_stack(&config.rootfs.diff_ids);
                needed.tars.extend(config.rootfs.diff_ids);
            }
        }
        Ok(())
    }

    /// Removes what has a digest's name and is not needed; by rename first, so that a snapshot is
    /// there whole or not at all.
    fn sweep(
        &self,
        dir: &Path,
        needed: &BTreeSet<Digest>,
        mut removed: impl FnMut(&Path),
    ) -> Result<(), StoreError> {
        for name in names(dir)? {
            if digest_of_name(&name).is_some_and(|digest| !needed.contains(&digest)) {
                let path = dir.join(&name);
                removed(&path);
                self.discard(&path)?;
            }
        }
        Ok(())
    }

    fn discard(&self, path: &Path) -> Result<(), StoreError> {
        let gone = self.tmp_dir()?;
        let to = gone.path().join("gone");
        fs::rename(path, &to).map_err(io_error("remove", path))?;
        remove_tree(&to).map_err(io_error("remove", &to))
    }
}

fn names(dir: &Path) -> Result<impl Iterator<Item = OsString> + use<>, StoreError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(io_error("read", dir))?;
    Ok(entries.into_iter().map(|entry| entry.file_name()))
}

/// The digest that a name is; a lock's name begins with one too, and goes with the origin.
pub(super) fn digest_of_name(name: &OsStr) -> Option<Digest> {
    name.to_str().and_then(|name| Digest::from_hex(name).ok())
}

struct Needed {
    blobs: BTreeSet<Digest>,
    snapshots: BTreeSet<Digest>,
    /// The layers of images, by their diff IDs.
    tars: BTreeSet<Digest>,
}

impl Needed {
    fn add_stack(&mut self, diff_ids: &[Digest]) {
        let stacks = (1..=diff_ids.len()).filter_map(|n| chain_id(&diff_ids[..n]));
        self.snapshots.extend(stacks);
    }
}
