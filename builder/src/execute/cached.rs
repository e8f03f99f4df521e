//! What a step is called in the caches, and what they have of it: the store's own, then those of others.

use std::sync::PoisonError;

use image_format::config::chain_id;
use image_format::digest::Digest;
use image_format::layout::Layer;

use super::follow::Build;
use super::layers::Step;
use crate::cache::CacheError;
use crate::cache::key::{FilePart, Parts, Reads};
use crate::cache::record::{self, Record, StoredLayer};
use crate::dockerfile::Span;
use crate::error::BuildError;
use crate::progress::{Event, Outcome};

/// A step's key, and what it is made of.
pub(super) struct Keyed {
    /// The layers it stands on.
    pub(super) below: Vec<Digest>,
    pub(super) parts: Parts,
    pub(super) key: Digest,
    /// Where the step is written.
    pub(super) span: Span,
    /// Whether the step is done whatever the cache holds.
    pub(super) afresh: bool,
}

/// A step that a build did or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltStep {
    /// Its key.
    pub key: Digest,
    /// The layer it made, if any.
    pub layer: Option<Layer>,
    /// Whether its layer is the image's: its stage is the target, or what that stands on.
    pub in_image: bool,
    /// Whether it was done now.
    pub done: bool,
}

impl Build<'_> {
    pub(super) fn key(
        &self,
        below: &[Digest],
        step: Step<'_>,
        created_by: &str,
        reads: Reads,
    ) -> Result<Keyed, BuildError> {
        let parts = Parts::new(
            chain_id(below),
            created_by.to_owned(),
            self.platform.clone(),
            self.epoch,
            reads,
        );
        let key = parts.key().map_err(CacheError::Record)?;
        self.book.note(step.position, key);
        Ok(Keyed {
            below: below.to_vec(),
            parts,
            key,
            span: step.span,
            afresh: self.is_afresh(step),
        })
    }

    pub(super) fn is_afresh(&self, step: Step<'_>) -> bool {
        self.request.no_cache || self.afresh.contains(&step.position.0)
    }

    /// What the caches have of a step, `Some(None)` if it makes no layer. `files` are those that it reads.
    pub(super) fn cached(
        &self,
        step: Step<'_>,
        keyed: &Keyed,
        files: impl Iterator<Item = FilePart> + Clone,
    ) -> Result<Option<Option<Layer>>, BuildError> {
        if keyed.afresh {
            return Ok(None);
        }
        let store = &self.request.store;
        let imports = &self.request.cache_from;
        let is_believed = |from: &str| imports.iter().any(|import| import.name() == from);
        let mut found = record::find(store, &keyed.key, &is_believed)?;
        if found.is_none() {
            found = self.imported(step, keyed, files)?;
        }
        let searched = self.search(keyed, found.flatten());
        if let Err(BuildError::Leak { .. }) = &searched {
            // An earlier build did not know what is secret.
            record::forget(store, &keyed.key)?;
        }
        searched?;
        if let Some(layer) = found {
            self.built(step, keyed.key, layer, false);
        }
        Ok(found)
    }

    /// What the caches of others have of a step; its layer is in the store then, and a record of it.
    fn imported(
        &self,
        step: Step<'_>,
        keyed: &Keyed,
        files: impl Iterator<Item = FilePart> + Clone,
    ) -> Result<Option<Option<Layer>>, BuildError> {
        for import in &self.request.cache_from {
            let name = import.name();
            let tell = |read: Result<Option<usize>, &_>| {
                self.backend.progress.event(Event::Import { name, read });
            };
            let found = import.find(&keyed.key, &self.cancel, &tell);
            let fetched = found.map(|layer| {
                let mut report = |bytes, total| self.copied(step, bytes, total);
                let layer = layer.map(|layer| {
                    let store = &self.request.store;
                    import.fetch(store, &layer, &self.cancel, &mut report)
                });
                layer.transpose()
            });
            if self.cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            match fetched {
                None => {}
                Some(Err(error)) => tell(Err(&error)),
                Some(Ok(layer)) => {
                    self.record(keyed, files, layer, Some(name.to_owned()))?;
                    self.book.renew();
                    return Ok(Some(layer));
                }
            }
        }
        Ok(None)
    }

    /// Searches a layer for the values of secrets, which no layer may hold.
    fn search(&self, keyed: &Keyed, layer: Option<Layer>) -> Result<(), BuildError> {
        let Some(layer) = layer else {
            return Ok(());
        };
        let searched = self.secrets.layer(&self.request.store, layer.diff_id);
        searched.map_err(|source| BuildError::Leak {
            span: Some(keyed.span),
            source,
        })
    }

    /// Says why the cache does not have a step, if it had one like it.
    pub(super) fn explain(
        &self,
        step: Step<'_>,
        keyed: &Keyed,
        files: impl Iterator<Item = FilePart>,
    ) {
        if keyed.afresh {
            return;
        }
        let reasons = self
            .book
            .explain(step.position, &keyed.key, &keyed.parts, files);
        if !reasons.is_empty() {
            self.backend.progress.event(Event::Missed {
                step: step.id,
                reasons: &reasons,
            });
        }
    }

    /// Keeps what a step did.
    pub(super) fn keep(
        &self,
        step: Step<'_>,
        keyed: Keyed,
        files: impl Iterator<Item = FilePart> + Clone,
        layer: Option<Layer>,
    ) -> Result<Outcome, BuildError> {
        self.search(&keyed, layer)?;
        self.record(&keyed, files, layer, None)?;
        self.built(step, keyed.key, layer, true);
        Ok(Outcome::Done(layer))
    }

    /// Writes the record of a step, which came `from` a cache of others or was done here.
    pub(super) fn record(
        &self,
        keyed: &Keyed,
        files: impl Iterator<Item = FilePart> + Clone,
        layer: Option<Layer>,
        from: Option<String>,
    ) -> Result<(), CacheError> {
        let record = Record {
            layer: layer.map(|Layer { diff_id, size }| StoredLayer { diff_id, size }),
            below: keyed.below.clone(),
            from,
            parts: keyed.parts.clone(),
        };
        record::keep(&self.request.store, &keyed.key, &record, files)
    }

    /// Notes a step for those who are told of all.
    fn built(&self, step: Step<'_>, key: Digest, layer: Option<Layer>, done: bool) {
        let in_image = self.plan.is_in_image(step.place.0);
        let built = BuiltStep {
            key,
            layer,
            in_image,
            done,
        };
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.insert(step.place, built);
    }
}
