//! Where a repository is spoken to.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A server that has a repository: the registry itself or a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host, and the port where it is not the scheme's, as in `docker.io` or `localhost:5000`.
    /// Logins and tokens belong to it. `docker.io` is connected to at `registry-1.docker.io`.
    pub host: String,
    /// The repository there, as in `library/debian`: a mirror may have it under another name.
    pub repository: String,
    /// How the host is spoken to.
    pub transport: Transport,
    /// Whom to trust, and as whom to come.
    pub tls: Arc<Tls>,
    /// What is asked for here.
    pub serves: Serves,
}

impl Endpoint {
    /// The repository at the host, over TLS that the machine trusts.
    #[must_use]
    pub fn new(host: &str, repository: &str) -> Self {
        Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            transport: Transport::Https,
            tls: Arc::new(Tls::default()),
            serves: Serves::All,
        }
    }
}

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS alone.
    Https,
    /// TLS, and without it when the host does not speak it: docker's way with `localhost`, and with
    /// registries that are declared insecure.
    HttpsElseHttp,
    /// No TLS.
    Http,
}

/// What an endpoint is asked for (`pull-from-mirror` in containers-registries.conf(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Everything.
    All,
    /// Only what is asked for by its digest.
    Digests,
    /// Only what is asked for by a tag.
    Tags,
}

/// Whom to trust beside those that the machine trusts, and as whom to come.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// CA certificates that are trusted as well.
    pub roots: Vec<CertificateDer<'static>>,
    /// The client's certificate.
    pub client: Option<ClientCertificate>,
    /// Take any certificate (`insecure`, `--tls-verify=false`).
    pub accepts_any: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots.len())
            .field("client", &self.client.is_some())
            .field("accepts_any", &self.accepts_any)
            .finish()
    }
}

/// A certificate with its key.
#[derive(PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for ClientCertificate {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}
