//! Connections that could not be made or that broke: what happened, what to do, and whether trying
//! again is of use.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// An error of the HTTP client, of whose causes the last says what happened.
#[derive(Debug)]
pub struct Broken(reqwest::Error);

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        // The address may hold a password, and is told elsewhere.
        Self(error.without_url())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match causes(&self.0).last() {
            Some(cause) => write!(f, "{cause}"),
            None => write!(f, "{}", self.0),
        }
    }
}

impl StdError for Broken {}

impl Broken {
    /// When it happened, in words.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        if self.0.is_redirect() {
            "the server sends from one address to the next without an end"
        } else if self.0.is_timeout() {
            "the server does not answer"
        } else if self.0.is_connect() {
            "cannot connect"
        } else {
            "the connection broke"
        }
    }

    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let any = |is: fn(&Cause) -> bool| causes(&self.0).any(is);
        let hint = if self.is_certificate() {
            "this machine does not trust the server's certificate: install the CA that signed it, \
             or name a file with it in SSL_CERT_FILE"
        } else if any(is_tls) {
            "check that the port speaks TLS, and the clock of this machine"
        } else if any(|cause| cause.to_string().starts_with("failed to lookup address")) {
            "check the spelling of the host's name, and whether this machine needs HTTPS_PROXY to \
             get out"
        } else if self.0.is_connect() {
            "check host and port, and whether this machine needs HTTPS_PROXY to get out"
        } else {
            return None;
        };
        Some(hint.to_owned())
    }

    /// Whether the server's certificate is not trusted.
    pub(crate) fn is_certificate(&self) -> bool {
        causes(&self.0).any(is_certificate)
    }

    /// Whether what the server speaks is not TLS.
    pub(crate) fn is_not_tls(&self) -> bool {
        causes(&self.0).any(|cause| matches!(tls(cause), Some(rustls::Error::InvalidMessage(_))))
    }

    /// Whether trying again is of no use.
    pub(crate) fn is_final(&self) -> bool {
        // Later on, what TLS finds wrong is what broke on the way.
        let is_handshake = self.0.is_connect() && causes(&self.0).any(is_tls);
        self.0.is_redirect() || self.0.is_builder() || is_handshake
    }
}

type Cause = dyn StdError + 'static;

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &Cause> {
    std::iter::successors(error.source(), |cause: &&Cause| (*cause).source())
}

/// An error of TLS comes wrapped in errors of I/O, which do not tell it as their cause.
fn tls(cause: &Cause) -> Option<&rustls::Error> {
    let mut inner = cause;
    while let Some(error) = inner.downcast_ref::<io::Error>() {
        inner = error.get_ref()?;
    }
    inner.downcast_ref()
}

fn is_tls(cause: &Cause) -> bool {
    tls(cause).is_some()
}

fn is_certificate(cause: &Cause) -> bool {
    matches!(tls(cause), Some(rustls::Error::InvalidCertificate(_)))
}
