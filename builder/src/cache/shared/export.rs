//! What a build leaves for others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::{Layer, Store};

use super::document::{Records, SharedLayer};
use super::{Place, PlaceError, within};
use crate::cancel::Cancel;
use crate::execute::BuiltStep;

/// Which steps are exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Those of the image, whose layers it has.
    #[default]
    Min,
    /// Those of all stages.
    Max,
}

/// A cache that a build writes.
#[derive(Clone)]
pub struct Export {
    /// Where it lies.
    pub place: Arc<dyn Place>,
    /// Which scope it is for.
    pub scope: String,
    /// Which steps are in it.
    pub mode: Mode,
}

impl Export {
    /// Puts there what these steps made, before what was exported there earlier. Nothing is written where all of it is
    /// there. Gives the number of new records.
    ///
    /// # Errors
    /// When the place takes it not, or not in time. What was there is there still.
    pub fn run(
        &self,
        store: &Store,
        steps: &[BuiltStep],
        timeout: Duration,
        cancel: &Cancel,
    ) -> Result<usize, PlaceError> {
        let own = own(steps, self.mode);
        let (export, store) = (self.clone(), store.clone());
        within(timeout, cancel, move |cancel| {
            export.publish(&store, &own, cancel)
        })
    }

    fn publish(
        &self,
        store: &Store,
        own: &[BuiltStep],
        cancel: &Cancel,
    ) -> Result<usize, PlaceError> {
        // What does not read is overwritten; what cannot be reached, cannot be written.
        let before = self.place.manifest(cancel).unwrap_or_default();
        let read = |manifest: Option<&[u8]>| {
            manifest.and_then(|manifest| Records::read(manifest, &self.scope).ok())
        };
        let known = read(before.as_deref()).unwrap_or_default().by_key();
        // What was done although it is known there may have been done because what is there is damaged.
        let is_new = |step: &&BuiltStep| {
            let diff_id = step.layer.map(|layer| layer.diff_id);
            let there = known.get(&step.key);
            let there = there.map(|there| there.as_ref().map(|layer| layer.diff_id));
            step.done || there != Some(diff_id)
        };
        let new = own.iter().filter(is_new).count();
        if new == 0 && before.is_some() {
            return Ok(0);
        }
        let mut seen = BTreeSet::new();
        let layers: Vec<Layer> = own
            .iter()
            .filter_map(|step| step.layer)
            .filter(|layer| seen.insert(layer.diff_id))
            .collect();
        let make = |blobs: &[Descriptor], before: Option<&[u8]>| {
            let there: BTreeMap<Digest, SharedLayer> = layers
                .iter()
                .zip(blobs)
                .map(|(layer, blob)| (layer.diff_id, shared(*layer, blob.clone())))
                .collect();
            let records = own.iter().filter_map(|step| match step.layer {
                None => Some((step.key, None)),
                Some(layer) => Some((step.key, Some(there.get(&layer.diff_id)?.clone()))),
            });
            let mut records = Records::new(&self.scope, records.collect());
            if let Some(earlier) = read(before) {
                records.follow(&earlier);
            }
            records.manifest()
        };
        self.place.publish(store, &layers, &make, cancel)?;
        Ok(new)
    }
}

/// The records that an image has in itself: of its own layers, as the store has them.
pub(crate) fn inline(steps: &[BuiltStep]) -> Records {
    let steps = own(steps, Mode::Min).into_iter();
    let shared = steps.map(|step| {
        (
            step.key,
            step.layer.map(|layer| shared(layer, layer.descriptor())),
        )
    });
    Records::new("", shared.collect())
}

fn shared(layer: Layer, blob: Descriptor) -> SharedLayer {
    let Layer { diff_id, size } = layer;
    SharedLayer {
        diff_id,
        size,
        blob,
    }
}

/// The records of a build's steps, of each key one.
fn own(steps: &[BuiltStep], mode: Mode) -> Vec<BuiltStep> {
    let mut seen = BTreeSet::new();
    let steps = steps.iter();
    steps
        .filter(|step| mode == Mode::Max || step.in_image)
        .filter(|step| seen.insert(step.key))
        .copied()
        .collect()
}
