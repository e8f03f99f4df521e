//! `COPY`, and the directory that `WORKDIR` makes: what they read, and the layer they make.
//!
//! Nothing is unpacked. What a destination's path leads to, and the numbers of names, come from
//! the indexes of the layers below; the files go from where they lie straight into the new layer.
//!
//! ```text
//! context, or layers ── source ──┐
//! layers below ────── rootfs ────┴─► target ──► layer
//! ```

mod contents;
mod error;
mod layer;
mod maker;
mod owner;
mod parts;
mod reading;
mod resolve;
mod rootfs;
mod source;
mod stack;
mod target;
#[cfg(test)]
mod tests;

use image_format::config::chain_id;
use image_format::digest::Digest;
use image_format::layer::Timestamp;
use image_format::layout::{Layer, Store};
use image_format::snapshot::LayerSource;

use crate::cache::key::{FilePart, Reads};
use crate::cancel::Cancel;
use crate::context::Context;
use crate::dockerfile::ownership::{Owner, mode};
use crate::dockerfile::{Span, Word};

pub use error::CopyError;

use contents::Origin;
use maker::Maker;
use parts::Keeps;
use reading::Read;
use rootfs::Rootfs;
use source::Source;
use target::{Overrides, Target};

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
    /// Whether a directory whose contents are copied brings its own permissions too.
    pub(crate) keep_top: bool,
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
pub(crate) struct PlannedCopy<'a> {
    /// What it depends on.
    pub(crate) reads: Reads,
    work: Work<'a>,
}

impl PlannedCopy<'_> {
    /// The files it reads from the context, for the record; none of a root file system.
    pub(crate) fn files(&self) -> impl Iterator<Item = FilePart> + Clone {
        let context = match &self.work {
            Work::Context { read, words, .. } => Some((read, words)),
            Work::Stack { .. } | Work::Directory { .. } => None,
        };
        context.into_iter().flat_map(|(read, words)| {
            let digest = |source, entry| read.digest(source, entry);
            parts::file_parts(&read.sources, words.keeps(), digest)
        })
    }
}

/// What is left to do.
enum Work<'a> {
    /// Files of the context, if they are not in a layer already.
    Context {
        context: &'a Context,
        read: Read,
        words: Words,
    },
    /// Files of a root file system.
    Stack {
        layers: &'a [LayerSource],
        sources: Vec<Word>,
        words: Words,
    },
    /// A directory.
    Directory {
        path: String,
        owner: (u32, u32),
        span: Span,
    },
}

/// What an instruction says of where the files go, and how.
#[derive(Clone)]
struct Words {
    destination: String,
    destination_span: Span,
    owner: Option<(Owner, Span)>,
    mode: Option<u32>,
    keep_top: bool,
    span: Span,
}

impl Words {
    fn keeps(&self) -> Keeps {
        Keeps {
            modes: self.mode.is_none(),
            top: self.keep_top,
        }
    }

    fn of(step: &CopyStep<'_>) -> Result<Self, CopyError> {
        let ownership = |span| move |source| CopyError::Ownership { source, span };
        let owner = step.chown.as_ref().map(|word| {
            let owner = Owner::parse(&word.text).map_err(ownership(word.span))?;
            Ok::<_, CopyError>((owner, word.span))
        });
        let mode = step
            .chmod
            .as_ref()
            .map(|word| mode(&word.text).map_err(ownership(word.span)));
        Ok(Self {
            destination: resolve::absolute(step.workdir, &step.destination.text),
            destination_span: step.destination.span,
            owner: owner.transpose()?,
            mode: mode.transpose()?,
            keep_top: step.keep_top,
            span: step.span,
        })
    }
}

