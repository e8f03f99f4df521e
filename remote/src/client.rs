//! The HTTP client, as all that speak HTTP here want it: whom it trusts, how long it waits, which proxy
//! it takes.

use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::runtime::{Builder, Runtime};

/// How long a connection may take to stand.
pub const CONNECT: Duration = Duration::from_secs(30);
/// How long a server may be silent; a transfer as such may take as long as it moves.
pub const SILENCE: Duration = Duration::from_secs(60);
/// As many redirections are followed; browsers give up at 20.
pub(crate) const MOST_REDIRECTS: usize = 10;

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificates that the machine trusts cannot be read.
    #[error("cannot read the certificates that this machine trusts")]
    Certificates(#[source] rustls_native_certs::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The client cannot be set up, as when `HTTP_PROXY` is no address.
    #[error("cannot set up the HTTP client")]
    Client(#[from] reqwest::Error),
    /// The runtime cannot be made.
    #[error("cannot set up waiting for the network")]
    Runtime(#[source] std::io::Error),
}

/// Makes HTTP clients that trust the same.
#[derive(Clone, Debug)]
pub struct Client {
    tls: ClientConfig,
}

impl Client {
    /// Reads whom the machine trusts: `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the system's
    /// certificates, else, where there are none, Mozilla's as they were when mkimg was built.
    ///
    /// # Errors
    /// When there are certificates that cannot be read.
    pub fn new() -> Result<Self, ClientError> {
        let tls = tls()?
            .with_root_certificates(machine_roots()?)
            .with_no_client_auth();
        Ok(Self { tls })
    }

    /// Does some work with a client and the runtime that waits for it, which is this thread's alone;
    /// connections end with the work.
    ///
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` hold. Credentials in an address go to its
    /// host and not along with a redirection to another.
    ///
    /// # Errors
    /// When one of both cannot be made.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Runtime, &reqwest::Client) -> T,
    ) -> Result<T, ClientError> {
        let client = builder(self.tls.clone())
            .redirect(Policy::limited(MOST_REDIRECTS))
            .read_timeout(SILENCE)
            .build()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ClientError::Runtime)?;
        let done = work(&runtime, &client);
        // A name that is still being looked up would hold it up.
        runtime.shutdown_background();
        Ok(done)
    }
}

/// What all clients have in common.
pub(crate) fn builder(tls: ClientConfig) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("mkimg/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .referer(false)
        .connect_timeout(CONNECT)
}

/// TLS, for which there is yet to be said whom it trusts.
pub(crate) fn tls() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Whom the machine trusts; see [`Client::new`].
pub(crate) fn machine_roots() -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    let mut found = rustls_native_certs::load_native_certs();
    // Some that make no sense among others are usual.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        if let Some(error) = found.errors.pop() {
            return Err(ClientError::Certificates(error));
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

/// An address as it may be shown: without its password.
#[must_use]
pub fn shown(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Fails for addresses that can have no password.
            let _ = parsed.set_password(Some("***"));
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}
