//! Why a file could not be had, and what to do.

use std::io;

use builder::remote::RemoteError;
use image_format::layout::StoreError;
use reqwest::StatusCode;

use crate::broken::Broken;
use crate::cancellable::Cancelled;
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
    #[error("{}", .0.phase())]
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

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        Self::Connection(error.into())
    }
}

impl From<Cancelled> for HttpError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
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
            Self::Connection(error) => return error.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