/// Finds what a copy will read: of the context every file's digest, by stat alone where the file
/// is known; of a root file system nothing, for its chain ID says all.
///
/// Where most of the context's files have to be read for that, the layer is made on the way, so
/// that they are read once; that is what `epoch` and `progress` are for (see [`copy`]).
pub(crate) fn plan_copy<'a>(
    store: &Store,
    base: &[LayerSource],
    step: &CopyStep<'a>,
    epoch: i64,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &Cancel,
) -> Result<PlannedCopy<'a>, CopyError> {
    let words = Words::of(step)?;
    let chown = step.chown.as_ref().map(|word| word.text.clone());
    match step.from {
        CopySource::Context(context) => {
            let maker = Maker::new(store, base, epoch, cancel);
            let sources = maker.find(context, &step.sources)?;
            let read = reading::read(&maker, context, sources, &words, progress)?;
            let digest = |source, entry| read.digest(source, entry);
            let reads = Reads::Context {
                destination: words.destination.clone(),
                chown,
                chmod: words.mode,
                files: parts::digest_of(&read.sources, words.keeps(), digest),
            };
            let work = Work::Context {
                context,
                read,
                words,
            };
            Ok(PlannedCopy { reads, work })
        }
        CopySource::Stack(layers) => {
            let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
            Ok(PlannedCopy {
                reads: Reads::Rootfs {
                    from: chain_id(&diff_ids),
                    sources: step.sources.iter().map(|word| word.text.clone()).collect(),
                    destination: words.destination.clone(),
                    chown,
                    chmod: words.mode,
                },
                work: Work::Stack {
                    layers,
                    sources: step.sources.clone(),
                    words,
                },
            })
        }
    }
}

/// Finds what the making of a working directory needs; `None` where the directory is there. Called
/// only when the cache does not know.
pub(crate) fn plan_workdir(
    store: &Store,
    base: &[LayerSource],
    step: &WorkdirStep<'_>,
    cancel: &Cancel,
) -> Result<Option<PlannedCopy<'static>>, CopyError> {
    let _ = cancel;
    let rootfs = Rootfs::open(store, base)?;
    let span = step.span;
    let sources: [Source; 0] = [];
    let target = Target::new(
        &rootfs,
        Overrides::plain(Timestamp::default()),
        &sources,
        span,
    );
    let path = target.resolve(step.path.as_bytes())?;
    if target.seen(&path) == Some(resolve::Seen::Dir) {
        return Ok(None);
    }
    let owner = match step.user {
        "" => (0, 0),
        user => {
            let owner = Owner::parse(user.strip_suffix(':').unwrap_or(user))
                .map_err(|source| CopyError::Ownership { source, span })?;
            owner::numbers(&rootfs, &owner, span)?
        }
    };
    Ok(Some(PlannedCopy {
        reads: Reads::Directory {
            path: step.path.to_owned(),
            user: step.user.to_owned(),
        },
        work: Work::Directory {
            path: step.path.to_owned(),
            owner,
            span,
        },
    }))
}

/// Checks that something is at a path of a root file system.
pub(crate) fn check_source(
    store: &Store,
    layers: &[LayerSource],
    source: &Word,
) -> Result<(), CopyError> {
    match source.text.as_str() {
        // It need not be looked for.
        "/" => Ok(()),
        _ => stack::check(&Rootfs::open(store, layers)?, source),
    }
}

/// Makes the layer; `None` where nothing changes. `progress` gets the bytes of file contents so
/// far, and all of them. The blob is not yet durable.
pub(crate) fn copy(
    store: &Store,
    base: &[LayerSource],
    planned: &PlannedCopy<'_>,
    epoch: i64,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &Cancel,
) -> Result<Option<Layer>, CopyError> {
    let maker = Maker::new(store, base, epoch, cancel);
    let layer = match &planned.work {
        Work::Context {
            context,
            read,
            words,
        } => match read.layer {
            Some(layer) => layer,
            None => {
                let origin = Origin::Context(context);
                maker.make(&read.sources, origin, words, progress, &mut |_, _, _| {})?
            }
        },
        Work::Stack {
            layers,
            sources,
            words,
        } => {
            let from = Rootfs::open(store, layers)?;
            let mut found = Vec::new();
            for word in sources {
                found.extend(stack::find(&from, word)?);
            }
            maker.make(
                &found,
                Origin::Rootfs(&from),
                words,
                progress,
                &mut |_, _, _| {},
            )?
        }
        Work::Directory { path, owner, span } => maker.directory(path, *owner, *span)?,
    };
    Ok(Some(layer))
}
