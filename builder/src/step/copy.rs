//! `COPY`, `ADD`, and the directory that `WORKDIR` makes: what they read, and the layer they make.
//!
//! Nothing is unpacked. What a destination's path leads to, and the numbers of names, come from
//! the indexes of the layers below; the files go from where they lie straight into the new layer.
//!
//! ```text
//! context, layers, heredocs, ── find ── filter ──┐
//! what is fetched, archives                      ├─► target ──► layer
//! layers below ──────────────── rootfs ──────────┘
//! ```

mod archive;
mod closure;
mod contents;
mod error;
mod fetch;
mod filter;
mod find;
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
mod unpack;

use std::borrow::Cow;

use image_format::config::chain_id;
use image_format::digest::Digest;
use image_format::layer::Timestamp;
use image_format::layout::{Layer, Store};
use image_format::snapshot::LayerSource;

use crate::cache::key::{FilePart, Placement, Reads};
use crate::cancel::Cancel;
use crate::context::Context;
use crate::dockerfile::ast::{self, Copy};
use crate::dockerfile::mode::Mode;
use crate::dockerfile::ownership::Owner;
use crate::dockerfile::{Span, Word};
use crate::remote::Remote;

pub use archive::ArchiveError;
pub use error::CopyError;

use fetch::Checksum;
use find::Found;
use maker::Maker;
use parts::Keeps;
use reading::Read;
use rootfs::Rootfs;
use source::Source;
use target::{Overrides, Target};

/// A `COPY` or an `ADD` with all its words expanded.
#[derive(Clone)]
pub(crate) struct CopyStep<'a> {
    /// What it says.
    pub(crate) copy: Cow<'a, Copy>,
    /// What an `ADD` says beside.
    pub(crate) add: Option<AddStep<'a>>,
    /// What is copied from.
    pub(crate) from: CopySource<'a>,
    /// The working directory, absolute.
    pub(crate) workdir: &'a str,
    /// Whether a directory whose contents are copied brings its own permissions too.
    pub(crate) keep_top: bool,
    /// Whether its sources are paths as they are written, with no wildcards in them.
    pub(crate) literal: bool,
    /// Where the instruction is written.
    pub(crate) span: Span,
}

/// What is particular to an `ADD`.
#[derive(Clone, Copy)]
pub(crate) struct AddStep<'a> {
    /// `--checksum`
    pub(crate) checksum: Option<&'a Word>,
    /// `--keep-git-dir`
    pub(crate) keep_git_dir: bool,
    /// `--unpack`
    pub(crate) unpack: Option<bool>,
    /// Who fetches.
    pub(crate) remote: &'a dyn Remote,
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

/// Whether a copy makes its layer as if onto nothing. As docker has it, `--chmod` takes that away.
pub(crate) fn is_linked(copy: &Copy) -> bool {
    copy.link && copy.chmod.is_none()
}

/// A copy that can be keyed, and then done.
pub(crate) struct PlannedCopy<'a> {
    /// What it depends on.
    pub(crate) reads: Reads,
    work: Work<'a>,
}

impl PlannedCopy<'_> {
    /// The files it reads from the context, or from elsewhere, for the record; none of a root file
    /// system.
    pub(crate) fn files(&self) -> impl Iterator<Item = FilePart> + Clone {
        let (found, later) = match &self.work {
            Work::Found(read, words) => (Some((read, words)), &[][..]),
            Work::Later { parts, .. } => (None, parts.as_slice()),
            Work::Directory { .. } => (None, &[][..]),
        };
        let found = found.into_iter().flat_map(|(read, words)| {
            let digest = |source, entry| read.digest(source, entry);
            parts::file_parts(&read.found.sources, words.keeps(), digest)
        });
        found.chain(later.iter().cloned())
    }
}

