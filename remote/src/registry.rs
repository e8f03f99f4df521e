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

pub mod credentials;
pub mod endpoint;
mod error;
mod repository;
mod settings;
mod upload;

use std::sync::Arc;

use builder::cancel::Cancel;
use image_format::reference::Reference;
use tokio::runtime::{Builder, Runtime};

use crate::client::ClientError;
use credentials::{Credentials, Secret};
use endpoint::Endpoint;
pub use error::RegistryError;
pub use repository::{Blob, Manifest, Put, Referrers, Repository, TagOrDigest};
pub use settings::{Access, Settings, Unset, is_loopback};
pub use upload::Source;

/// The way to all registries: what is set for them, connections, tokens. One a process.
pub struct Registries {
    settings: Arc<dyn Settings>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Registries {
    /// Costs nothing but a runtime until something is asked for.
    ///
    /// # Errors
    /// When there can be no runtime.
    pub fn new(settings: impl Settings + 'static) -> Result<Self, RegistryError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            settings: Arc::new(settings),
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
        _cancel: &Cancel,
    ) -> Result<Repository, RegistryError> {
        self.settings.endpoints(reference, access)?;
        Ok(Repository {})
    }

    /// Tries a login. Gives the identity token that a registry wants to be kept in the password's
    /// place, if it does so.
    ///
    /// # Errors
    /// When the registry refuses it or cannot be spoken to.
    pub async fn log_in(
        &self,
        _endpoint: &Endpoint,
        _credentials: &Credentials,
        _cancel: &Cancel,
    ) -> Result<Option<Secret>, RegistryError> {
        Err(RegistryError::Unsupported("logging in"))
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
