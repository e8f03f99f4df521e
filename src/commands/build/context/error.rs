//! Why what a build is to read cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use builder::address::AddressError;
use builder::export::ExportError;
use builder::remote::RemoteError;
use image_format::archive::ArchiveError;
use image_format::import::ImportError;
use image_format::layout::StoreError;
use remote::git::head::HeadError;

/// Why what a build is to read cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or directory cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done, as in `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The context is not there.
    #[error("the context {} does not exist", path.display())]
    NoContext {
        /// Where it was looked for.
        path: PathBuf,
        /// What was probably meant.
        nearest: Option<PathBuf>,
    },
    /// The context is a file, and no archive.
    #[error("the context {} is not a directory, and no tar either", .0.display())]
    ContextIsFile(PathBuf),
    /// Only what is here and not packed is checked.
    #[error("{} is not a directory, and nothing else is checked without a build", .0.display())]
    NotChecked(PathBuf),
    /// Standard input cannot be both.
    #[error("standard input is the context, and cannot be the Dockerfile too")]
    StdinTwice,
    /// Two Dockerfiles were given.
    #[error("standard input is a Dockerfile, and -f names another")]
    TwoDockerfiles,
    /// It would be typed in.
    #[error("standard input is a terminal, and the context or Dockerfile is to be read from it")]
    Terminal,
    /// The Dockerfile is not there.
    #[error("there is no Dockerfile {}", path.display())]
    NoDockerfile {
        /// Where it was looked for.
        path: PathBuf,
        /// What was probably meant.
        nearest: Option<PathBuf>,
    },
    /// The Dockerfile is not in what was packed or fetched.
    #[error("there is no Dockerfile {} in {context}", path.display())]
    NoDockerfileIn {
        /// Where it was looked for.
        path: PathBuf,
        /// In what.
        context: String,
    },
    /// The Dockerfile is not text.
    #[error("{name} is not UTF-8 text: the byte {at} is none")]
    NotText {
        /// What it is called.
        name: String,
        /// The first byte that is wrong, from 0.
        at: usize,
    },
    /// An archive cannot be used.
    #[error("cannot use {name} as a context")]
    Archive {
        /// The archive.
        name: String,
        /// Why not.
        source: Box<ImportError>,
    },
    /// What an archive held cannot be read.
    #[error("cannot read {name}")]
    Layers {
        /// The archive.
        name: String,
        /// Why not.
        source: Box<ExportError>,
    },
    /// An address asks for what there is not.
    #[error("{address:?}: {source}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong.
        source: AddressError,
    },
    /// The address of a context names the commit that must come, and another came.
    #[error("{address} is at the commit {found}, and not at {expected}")]
    OtherCommit {
        /// The repository's, without a password.
        address: String,
        /// As much of the commit as was given.
        expected: String,
        /// The commit.
        found: String,
    },
    /// Something could not be fetched.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A named context is not there.
    #[error("the context {name:?}: {} is not a directory", path.display())]
    NoDirectory {
        /// Its name.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What was probably meant.
        nearest: Option<PathBuf>,
    },
    /// An image of a named context is not in the store.
    #[error("the context {name:?}: there is no image {image:?} in the store")]
    NoImage {
        /// Its name.
        name: String,
        /// The image.
        image: String,
        /// The name in the store that is nearest to it.
        nearest: Option<String>,
    },
    /// An image layout of a named context cannot be used.
    #[error("the context {name:?}: cannot use the image layout {}", path.display())]
    Layout {
        /// Its name.
        name: String,
        /// The layout.
        path: PathBuf,
        /// Why not.
        source: Box<ArchiveError>,
    },
    /// The time of a commit is asked for, and there is none.
    #[error("SOURCE_DATE_EPOCH=context is the time of a commit, and {0} is no git repository")]
    NoCommit(String),
    /// The commit that the context is at cannot be read.
    #[error("SOURCE_DATE_EPOCH=context is the time of the context's commit")]
    Commit(#[from] HeadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl InputError {
    /// Names the file and the attempt in an I/O error.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Whether the command line itself is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::StdinTwice | Self::TwoDockerfiles | Self::Address { .. }
        )
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        let meant = |nearest: &dyn std::fmt::Debug| Some(format!("did you mean {nearest:?}?"));
        match self {
            Self::NoContext {
                nearest: Some(nearest),
                ..
            }
            | Self::NoDirectory {
                nearest: Some(nearest),
                ..
            }
            | Self::NoDockerfile {
                nearest: Some(nearest),
                ..
            } => meant(nearest),
            Self::NoImage {
                nearest: Some(nearest),
                ..
            } => meant(nearest),
            Self::NoDockerfile { .. } => Some("say which file it is with -f FILE".into()),
            Self::NoDockerfileIn { .. } => {
                Some("say which file in the context it is with -f FILE".into())
            }
            Self::ContextIsFile(path) => Some(format!(
                "a Dockerfile is named with -f: mkimg build -f {} .",
                path.display()
            )),
            Self::NotChecked(_) => Some("unpack or fetch it, and check the directory".into()),
            Self::StdinTwice => Some("write one of the two to a file".into()),
            Self::TwoDockerfiles => Some("leave -f out".into()),
            Self::NoCommit(_) | Self::Commit(_) => {
                Some("say the time in seconds since 1970, or leave it out".into())
            }
            Self::Terminal => Some("redirect standard input from a file or a pipe".into()),
            Self::NoImage { .. } => Some("mkimg images lists those that are there".into()),
            Self::OtherCommit { .. } => Some(
                "name the commit itself as the reference: ?ref=COMMIT, or &fetch-by-commit".into(),
            ),
            Self::Remote(error) => error.hint(),
            Self::Archive { source, .. } => match source.as_ref() {
                ImportError::Compression(_) => Some("give it as gzip, zstd or plain tar".into()),
                _ => None,
            },
            Self::Layout { .. } => {
                Some("it takes the directory of an OCI image layout: oci-layout://DIR:TAG".into())
            }
            _ => None,
        }
    }
}
