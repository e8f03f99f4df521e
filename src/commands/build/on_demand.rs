//! Snapshots that are not looked for until something has to run: a build that only copies touches none, and
//! works where none can be made.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image_format::digest::Digest;
use image_format::layout::Store;
use image_format::snapshot::{
    Committed, LayerSource, OpenTar, Prepared, RootMount, SnapshotError, Snapshotter, detect,
};

/// The best snapshots of a store, found when they are needed.
pub struct OnDemand {
    store: Store,
    found: OnceLock<Box<dyn Snapshotter>>,
}

impl OnDemand {
    /// Those of this store.
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            found: OnceLock::new(),
        }
    }

    fn found(&self) -> Result<&dyn Snapshotter, SnapshotError> {
        if let Some(found) = self.found.get() {
            return Ok(found.as_ref());
        }
        // Two threads may both look; what they find is the same.
        let found = detect(&self.store, None)?;
        Ok(self.found.get_or_init(|| found).as_ref())
    }
}

impl Snapshotter for OnDemand {
    fn ensure(&self, layers: &[LayerSource]) -> Result<(), SnapshotError> {
        self.found()?.ensure(layers)
    }

    fn unpack(
        &self,
        below: &[Digest],
        diff_id: &Digest,
        tar: &mut OpenTar<'_>,
    ) -> Result<(), SnapshotError> {
        self.found()?.unpack(below, diff_id, tar)
    }

    fn prepare_in(&self, dir: &Path, stack: &[Digest]) -> Result<RootMount, SnapshotError> {
        self.found()?.prepare_in(dir, stack)
    }

    fn prepare(&self, stack: &[Digest]) -> Result<Prepared, SnapshotError> {
        self.found()?.prepare(stack)
    }

    fn commit(
        &self,
        prepared: Prepared,
        epoch: i64,
        leave_out: &[PathBuf],
    ) -> Result<Committed, SnapshotError> {
        self.found()?.commit(prepared, epoch, leave_out)
    }
}
