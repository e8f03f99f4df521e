//! `COPY`, and the directory that `WORKDIR` makes: what they read, and the layer they make.

use image_format::layout::{Layer, Store};
use image_format::snapshot::LayerSource;

use crate::cache::key::{FilePart, Reads};
use crate::cancel::Cancel;
use crate::context::Context;
use crate::dockerfile::{Span, Word};

/// A `COPY` with all its words expanded.
pub(crate) struct CopyStep<'a> {
    /// Paths and patterns, at least one.
    pub(crate) sources: Vec<Word>,
    /// Where to, as written; relative is below `workdir`.
    pub(crate) destination: Word,
    /// The working directory, absolute.
    pub(crate) workdir: &'a str,
    /// What is copied from.
    pub(crate) from: CopySource<'a>,
    /// `--chown`; names are those of the stage's own root file system.
    pub(crate) chown: Option<Word>,
    /// `--chmod`
    pub(crate) chmod: Option<Word>,
    /// Where the instruction is written.
    pub(crate) span: Span,
}

/// What a `COPY` copies from.
#[derive(Clone, Copy)]
pub(crate) enum CopySource<'a> {
    /// The build context.
    Context(&'a Context),
    /// The root file system of a stage or an image: its layers, base first.
    Stack(&'a [LayerSource]),
}

/// The directory that `WORKDIR` asks for.
pub(crate) struct WorkdirStep<'a> {
    /// The directory, absolute and cleaned.
    pub(crate) path: &'a str,
    /// Whose it is to be where it is made, as `USER` has it; empty is root.
    pub(crate) user: &'a str,
    /// Where the instruction is written.
    pub(crate) span: Span,
}

/// A copy that can be keyed, and then done.
pub(crate) struct PlannedCopy {
    /// What it depends on.
    pub(crate) reads: Reads,
    /// The files it reads from the context, sorted: for the record.
    pub(crate) files: Vec<FilePart>,
}

/// Why a copy cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl CopyError {
    /// Where in the Dockerfile: the word at fault, or the instruction.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        None
    }

    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Finds what a copy will read: of the context every file's digest, by stat alone where the file
/// is known; of a root file system nothing, for its chain ID says all.
pub(crate) fn plan_copy(
    store: &Store,
    base: &[LayerSource],
    step: &CopyStep<'_>,
    cancel: &Cancel,
) -> Result<PlannedCopy, CopyError> {
    let _ = (store, base, step, cancel);
    Err(CopyError::Cancelled)
}

/// Finds what the making of a working directory needs; `None` where the directory is there. Called
/// only when the cache does not know.
pub(crate) fn plan_workdir(
    store: &Store,
    base: &[LayerSource],
    step: &WorkdirStep<'_>,
    cancel: &Cancel,
) -> Result<Option<PlannedCopy>, CopyError> {
    let _ = (store, base, step, cancel);
    Err(CopyError::Cancelled)
}

/// Makes the layer; `None` where nothing changes. `progress` gets the bytes of file contents so
/// far, and all of them. The blob is not yet durable.
pub(crate) fn copy(
    store: &Store,
    base: &[LayerSource],
    planned: PlannedCopy,
    epoch: i64,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &Cancel,
) -> Result<Option<Layer>, CopyError> {
    let _ = (store, base, planned, epoch, progress, cancel);
    Err(CopyError::Cancelled)
}
