//! What a build finds in caches that others filled.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use image_format::digest::Digest;
use image_format::layer::compression::decompress;
use image_format::layout::{Layer, Store, StoreError, VerifiedReader};
use image_format::snapshot::LayerSource;

use super::document::{DocumentError, Records, SharedLayer};
use super::{Place, PlaceError, within};
use crate::cache::layers::{self, LayerError};
use crate::cancel::Cancel;

/// So many bytes of a layer are read at once.
const CHUNK: usize = 256 << 10;

/// Why a cache, or a layer of it, is not used.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The place cannot be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// What is there has no records that can be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A layer is not the one that its record names, or not there.
    #[error("its layer {diff_id} cannot be used")]
    Layer {
        /// The layer.
        diff_id: Digest,
        /// Why not.
        source: Box<BadLayer>,
    },
}

/// Why a layer is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadLayer {
    /// It cannot be had.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It breaks off, is not what its digest says, or cannot be decompressed.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// The record lies about its size.
    #[error("its record says {expected} bytes, and it has {}", match found {
        Some(found) => found.to_string(),
        None => "more".to_owned(),
    })]
    Size {
        /// What the record says.
        expected: u64,
        /// What it has, where it was read to its end.
        found: Option<u64>,
    },
    /// It is another one, or the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not read as a layer.
    #[error(transparent)]
    NotALayer(#[from] LayerError),
}

/// Hears how many records a cache has, `None` where there is none yet; or why it, or a layer of it, is not used.
pub(crate) type Tell<'a> = dyn Fn(Result<Option<usize>, &ImportError>) + 'a;

/// A cache that a build reads.
pub struct Import {
    place: Arc<dyn Place>,
    scope: String,
    timeout: Duration,
    /// Read when something is first looked up.
    records: OnceLock<BTreeMap<Digest, Option<SharedLayer>>>,
}

impl Import {
    /// The cache of this scope at this place; its records are waited for no longer than `timeout`.
    #[must_use]
    pub fn new(place: Arc<dyn Place>, scope: &str, timeout: Duration) -> Self {
        Self {
            place,
            scope: scope.to_owned(),
            timeout,
            records: OnceLock::new(),
        }
    }

    /// What it is called, and what it is believed by: the name of the place, which has the scope in it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.place.name()
    }

    /// What the step with this key made; `Some(None)` if it makes no layer. `tell` hears what became of the
    /// records when they are read.
    pub(crate) fn find(
        &self,
        key: &Digest,
        cancel: &Cancel,
        tell: &Tell<'_>,
    ) -> Option<Option<SharedLayer>> {
        let records = self.records.get_or_init(|| {
            let read = self.read(cancel);
            match &read {
                // Whoever cancelled it knows.
                Err(_) if cancel.is_cancelled() => {}
                Ok(records) => tell(Ok(records.as_ref().map(Records::len))),
                Err(error) => tell(Err(error)),
            }
            read.ok().flatten().map(Records::by_key).unwrap_or_default()
        });
        records.get(key).cloned()
    }

    fn read(&self, cancel: &Cancel) -> Result<Option<Records>, ImportError> {
        let place = Arc::clone(&self.place);
        let read = within(self.timeout, cancel, move |cancel| place.manifest(cancel))?;
        let records = read.map(|manifest| Records::read(&manifest, &self.scope));
        Ok(records.transpose()?)
    }

    /// Brings a layer into the store, where it is not there. `progress` gets the bytes so far, and all of them.
    pub(crate) fn fetch(
        &self,
        store: &Store,
        layer: &SharedLayer,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Layer, ImportError> {
        let diff_id = layer.diff_id;
        self.bring(store, layer, cancel, progress)
            .map_err(|source| ImportError::Layer {
                diff_id,
                source: Box::new(source),
            })
    }

    fn bring(
        &self,
        store: &Store,
        layer: &SharedLayer,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Layer, BadLayer> {
        let SharedLayer { diff_id, size, .. } = *layer;
        if store.blob_size(&diff_id)? != Some(size) {
            let packed = self.place.blob(&layer.blob, cancel)?;
            let packed = VerifiedReader::new(packed, layer.blob.digest, layer.blob.size);
            let mut tar = decompress(packed).map_err(BadLayer::Read)?;
            let mut blob = store.blob_writer()?;
            let (mut found, mut buffer) = (0, vec![0; CHUNK]);
            loop {
                if cancel.is_cancelled() {
                    return Err(PlaceError::Cancelled.into());
                }
                let count = tar.read(&mut buffer).map_err(BadLayer::Read)?;
                if count == 0 {
                    break;
                }
                found += count as u64;
                if found > size {
                    let (expected, found) = (size, None);
                    return Err(BadLayer::Size { expected, found });
                }
                blob.write_all(&buffer[..count]).map_err(BadLayer::Read)?;
                progress(found, size);
            }
            if found != size {
                let (expected, found) = (size, Some(found));
                return Err(BadLayer::Size { expected, found });
            }
            blob.finish_as(diff_id)?;
        }
        let layer = Layer { diff_id, size };
        // What is none would only come to light when something has to run on it.
        layers::index(store, &LayerSource::from(layer))?;
        Ok(layer)
    }
}