/// What is left to do.
enum Work<'a> {
    /// Files that are found, if they are not in a layer already.
    Found(Box<Read<'a>>, Words),
    /// Files of a root file system, or such as need not be fetched to be known.
    Later {
        step: Box<CopyStep<'a>>,
        words: Words,
        parts: Vec<FilePart>,
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
    mode: Option<Mode>,
    /// Whether the layer is made as if onto nothing.
    linked: bool,
    keep_top: bool,
    span: Span,
}

impl Words {
    /// Whose permissions reach the layer.
    fn keeps(&self) -> Keeps {
        Keeps {
            modes: self.mode.as_ref().and_then(Mode::fixed).is_none(),
            top: self.keep_top,
        }
    }

    fn of(step: &CopyStep<'_>) -> Result<Self, CopyError> {
        let ownership = |span| move |source| CopyError::Ownership { source, span };
        let Copy {
            chown,
            chmod,
            destination,
            ..
        } = &*step.copy;
        let owner = chown.as_ref().map(|word| {
            let owner = Owner::parse(&word.text).map_err(ownership(word.span))?;
            Ok::<_, CopyError>((owner, word.span))
        });
        let mode = chmod.as_ref();
        let mode = mode.map(|word| Mode::parse(&word.text).map_err(ownership(word.span)));
        Ok(Self {
            destination: resolve::absolute(step.workdir, &destination.text),
            destination_span: destination.span,
            owner: owner.transpose()?,
            mode: mode.transpose()?,
            linked: is_linked(&step.copy),
            keep_top: step.keep_top,
            span: step.span,
        })
    }

    fn placement(&self, step: &CopyStep<'_>) -> Placement {
        let text = |word: &Word| word.text.clone();
        let Copy {
            chown,
            chmod,
            parents,
            exclude,
            ..
        } = &*step.copy;
        Placement {
            destination: self.destination.clone(),
            chown: chown.as_ref().map(text),
            chmod: match self.mode.as_ref().and_then(Mode::fixed) {
                Some(mode) => Some(format!("{mode:o}")),
                None => chmod.as_ref().map(text),
            },
            link: self.linked,
            parents: *parents,
            exclude: exclude.iter().map(text).collect(),
            unpack: step.add.as_ref().and_then(|add| add.unpack),
        }
    }
}

/// Finds what a copy will read: of the context every file's digest, by stat alone where the file
/// is known; of a root file system nothing, for its chain ID says all, and nothing of a file that is
/// fetched where its checksum does.
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
    let placement = words.placement(step);
    let later = |reads, parts, words| PlannedCopy {
        reads,
        work: Work::Later {
            step: Box::new(step.clone()),
            words,
            parts,
        },
    };
    match step.from {
        CopySource::Context(context) => {
            if let Some(known) = Checksum::known(step)? {
                let files = parts::digest_of_known(std::slice::from_ref(&known));
                let reads = Reads::Context { placement, files };
                return Ok(later(reads, vec![known], words));
            }
            let maker = Maker::new(store, base, epoch, cancel);
            let found = find::find(&maker, step, progress)?;
            let read = reading::read(&maker, context, found, &words, progress)?;
            let digest = |source, entry| read.digest(source, entry);
            let files = parts::digest_of(&read.found.sources, words.keeps(), digest);
            Ok(PlannedCopy {
                reads: Reads::Context { placement, files },
                work: Work::Found(Box::new(read), words),
            })
        }
        CopySource::Stack(layers) => {
            let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
            let source = |source: &ast::CopySource| match source {
                ast::CopySource::Path(word) => word.text.clone(),
                ast::CopySource::Heredoc(heredoc) => {
                    let content = Digest::of(heredoc.text.as_bytes());
                    format!("<<{} {content}", heredoc.name)
                }
            };
            let mut sources: Vec<String> = step.copy.sources.iter().map(source).collect();
            let from = chain_id(&diff_ids);
            let mut paths = step.copy.paths();
            if step.add.is_none() || !paths.any(|word| matches!(find::address(word), Ok(Some(_)))) {
                let reads = Reads::Rootfs {
                    from,
                    sources,
                    placement,
                };
                return Ok(later(reads, Vec::new(), words));
            }
            // What an address leads to is another thing tomorrow.
            let maker = Maker::new(store, base, epoch, cancel);
            let found = find::find(&maker, step, progress)?;
            let fetched = found.sources.iter().filter_map(|one| one.known.as_ref());
            sources.extend(fetched.map(|part| format!("{} {}", part.path, part.content)));
            let reads = Reads::Rootfs {
                from,
                sources,
                placement,
            };
            let read = Read::none(found);
            Ok(PlannedCopy {
                reads,
                work: Work::Found(Box::new(read), words),
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
    let overrides = Overrides::plain(Timestamp::default());
    let target = Target::new(&rootfs, &overrides, &sources, span);
    let path = target.resolve(step.path.as_bytes())?;
    if target.seen(&path) == Some(resolve::Seen::Dir) {
        return Ok(None);
    }
    let owner = match step.user {
        "" => (0, 0),
        user => owner::numbers_or_root(&rootfs, user)?,
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
    let make =
        |found: &Found<'_>, words, progress| maker.make(found, words, progress, &mut |_, _, _| {});
    let layer = match &planned.work {
        Work::Found(read, words) => match (read.layer, read.found.to_unpack()) {
            (Some(layer), _) => layer,
            (None, None) => make(&read.found, words, progress)?,
            (None, Some(mut found)) => {
                archive::unpack(store, &mut found, words.span, cancel)?;
                make(&found, words, progress)?
            }
        },
        Work::Later { step, words, .. } => {
            let mut found = find::find(&maker, step, progress)?;
            archive::unpack(store, &mut found, words.span, cancel)?;
            make(&found, words, progress)?
        }
        Work::Directory { path, owner, span } => maker.directory(path, *owner, *span)?,
    };
    Ok(Some(layer))
}
