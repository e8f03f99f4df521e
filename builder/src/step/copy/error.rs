//! Why a copy cannot be done.

use std::io;
use std::path::{Path, PathBuf};

use image_format::closure::ClosureError;
use image_format::layer::tree::TreeError;
use image_format::layer::{ReadError, WriteError};
use image_format::layout::StoreError;

use crate::address::AddressError;
use crate::cache::CacheError;
use crate::cache::layers::LayerError;
use crate::context::ContextError;
use crate::dockerfile::{OwnershipError, Span};
use crate::glob::GlobError;
use crate::ignore::IgnoreErrorKind;
use crate::remote::RemoteError;

use super::archive::ArchiveError;

/// Why a copy cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A source cannot be copied from the build context.
    #[error("cannot copy from the build context")]
    Context {
        /// Why not.
        source: Box<ContextError>,
        /// The source, or the instruction.
        span: Span,
    },
    /// A source is not a valid pattern.
    #[error("cannot copy what a pattern matches")]
    Pattern {
        /// Why not.
        source: GlobError,
        /// The source.
        span: Span,
    },
    /// A source is not in the stage or image that is copied from.
    #[error("{name:?} is not in what is copied from")]
    Missing {
        /// The source.
        name: String,
        /// What is there and was probably meant.
        nearest: Option<String>,
        /// The source.
        span: Span,
    },
    /// A pattern of `--exclude`, or of a source with `--parents`, cannot be used.
    #[error("cannot tell what to copy")]
    Exclude {
        /// Why not.
        source: IgnoreErrorKind,
        /// The pattern.
        span: Span,
    },
    /// An address of a git repository asks for what there is not.
    #[error("cannot tell what to fetch")]
    Address {
        /// Why not.
        source: AddressError,
        /// The address.
        span: Span,
    },
    /// A source of a `COPY` lies on another machine.
    #[error("{name:?} is an address, and COPY fetches nothing")]
    Remote {
        /// The address.
        name: String,
        /// The source.
        span: Span,
    },
    /// A source cannot be fetched.
    #[error("cannot fetch what is added")]
    Fetch {
        /// Why not.
        source: Box<RemoteError>,
        /// The source.
        span: Span,
    },
    /// What was fetched is not what it should be.
    #[error("{name} is {found}, and not {expected} as its checksum says")]
    Checksum {
        /// The address.
        name: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
        /// The source.
        span: Span,
    },
    /// The value of `--checksum` is none.
    #[error("{value:?} is no checksum of such a source: {needed} are needed")]
    BadChecksum {
        /// The value.
        value: String,
        /// What is needed.
        needed: &'static str,
        /// The value.
        span: Span,
    },
    /// `--checksum` with several sources.
    #[error("a checksum is of one source, and here are several, or none that is fetched")]
    ChecksumOfSeveral {
        /// The checksum.
        span: Span,
    },
    /// `--checksum` with a source in the context.
    #[error("a checksum is of what is fetched, and the source is in the build context")]
    ChecksumOfLocal {
        /// The checksum.
        span: Span,
    },
    /// `--keep-git-dir` and an address that says otherwise.
    #[error("the address wants no .git, and --keep-git-dir wants it")]
    KeepGitDir {
        /// The source.
        span: Span,
    },
    /// The name of a heredoc is no name of a file.
    #[error("no file can have the name {name:?} of the heredoc")]
    HeredocName {
        /// The name.
        name: String,
        /// Where it is opened.
        span: Span,
    },
    /// An archive cannot be unpacked.
    #[error("cannot unpack {name:?}")]
    Archive {
        /// The archive.
        name: String,
        /// Why not.
        source: Box<ArchiveError>,
        /// The instruction.
        span: Span,
    },
    /// The value of `--chown` or `--chmod` cannot be used.
    #[error("cannot change what is copied")]
    Ownership {
        /// Why not.
        source: OwnershipError,
        /// The value.
        span: Span,
    },
    /// A user or group is not known in the image.
    #[error("the image has no {what} {name:?} in {file}")]
    NoAccount {
        /// `user` or `group`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
        /// The name there that was probably meant.
        nearest: Option<String>,
        /// Whether it was to be found without the image.
        linked: bool,
        /// The value of `--chown`, or the instruction.
        span: Span,
    },
    /// Something that is no directory is where one is needed.
    #[error("{path:?} in the image is not a directory")]
    NotADirectory {
        /// The path in the image.
        path: String,
        /// The destination, or the instruction.
        span: Span,
    },
    /// A directory is where a file is to be.
    #[error("{path:?} in the image is a directory, and a file is copied there")]
    DirectoryInTheWay {
        /// The path in the image.
        path: String,
        /// The destination.
        span: Span,
    },
    /// Symbolic links of the image that lead to each other.
    #[error("{path:?} in the image leads through too many symbolic links")]
    Loop {
        /// The path in the image.
        path: String,
        /// Where it is written.
        span: Span,
    },
    /// A layer that is copied from, or onto, cannot be asked what is in it.
    #[error(transparent)]
    Index(#[from] LayerError),
    /// The layers that are copied from, or onto, make no root file system.
    #[error("the layers make no root file system")]
    Tree(#[from] TreeError),
    /// A layer that is copied from, or onto, or an archive, cannot be read.
    #[error("cannot read {name}")]
    Layer {
        /// Which it is, as in `the layer sha256:…`.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A layer that is copied from, or onto, or an archive, is malformed.
    #[error("{name} is malformed")]
    Malformed {
        /// Which it is, as in `the layer sha256:…`.
        name: String,
        /// Why.
        source: ReadError,
    },
    /// What a program needs cannot be found in what is copied from.
    #[error("cannot tell what the programs need")]
    Closure {
        /// Why not.
        source: Box<ClosureError>,
        /// The instruction.
        span: Span,
    },
    /// A program would not find its library any more.
    #[error("{program:?} finds {library:?} by where it lies itself, and is copied elsewhere")]
    Beside {
        /// The program.
        program: String,
        /// The library.
        library: String,
        /// The destination.
        span: Span,
    },
    /// The new layer cannot be made.
    #[error("cannot write {:?} into the layer", Path::new("/").join(path).display())]
    Write {
        /// The entry that was written.
        path: PathBuf,
        /// Why.
        source: WriteError,
        /// The instruction.
        span: Span,
    },
    /// The thread that reads ended without a word.
    #[error("the files could not be read to their end")]
    Reader,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl CopyError {
    /// An error of the context, with the place it belongs to.
    pub(super) fn context(source: ContextError, span: Span) -> Self {
        match source {
            ContextError::Cancelled => Self::Cancelled,
            ContextError::Pattern(source) => Self::Pattern { source, span },
            source => Self::Context {
                source: Box::new(source),
                span,
            },
        }
    }

    /// The error of an account that was looked for without the image.
    pub(super) fn linked(mut self) -> Self {
        if let Self::NoAccount { linked, .. } = &mut self {
            *linked = true;
        }
        self
    }

    /// Where in the Dockerfile: the word at fault, or the instruction.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Context { span, .. }
            | Self::Pattern { span, .. }
            | Self::Missing { span, .. }
            | Self::Exclude { span, .. }
            | Self::Address { span, .. }
            | Self::Remote { span, .. }
            | Self::Fetch { span, .. }
            | Self::Checksum { span, .. }
            | Self::BadChecksum { span, .. }
            | Self::ChecksumOfSeveral { span }
            | Self::ChecksumOfLocal { span }
            | Self::KeepGitDir { span }
            | Self::HeredocName { span, .. }
            | Self::Archive { span, .. }
            | Self::Ownership { span, .. }
            | Self::NoAccount { span, .. }
            | Self::NotADirectory { span, .. }
            | Self::DirectoryInTheWay { span, .. }
            | Self::Loop { span, .. }
            | Self::Closure { span, .. }
            | Self::Beside { span, .. }
            | Self::Write { span, .. } => Some(*span),
            Self::Cancelled
            | Self::Index(_)
            | Self::Tree(_)
            | Self::Layer { .. }
            | Self::Malformed { .. }
            | Self::Reader
            | Self::Store(_)
            | Self::Cache(_) => None,
        }
    }

    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let meant = |name: &String| format!("did you mean {name:?}?");
        match self {
            Self::Context { source, .. } => source.hint(),
            Self::Closure { source, .. } => match source.as_ref() {
                ClosureError::NotAProgram(_) => {
                    Some("--closure is for programs: copy other files by a COPY without it".into())
                }
                source => source.hint(),
            },
            Self::Beside { program, .. } => Some(format!("copy it to {program:?}")),
            Self::Missing { nearest, .. } => nearest.as_ref().map(meant),
            Self::Remote { .. } => Some("ADD fetches it".to_owned()),
            Self::Fetch { source, .. } => source.hint(),
            Self::Archive { .. } => Some("with --unpack=false it is copied as it is".to_owned()),
            Self::NoAccount { linked: true, .. } => {
                Some("with --link the image below is not looked at: give the number".to_owned())
            }
            Self::NoAccount { nearest, what, .. } => Some(nearest.as_ref().map_or_else(
                || format!("make the {what} in an earlier step, or give its number"),
                meant,
            )),
            _ => None,
        }
    }
}
