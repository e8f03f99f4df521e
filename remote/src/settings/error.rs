//! Why what is set for registries cannot be used, and what to do.

use std::io;
use std::path::PathBuf;

use super::certificates::CertificateError;
use super::helper::HelperError;
use super::registries::RegistriesError;

/// Why what is set for registries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// As much is read.
        limit: u64,
    },
    /// A file with logins cannot be understood. What it says there may be a secret, and is not told.
    #[error("{}:{line}:{column}: this is not as docker and podman write it", path.display())]
    AuthFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A login cannot be understood.
    #[error("the login for {name} in {} is not the base64 of USER:PASSWORD", path.display())]
    Login {
        /// The file.
        path: PathBuf,
        /// What it is kept under.
        name: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No place is known where logins could be kept.
    #[error("no place to keep logins: neither $DOCKER_CONFIG nor $HOME is set")]
    NoPlace,
    /// Docker's file, and a program, can keep only logins for whole registries.
    #[error("the login for {name} is for a part of a registry, which {keeper} cannot keep")]
    PartOfRegistry {
        /// The part of the registry.
        name: String,
        /// What would have to keep it.
        keeper: String,
    },
    /// A program that keeps logins failed.
    #[error("cannot {action} the login for {name}")]
    Helper {
        /// What was to be done: `get`, `store`, `erase`.
        action: &'static str,
        /// What it is kept under.
        name: String,
        /// The file that names the program.
        by: PathBuf,
        /// Why not.
        source: HelperError,
    },
    /// `registries.conf` cannot be followed.
    #[error("{}: {source}", path.display())]
    Registries {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<RegistriesError>,
    },
    /// A certificate or key cannot be used.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: CertificateError,
    },
}

impl SettingsError {
    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Login { .. } => {
                Some("log in anew, which writes it anew: mkimg login REGISTRY".to_owned())
            }
            Self::NoPlace => Some("name a file for them with --authfile FILE".to_owned()),
            Self::PartOfRegistry { .. } => {
                Some("keep it in a file of podman's kind: --authfile FILE".to_owned())
            }
            Self::Helper { by, source, .. } => source.hint(by),
            Self::Registries { source, .. } => source.hint(),
            Self::Certificate { source, .. } => source.hint(),
            _ => None,
        }
    }
}
