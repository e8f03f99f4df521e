//! Registries: the OCI distribution protocol, as a client.
//!
//! Source: OCI distribution specification 1.1; the distribution project's token authentication.
//!
//! ```no_run
//! # use remote::registry::{Access, Registries, TagOrDigest, Unset};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cancel = builder::cancel::Cancel::new();
//! let registries = Registries::new(Unset)?;
//! let reference = "localhost:5000/app:1".parse()?;
//! let repository = registries.repository(&reference, Access::Pull, &cancel)?;
//! let manifest = registries.wait(repository.manifest(&TagOrDigest::of(&reference)))?;
//! # drop(manifest);
//! # Ok(())
//! # }
//! ```

mod answer;
mod auth;
mod blob;
mod challenge;
mod connections;
pub mod credentials;
pub mod endpoint;
mod error;
mod list;
mod login;
mod manifest;
mod mirrors;
mod part;
mod place;
mod redirect;
mod repository;
mod said;
mod scope;
mod session;
mod settings;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use builder::cancel::Cancel;
use image_format::reference::Reference;
use tokio::runtime::{Builder, Runtime};

use crate::client::{ClientError, SILENCE};
pub use blob::Blob;
use credentials::{Credentials, Secret};
use endpoint::Endpoint;
pub use error::RegistryError;
pub use list::referrers_tag;
use mirrors::Places;
use place::Shared;
pub use repository::{Manifest, Put, Referrers, Repository, TagOrDigest};
pub use settings::{Access, Settings, Unset, is_loopback};
pub use upload::Source;

/// The way to all registries: what is set for them, connections, tokens. One a process.
pub struct Registries {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Registries {
    /// Costs nothing but a runtime until something is asked for.
    ///
    /// # Errors
    /// When there can be no runtime.
    pub fn new(settings: impl Settings + 'static) -> Result<Self, RegistryError> {
        Self::patient(settings, SILENCE)
    }

    /// The same, where servers may be silent for so long.
    ///
    /// # Errors
    /// The same.
    pub fn patient(
        settings: impl Settings + 'static,
        silence: Duration,
    ) -> Result<Self, RegistryError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            shared: Arc::new(Shared::new(settings, silence)),
            runtime: Some(runtime.map_err(ClientError::Runtime)?),
        })
    }

    /// Waits for what is asked of registries, on this thread; several threads may each wait. What is
    /// spawned within runs while one of them waits.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("the runtime goes when this is dropped"),
        }
    }

    /// The repository that a reference names. Nothing is sent yet. What is asked of it ends when
    /// `cancel` is set.
    ///
    /// # Errors
    /// When the settings say that it must not be used, or cannot be read.
    pub fn repository(
        &self,
        reference: &Reference,
        access: Access,
        cancel: &Cancel,
    ) -> Result<Repository, RegistryError> {
        let mut endpoints = self.shared.settings.endpoints(reference, access)?;
        let Some(origin) = endpoints.pop() else {
            return Err(RegistryError::Nowhere(reference.to_string()));
        };
        if access == Access::Push {
            endpoints.clear();
        }
        let actions: &[&str] = match access {
            Access::Pull => &["pull"],
            Access::Push => &["pull", "push"],
        };
        let mut places = Vec::with_capacity(endpoints.len() + 1);
        for endpoint in endpoints {
            places.push(self.shared.place(endpoint, actions, cancel, true));
        }
        places.push(self.shared.place(origin, actions, cancel, false));
        Ok(Repository::new(Places::new(places)))
    }

    /// Tries a login. Gives the identity token that a registry wants to be kept in the password's
    /// place, if it does so.
    ///
    /// # Errors
    /// When the registry refuses it or cannot be spoken to.
    pub async fn log_in(
        &self,
        endpoint: &Endpoint,
        credentials: &Credentials,
        cancel: &Cancel,
    ) -> Result<Option<Secret>, RegistryError> {
        login::try_login(endpoint, credentials, self.shared.silence, cancel).await
    }
}

impl Drop for Registries {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name that is still being looked up would hold it up.
            runtime.shutdown_background();
        }
    }
}
