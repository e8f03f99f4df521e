//! Why a registry did not do what it was asked for, and what to do.

use std::error::Error;
use std::io;
use std::time::Duration;

use image_format::digest::Digest;
use reqwest::StatusCode;

use crate::broken::Broken;
use crate::cancellable::Cancelled;
use crate::client::ClientError;
use crate::settings::SettingsError;

/// Why a registry did not do what it was asked for. A host is shown as a login names it.
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
    /// There is no server to ask.
    #[error("no server is set for {0}")]
    Nowhere(String),
    /// A host cannot be part of an address.
    #[error("{0:?} is no host that can be connected to")]
    Host(String),
    /// The registry could not be reached, or the connection broke.
    #[error("{host}: {}", .source.phase())]
    Connection {
        /// Who was spoken to.
        host: String,
        /// What happened.
        source: Broken,
    },
    /// Nothing came for too long.
    #[error("{host} has been silent for {} s", .time.as_secs())]
    Silent {
        /// Who was spoken to.
        host: String,
        /// How long.
        time: Duration,
    },
    /// There is no such thing.
    #[error("{host} has no {what}{}", told(.said))]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry says.
        said: String,
    },
    /// It wants a login, or refuses the one that it got.
    #[error("{host} {} for the {what}{}", wish(*.logged_in), told(.said))]
    Unauthorized {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// Whether there was a login.
        logged_in: bool,
        /// What the registry says.
        said: String,
    },
    /// The login is good, and has not the right.
    #[error("{host} denies the {what}{}", told(.said))]
    Forbidden {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry says.
        said: String,
    },
    /// Another refusal.
    #[error("{host} answers {status} when asked for the {what}{}", told(.said))]
    Refused {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The answer.
        status: StatusCode,
        /// What the registry says.
        said: String,
    },
    /// The registry does not keep to the protocol.
    #[error("{host} does not speak the registries' protocol: {problem} (asked for the {what})")]
    Protocol {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// It sends on and on.
    #[error("{host} sends from one address to the next without an end")]
    Redirects {
        /// The registry.
        host: String,
    },
    /// What was asked for over TLS would come without it.
    #[error("{host} sends to {to}, which would be spoken to without TLS")]
    Unencrypted {
        /// The registry.
        host: String,
        /// Where it sends to.
        to: String,
    },
    /// What came has another digest.
    #[error(
        "{host} sent another {what} than was asked for: its digest is {found} and not {expected}"
    )]
    WrongDigest {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The digest that it should have.
        expected: Digest,
        /// The one that it has.
        found: Digest,
    },
    /// What came has another size.
    #[error(
        "{host} sent another {what} than was asked for: it has {found} bytes and not {expected}"
    )]
    WrongSize {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The bytes that it should have.
        expected: u64,
        /// Those that came or were announced.
        found: u64,
    },
    /// What came ended early, as often as it was asked for.
    #[error("{host} ended the {what} after {received} of {expected} bytes")]
    Short {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The bytes that came.
        received: u64,
        /// The bytes that were promised.
        expected: u64,
    },
    /// An answer is longer than is sane.
    #[error("the {what} that {host} sends is longer than {most} bytes")]
    TooLong {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// As many are taken.
        most: usize,
    },
    /// A manifest is of a kind that is not supported.
    #[error("the {what} of {host} is {kind}")]
    Unsupported {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What it is, and why that is not taken.
        kind: String,
    },
    /// What is to be uploaded cannot be read.
    #[error("cannot read the {what} that is to be uploaded to {host}")]
    Source {
        /// The registry.
        host: String,
        /// What was to be uploaded.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// What is to be uploaded is not what it was said to be.
    #[error(
        "the {what} that is to be uploaded to {host} has changed: it has {size} bytes and the digest {digest}"
    )]
    Changed {
        /// The registry.
        host: String,
        /// What was to be uploaded.
        what: String,
        /// Its size now.
        size: u64,
        /// Its digest now.
        digest: Digest,
    },
    /// None of several servers had it; this is what the last one said.
    #[error("{last}; before it {mirrors}")]
    Everywhere {
        /// What the mirrors said.
        mirrors: String,
        /// What the registry itself said.
        last: Box<RegistryError>,
    },
}

fn told(said: &str) -> String {
    if said.is_empty() {
        return String::new();
    }
    format!(": {said}")
}

fn wish(logged_in: bool) -> &'static str {
    match logged_in {
        true => "does not accept the login",
        false => "wants a login",
    }
}

impl From<Cancelled> for RegistryError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl RegistryError {
    /// What the registry itself said, where mirrors were asked before it.
    #[must_use]
    pub fn last(&self) -> &Self {
        match self {
            Self::Everywhere { last, .. } => last.last(),
            other => other,
        }
    }

    /// Whether what came was not what was asked for. The server that sent it is not asked again by the
    /// same repository: where there are mirrors, asking anew may help.
    #[must_use]
    pub fn is_wrong_content(&self) -> bool {
        matches!(
            self.last(),
            Self::WrongDigest { .. } | Self::WrongSize { .. }
        )
    }

    /// Whether there is no such manifest, blob or repository.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.last(), Self::NotFound { .. })
    }

    /// Whether the server could not be spoken to at all.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Silent { .. })
    }

    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self.last() {
            Self::Client(ClientError::Certificates(_)) => {
                "check SSL_CERT_FILE and SSL_CERT_DIR, or install the package ca-certificates"
                    .to_owned()
            }
            Self::Connection { host, source } if source.is_certificate() => format!(
                "this machine does not trust the server's certificate: put that of the CA which \
                 signed it into ~/.config/containers/certs.d/{host}/ca.crt, or \
                 /etc/containers/certs.d/{host}/ca.crt for all users"
            ),
            Self::Connection { source, .. } if source.is_not_tls() => {
                "if it is a registry without TLS, declare it in registries.conf (insecure = true) \
                 or give --tls-verify=false"
                    .to_owned()
            }
            Self::Connection { source, .. } => return source.hint(),
            Self::Settings(error) => return error.downcast_ref::<SettingsError>()?.hint(),
            Self::Unauthorized { host, .. } => format!("log in: mkimg login {host}"),
            Self::Forbidden { host, .. } => {
                format!("check the repository's name, or log in as who may do this: mkimg login {host}")
            }
            Self::NotFound { host, .. } => format!(
                "check its spelling; some registries say so too when a login is missing: \
                 mkimg login {host}"
            ),
            Self::Refused { status, host, .. } => match *status {
                StatusCode::TOO_MANY_REQUESTS => {
                    format!("try again later; a login may be let in more often: mkimg login {host}")
                }
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                    "give the proxy's login in its address: \
                     HTTPS_PROXY=http://user:password@host:port"
                        .to_owned()
                }
                StatusCode::PAYLOAD_TOO_LARGE => {
                    "the registry, or a proxy before it, limits the size of uploads: raise its limit"
                        .to_owned()
                }
                status if status.is_server_error() => "try again later".to_owned(),
                _ => return None,
            },
            Self::WrongDigest { .. } | Self::WrongSize { .. } => {
                "nothing of it was kept: try again, and tell who runs the registry or its mirror"
                    .to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }
}
