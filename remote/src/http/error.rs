//! Why a file could not be had, and what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use builder::remote::RemoteError;
use image_format::layout::StoreError;
use reqwest::StatusCode;

use crate::client::{ClientError, shown};
use crate::kept::KeptError;

/// Why a file could not be had over HTTP.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// It is no address.
    #[error("it is no address of the web")]
    Address(#[from] url::ParseError),
    /// It is another protocol's address.
    #[error("{0} is a protocol that files are not fetched by")]
    Scheme(String),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server says that something has not changed which it was not asked about.
    #[error("the server answers that a file is unchanged which is not here")]
    Unasked,
    /// The server could not be reached, or the connection broke.
    #[error("{}", phase(&.0.0))]
    Connection(#[source] Broken),
    /// The file ended early, as often as it was asked for.
    #[error("the file ended after {received} of {expected} bytes")]
    Short {
        /// The bytes that came.
        received: u64,
        /// The bytes that were promised.
        expected: u64,
    },
    /// The file could not be written.
    #[error("cannot write what is fetched into the store")]
    Write(#[source] io::Error),
    /// It could not be kept.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error of the client, of whose causes the last says what happened.
#[derive(Debug)]
pub struct Broken(reqwest::Error);

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // The address may hold a password, and is told elsewhere.
        Self::Connection(Broken(error.without_url()))
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

fn phase(error: &reqwest::Error) -> &'static str {
    if error.is_redirect() {
        "the server sends from one address to the next without an end"
    } else if error.is_timeout() {
        "the server does not answer"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    }
}

impl HttpError {
    /// The same, of an address.
    #[must_use]
    pub fn at(self, url: &str) -> RemoteError {
        match self {
            Self::Cancelled => RemoteError::Cancelled,
            error => RemoteError::Fetch {
                url: shown(url),
                hint: error.hint(),
                source: Box::new(error),
            },
        }
    }

    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Status(StatusCode::NOT_FOUND | StatusCode::GONE) => {
                "there is nothing at this address: check its spelling, and whether it wants a login"
            }
            Self::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                "the server wants a login, or does not let this one in"
            }
            Self::Status(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                "give the proxy's login in its address: HTTPS_PROXY=http://user:password@host:port"
            }
            Self::Status(StatusCode::TOO_MANY_REQUESTS) => "try again later",
            Self::Address(_) | Self::Scheme(_) => "http://… or https://…",
            Self::Client(ClientError::Certificates(_)) => {
                "check SSL_CERT_FILE and SSL_CERT_DIR, or install the package ca-certificates"
            }
            Self::Connection(error) => return connection(&error.0),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn connection(error: &reqwest::Error) -> Option<String> {
    let any = |is: fn(&Cause) -> bool| causes(error).any(is);
    let hint = if any(is_certificate) {
        "this machine does not trust the server's certificate: install the CA that signed it, or \
         name a file with it in SSL_CERT_FILE"
    } else if any(is_tls) {
        "check that the port speaks TLS, and the clock of this machine"
    } else if any(|cause| cause.to_string().starts_with("failed to lookup address")) {
        "check the spelling of the host's name, and whether this machine needs HTTPS_PROXY to get out"
    } else if error.is_connect() {
        "check host and port, and whether this machine needs HTTPS_PROXY to get out"
    } else {
        return None;
    };
    Some(hint.to_owned())
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

/// Whether trying again is of no use.
pub fn is_final(error: &reqwest::Error) -> bool {
    error.is_redirect() || error.is_builder() || causes(error).any(is_tls)
}
