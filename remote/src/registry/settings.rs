//! What a user has set for registries.

use std::net::IpAddr;
use std::sync::Arc;

use image_format::reference::Reference;

use super::credentials::Credentials;
use super::endpoint::{Endpoint, Tls, Transport};
use super::error::RegistryError;

/// What is to be done with a repository: it decides what right is asked for, and a mirror is never
/// pushed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read it.
    Pull,
    /// Read and write it.
    Push,
}

/// What is set for registries, in files or by flags.
pub trait Settings: Send + Sync {
    /// The servers to try for a repository, in order; the registry itself is the last. For
    /// [`Access::Push`] it is the only one.
    ///
    /// # Errors
    /// [`RegistryError::Blocked`] for a registry that must not be used, and
    /// [`RegistryError::Settings`] when what is set cannot be read.
    fn endpoints(
        &self,
        reference: &Reference,
        access: Access,
    ) -> Result<Vec<Endpoint>, RegistryError>;

    /// The login for a repository at [`Endpoint::host`]. It is asked for when the server wants one, once
    /// for each repository.
    ///
    /// # Errors
    /// [`RegistryError::Settings`] when it cannot be read.
    fn credentials(&self, host: &str, repository: &str) -> Result<Credentials, RegistryError>;
}

impl<S: Settings + ?Sized> Settings for std::sync::Arc<S> {
    fn endpoints(
        &self,
        reference: &Reference,
        access: Access,
    ) -> Result<Vec<Endpoint>, RegistryError> {
        self.as_ref().endpoints(reference, access)
    }

    fn credentials(&self, host: &str, repository: &str) -> Result<Credentials, RegistryError> {
        self.as_ref().credentials(host, repository)
    }
}

/// Nothing is set: no mirrors, no logins, TLS everywhere but on loopback, where it is tried first and
/// any certificate is good, as with docker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unset;

impl Settings for Unset {
    fn endpoints(
        &self,
        reference: &Reference,
        _access: Access,
    ) -> Result<Vec<Endpoint>, RegistryError> {
        let mut endpoint = Endpoint::new(reference.registry(), reference.repository());
        if is_loopback(reference.registry()) {
            endpoint.transport = Transport::HttpsElseHttp;
            endpoint.tls = Arc::new(Tls {
                accepts_any: true,
                ..Tls::default()
            });
        }
        Ok(vec![endpoint])
    }

    fn credentials(&self, _host: &str, _repository: &str) -> Result<Credentials, RegistryError> {
        Ok(Credentials::Anonymous)
    }
}

/// Whether docker speaks to this registry without TLS if need be: `localhost`, `127.0.0.0/8`, `::1`.
#[must_use]
pub fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_what_docker_takes_for_it() {
        for (registry, expected) in [
            ("localhost", true),
            ("LocalHost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("[::2]:5000", false),
            ("docker.io", false),
            ("127.0.0.1.example.org", false),
            ("localhost.example.org:5000", false),
        ] {
            assert_eq!(is_loopback(registry), expected, "{registry}");
        }
    }
}
