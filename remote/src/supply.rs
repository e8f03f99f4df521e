//! Layers that were not fetched when their image was pulled, on the day on which something reads them.

use std::error::Error;
use std::sync::{Arc, OnceLock};

use builder::cancel::Cancel;
use builder::remote::{HearPulling, RemoteError};
use image_format::layout::{Store, Supplier};
use image_format::reference::Reference;
use image_format::snapshot::{LayerSource, Snapshotter};

use crate::pull::{Layers, Pull};
use crate::registry::{Registries, RegistryError, Settings};

/// The way to registries, made when it is first needed.
pub struct Way {
    settings: Arc<dyn Settings>,
    registries: OnceLock<Registries>,
}

impl Way {
    /// With what is set for registries.
    #[must_use]
    pub fn new(settings: Arc<dyn Settings>) -> Self {
        Self {
            settings,
            registries: OnceLock::new(),
        }
    }

    /// The registries.
    ///
    /// # Errors
    /// When there can be no way to them.
    pub fn registries(&self) -> Result<&Registries, RegistryError> {
        if let Some(registries) = self.registries.get() {
            return Ok(registries);
        }
        // Two threads may both make one: one of them is used.
        let registries = Registries::new(Arc::clone(&self.settings))?;
        Ok(self.registries.get_or_init(|| registries))
    }

    /// Fetches those of these layers that are still elsewhere, side by side, and unpacks all where there is
    /// something to do so.
    ///
    /// # Errors
    /// When one cannot be had or unpacked.
    pub fn layers(
        &self,
        store: &Store,
        layers: &[LayerSource],
        snapshotter: Option<&dyn Snapshotter>,
        hear: HearPulling<'_>,
        cancel: &Cancel,
    ) -> Result<(), RemoteError> {
        let Some(from) = first_absent(store, layers)? else {
            return Ok(());
        };
        let fetch = || {
            let pull = Pull {
                store,
                registries: self.registries()?,
                layers: snapshotter.map_or(Layers::Stored, Layers::Unpacked),
                hear,
                cancel,
            };
            pull.rest(layers)
        };
        fetch().map_err(|error| error.of(&from))
    }
}

/// Where the first of these layers is that is not in the store.
fn first_absent(store: &Store, layers: &[LayerSource]) -> Result<Option<Reference>, RemoteError> {
    let find = || {
        for layer in layers {
            if store.standing_in(layer)?.is_none()
                && let Some(elsewhere) = store.elsewhere(&layer.blob.digest)?
            {
                return Ok(Some(elsewhere.from));
            }
        }
        Ok(None)
    };
    find().map_err(RemoteError::Store)
}

impl Supplier for Way {
    fn supply(
        &self,
        store: &Store,
        layer: &LayerSource,
        from: &Reference,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let pull = Pull {
            store,
            registries: self.registries()?,
            layers: Layers::Stored,
            hear: &|_| {},
            cancel: &Cancel::new(),
        };
        Ok(pull.layer(layer, from)?)
    }
}
