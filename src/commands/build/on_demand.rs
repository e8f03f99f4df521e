//! Snapshots that are not looked for until something has to run: a build that only copies touches none, and
//! works where none can be made.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use builder::cancel::Cancel;
use builder::progress::{Event, Progress};
use builder::remote::Pulling;
use image_format::digest::Digest;
use image_format::layout::Store;
use image_format::snapshot::{
    Committed, LayerSource, OpenTar, Prepared, RootMount, SnapshotError, Snapshotter, detect,
};
use remote::supply::Way;

/// The best snapshots of a store, found when they are needed.
pub struct OnDemand<'a> {
    store: Store,
    found: OnceLock<Box<dyn Snapshotter>>,
    layers: Option<Coming<'a>>,
}

/// How layers come that were not fetched with their image.
pub struct Coming<'a> {
    /// The way to them.
    pub way: &'a Way,
    /// Hears of it.
    pub progress: &'a dyn Progress,
    /// Ends it.
    pub cancel: &'a Cancel,
}

impl<'a> OnDemand<'a> {
    /// Those of this store; `None` for layers where nothing is to be fetched.
    pub fn new(store: &Store, layers: Option<Coming<'a>>) -> Self {
        Self {
            store: store.clone(),
            found: OnceLock::new(),
            layers,
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

impl Snapshotter for OnDemand<'_> {
    fn ensure(&self, layers: &[LayerSource]) -> Result<(), SnapshotError> {
        let found = self.found()?;
        if let Some(Coming {
            way,
            progress,
            cancel,
        }) = &self.layers
        {
            let name = "base";
            let hear = |what: Pulling<'_>| progress.event(Event::Pulling { name, what });
            let come = way.layers(&self.store, layers, Some(found), &hear, cancel);
            come.map_err(|error| SnapshotError::Fetch(Box::new(error)))?;
        }
        found.ensure(layers)
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
