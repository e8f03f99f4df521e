//! Snapshots that are whole trees, for file systems that overlayfs cannot work on.
//!
//! `<chain-id>/` holds all that its stack of layers has. A copy is a layer packed and unpacked, so
//! that it is right for all that an image can hold, and nothing else.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use super::{
    Committed, Kind, LayerSource, OpenTar, Prepared, RootMount, SnapshotError, Snapshotter, chain,
    io_error, make_dir, origin, publish, targets, unpack, write_layer,
};
use crate::config::chain_id;
use crate::digest::Digest;
use crate::layer::Timestamp;
use crate::layer::apply::{ApplyError, Target, apply};
use crate::layer::pack::{PackError, pack_difference, pack_tree};
use crate::layer::whiteout::XattrNamespace;
use crate::layout::Store;

const ROOT: &str = "root";
/// No time is after this one.
const NEVER: Timestamp = Timestamp::from_secs(i64::MAX);

/// Snapshots that are whole trees.
pub struct Copies {
    store: Store,
    dir: PathBuf,
}

impl Copies {
    /// The snapshots in this store that are this process's, in its user namespace.
    ///
    /// # Errors
    /// When their directory cannot be made.
    pub fn new(store: &Store) -> Result<Self, SnapshotError> {
        let dir = origin::dir(store.root(), Kind::Copy)?;
        make_dir(&dir)?;
        Ok(Self {
            store: store.clone(),
            dir,
        })
    }

    fn path(&self, stack: &[Digest]) -> Option<PathBuf> {
        chain_id(stack).map(|id| self.dir.join(id.hex()))
    }

    /// Makes `to` the tree of a stack, to be written to.
    fn copy(&self, stack: &[Digest], to: &Path) -> Result<(), SnapshotError> {
        make_dir(to)?;
        let Some(from) = self.path(stack) else {
            return empty(to);
        };
        let piped = io::pipe().map_err(io_error("copy", &from))?;
        let (reader, writer) = piped;
        let (packed, unpacked) = thread::scope(|scope| {
            let packer = scope.spawn(|| pack_tree(&from, writer, NEVER).map(drop));
            let unpacked = apply(reader, to, Target::InPlace);
            let packed = packer.join();
            let packed = packed.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked));
            (packed, unpacked)
        });
        let failed = |source: ApplyError| SnapshotError::Copy {
            from: from.clone(),
            source,
        };
        match (packed, unpacked) {
            // Nobody read on.
            (Err(PackError::Write(_)), Err(error)) => Err(failed(error)),
            (Err(error), _) => Err(error.into()),
            (Ok(()), unpacked) => unpacked.map_err(failed),
        }
    }

    fn unpack_to(
        &self,
        below: &[Digest],
        diff_id: &Digest,
        tar: &mut OpenTar<'_>,
        to: &Path,
    ) -> Result<(), SnapshotError> {
        let tmp = self.store.tmp_dir()?;
        let tree = tmp.path().join(ROOT);
        self.copy(below, &tree)?;
        unpack(diff_id, tar, &tree, Target::InPlace)?;
        publish::publish(&tree, to)
    }
}

/// Makes a directory the root of an image that has no layer.
fn empty(dir: &Path) -> Result<(), SnapshotError> {
    let target = Target::Overlay {
        lowers: &[],
        xattrs: XattrNamespace::User,
    };
    apply(io::empty(), dir, target).map_err(|source| SnapshotError::Root {
        dir: dir.to_owned(),
        source,
    })
}

impl Snapshotter for Copies {
    fn ensure(&self, layers: &[LayerSource]) -> Result<(), SnapshotError> {
        let stack: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        for (at, layer) in layers.iter().enumerate() {
            self.unpack(&stack[..at], &layer.diff_id, &mut || {
                self.store.layer_tar(&layer.blob, &layer.diff_id)
            })?;
        }
        Ok(())
    }

    fn unpack(
        &self,
        below: &[Digest],
        diff_id: &Digest,
        tar: &mut OpenTar<'_>,
    ) -> Result<(), SnapshotError> {
        let path = self.dir.join(chain::above(below, diff_id).hex());
        publish::once(&path, || self.unpack_to(below, diff_id, tar, &path))
    }

    fn prepare_in(&self, dir: &Path, stack: &[Digest]) -> Result<RootMount, SnapshotError> {
        if let Some(id) = chain_id(stack).filter(|id| !self.dir.join(id.hex()).exists()) {
            return Err(SnapshotError::NotUnpacked(id));
        }
        let path = dir.join(ROOT);
        self.copy(stack, &path)?;
        Ok(RootMount::Bind { path })
    }

    fn prepare(&self, stack: &[Digest]) -> Result<Prepared, SnapshotError> {
        let dir = self.store.tmp_dir()?;
        Ok(Prepared {
            mount: self.prepare_in(dir.path(), stack)?,
            stack: stack.to_vec(),
            dir,
        })
    }

    fn commit(
        &self,
        prepared: Prepared,
        epoch: i64,
        leave_out: &[PathBuf],
    ) -> Result<Committed, SnapshotError> {
        let tree = prepared.dir().join(ROOT);
        targets::remove_untouched(&tree, leave_out)?;
        let nothing = prepared.dir().join("empty");
        let old = match self.path(&prepared.stack) {
            Some(path) => path,
            None => {
                make_dir(&nothing)?;
                empty(&nothing)?;
                nothing
            }
        };
        let epoch = Timestamp::from_secs(epoch);
        let layer = write_layer(&self.store, |out| {
            let packed = pack_difference(&old, &tree, out, epoch, true)?;
            Ok(packed.is_some())
        })?;
        if let Some(layer) = layer {
            let stack = [prepared.stack.as_slice(), &[layer.diff_id]].concat();
            if let Some(path) = self.path(&stack) {
                publish::publish(&tree, &path)?;
            }
        }
        Ok(Committed { layer })
    }
}
