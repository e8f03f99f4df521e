//! Why a registry did not do what it was asked for, and what to do.

use std::error::Error;

use crate::client::ClientError;

/// Why a registry did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What is set for registries cannot be read.
    #[error("cannot read what is set for registries")]
    Settings(#[source] Box<dyn Error + Send + Sync>),
    /// The registry must not be used.
    #[error("the registry {registry} is blocked by {by}")]
    Blocked {
        /// The registry, or the part of its names.
        registry: String,
        /// The file that says so.
        by: String,
    },
    /// It is not there yet.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
}

impl RegistryError {
    /// Whether what came was not what was asked for. The server that sent it is not asked again by the
    /// same repository: where there are mirrors, asking anew may help.
    #[must_use]
    pub fn is_wrong_content(&self) -> bool {
        false
    }

    /// Whether there is no such manifest, blob or repository.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        false
    }

    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}
