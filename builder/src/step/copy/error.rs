//! Why a copy cannot be done.

use std::io;
use std::path::{Path, PathBuf};

use image_format::closure::ClosureError;
use image_format::layer::tree::TreeError;
use image_format::layer::{ReadError, WriteError};
use image_format::layout::StoreError;

use crate::cache::CacheError;
use crate::cache::layers::LayerError;
use crate::context::ContextError;
use crate::dockerfile::{OwnershipError, Span};
use crate::glob::GlobError;

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
    /// A layer that is copied from, or onto, cannot be read.
    #[error("cannot read the layer {layer}")]
    Layer {
        /// Its diff ID.
        layer: image_format::digest::Digest,
        /// Why.
        source: io::Error,
    },
    /// A layer that is copied from, or onto, is malformed.
    #[error("the layer {layer} is malformed")]
    Malformed {
        /// Its diff ID.
        layer: image_format::digest::Digest,
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

    /// Where in the Dockerfile: the word at fault, or the instruction.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Context { span, .. }
            | Self::Pattern { span, .. }
            | Self::Missing { span, .. }
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
            Self::NoAccount { nearest, what, .. } => Some(nearest.as_ref().map_or_else(
                || format!("make the {what} in an earlier step, or give its number"),
                meant,
            )),
            _ => None,
        }
    }
}
