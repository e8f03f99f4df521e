//! Why a repository could not be checked out, and what to do.

use std::io;
use std::path::PathBuf;

use builder::remote::RemoteError;
use gix_hash::ObjectId;
use image_format::layout::StoreError;
use reqwest::StatusCode;

use crate::client::{ClientError, shown};
use crate::http::HttpError;
use crate::kept::KeptError;

/// Why a repository could not be checked out.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// It is no address.
    #[error("it is no address of a git repository")]
    Address,
    /// It is another protocol's address.
    #[error("{0} is a protocol that repositories are not fetched by")]
    Scheme(String),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// HTTP failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A secret that is to be sent and cannot be.
    #[error("the secret {0:?} is no value of an HTTP header")]
    Login(String),
    /// The connection could not be made, or broke.
    #[error("the connection broke")]
    Connection(#[source] io::Error),
    /// The ssh program could not be run.
    #[error("cannot run ssh")]
    Ssh(#[source] io::Error),
    /// The ssh program failed.
    #[error("ssh failed: {0}")]
    SshFailed(String),
    /// The server refused; any text, control characters included.
    #[error("the server says: {0}")]
    Remote(String),
    /// What answers is no git server.
    #[error("the server does not speak git's protocol: {0}")]
    Protocol(&'static str),
    /// The repository's objects have SHA-256 names.
    #[error("the repository names its objects by SHA-256, which is not supported")]
    Sha256,
    /// There is nothing in the repository.
    #[error("the repository is empty")]
    Empty,
    /// It has no such branch or tag.
    #[error("the repository has no branch, tag or commit {reference:?}")]
    NoReference {
        /// What was asked for.
        reference: String,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// Branches end at several commits whose names begin so.
    #[error("{0:?} is the beginning of more than one commit")]
    Ambiguous(String),
    /// The repository does not have an object, or did not send it.
    #[error("the repository has no object {0}")]
    Missing(ObjectId),
    /// It is another kind of object.
    #[error("the object {0} is no commit")]
    NotACommit(ObjectId),
    /// An object does not read.
    #[error("the object {id} is malformed")]
    Object {
        /// The object.
        id: ObjectId,
        /// What is wrong.
        source: gix_error::Error,
    },
    /// A pack, as of what the server sent, cannot be unpacked.
    #[error("cannot unpack git's objects")]
    Pack(#[source] gix_error::Error),
    /// A name in the repository that may not be written.
    #[error("the repository holds {path:?}, and a file of that name is not written")]
    Name {
        /// Its path.
        path: String,
        /// Why not.
        source: gix_validate::path::component::Error,
    },
    /// The repository is made to exhaust.
    #[error("the repository has {0}, more than is checked out")]
    TooMuch(&'static str),
    /// The attributes or the encoding of a file cannot be heeded.
    #[error("cannot convert {path:?} as .gitattributes says")]
    Convert {
        /// Its path.
        path: String,
        /// Why not.
        source: gix_error::Error,
    },
    /// A file cannot be written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, as in `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The index of the checkout cannot be written.
    #[error("cannot write git's index")]
    Index(#[source] gix_error::Error),
    /// The repository has no such directory.
    #[error("the repository has no directory {0:?}")]
    NoDirectory(String),
    /// `.gitmodules` does not read.
    #[error(".gitmodules is malformed")]
    Modules(#[source] gix_error::Error),
    /// A submodule without an address.
    #[error(".gitmodules says nothing of where the submodule {0:?} comes from")]
    NoModule(String),
    /// A submodule cannot be had.
    #[error("cannot fetch the submodule {path:?} from {url}")]
    Submodule {
        /// Where it belongs.
        path: String,
        /// Where it comes from, without a password.
        url: String,
        /// Why not.
        source: Box<GitError>,
    },
    /// It could not be kept.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<io::Error> for GitError {
    /// The connection's error; those of ours that went through a reader come out as they were.
    fn from(error: io::Error) -> Self {
        match error.downcast::<GitError>() {
            Ok(own) => own,
            Err(error) => Self::Connection(error),
        }
    }
}

impl GitError {
    /// What the server says, as text.
    pub fn remote(message: &[u8]) -> Self {
        Self::Remote(String::from_utf8_lossy(message).trim_end().to_owned())
    }

    /// The error that a reader can give.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Connection(error) => error,
            error => io::Error::other(error),
        }
    }

    /// The same, of an address.
    #[must_use]
    pub fn at(self, url: &str) -> RemoteError {
        match self {
            Self::Cancelled | Self::Http(HttpError::Cancelled) => RemoteError::Cancelled,
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
            Self::Address | Self::Scheme(_) => {
                "https://host/path.git, git://host/path or ssh://user@host/path"
            }
            Self::Http(HttpError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
                "the server wants a login, or does not let this one in: give a token with \
                 --secret id=GIT_AUTH_TOKEN,env=VARIABLE"
            }
            Self::Http(error) => return error.hint(),
            Self::Login(_) => "it is to be one line, as in \"Bearer TOKEN\"",
            Self::Submodule { source, .. } => return source.hint(),
            Self::NoReference {
                nearest: Some(nearest),
                ..
            } => {
                return Some(format!("did you mean {nearest:?}?"));
            }
            Self::NoReference { .. } => {
                "a commit that no branch or tag ends at takes all 40 digits of its name"
            }
            Self::Ambiguous(_) => "give more digits",
            Self::Ssh(_) => {
                "ssh:// takes the program ssh: install it, or use the repository's https:// address"
            }
            Self::SshFailed(_) => {
                "the key must be in an agent, as ssh-add -l shows, and the host in known_hosts"
            }
            Self::Protocol(_) => "check that the address is a git repository's",
            Self::Remote(_) => "check the path, and whether the repository wants a login",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
