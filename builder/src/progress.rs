//! What a build tells while it runs. The builder reports; whoever holds the terminal draws.

use std::path::Path;

use image_format::digest::Digest;
use image_format::layout::Layer;

use crate::cache::explain::Reason;
use crate::cache::shared::ImportError;
use crate::dockerfile::Span;
use crate::dockerfile::check::Warning;
use crate::remote::Pulling;

/// Takes a build's events. Called from several threads at once; it must not block for long.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event<'_>);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// A step's number in [`Event::Planned`], from 0.
pub type StepId = usize;

/// A step that a build is going to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// Its number.
    pub id: StepId,
    /// The stage's name, or `stage-<n>`; empty where there is one stage only.
    pub stage: String,
    /// Its number within the stage, from 1.
    pub number: usize,
    /// How many steps the stage has.
    pub of: usize,
    /// The instruction as it is written, on one line.
    pub text: String,
    /// Where it is written.
    pub span: Span,
    /// What it does.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// `FROM`: finds the base.
    Base,
    /// Runs a command.
    Run,
    /// Copies files, or makes a directory.
    Copy,
    /// Changes nothing but the image's config.
    Config,
}

/// Which of a command's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its layer, or the knowledge that it makes none, was in the cache.
    Cached(Option<Layer>),
    /// It was done, and made this layer or none.
    Done(Option<Layer>),
}

/// Something that happened in a build.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The steps that are going to be taken, stage by stage. Before it come only those of images, and, where
    /// there is no plan, what the checks found.
    Planned {
        /// The steps, by their numbers.
        steps: &'a [StepInfo],
    },
    /// What the name of an image stands for in this build.
    Resolved {
        /// The name, as it is written.
        name: &'a str,
        /// The digest of the manifest or index.
        digest: Digest,
    },
    /// An image comes from its registry.
    Pulling {
        /// Its name, as it is written.
        name: &'a str,
        /// What happens.
        what: Pulling<'a>,
    },
    /// A step begins.
    Started {
        /// Which.
        step: StepId,
    },
    /// The cache does not have a step, but had one like it.
    Missed {
        /// Which step.
        step: StepId,
        /// What is different from the last time, at least one thing; of a copy every file.
        reasons: &'a [Reason],
    },
    /// A copy has come so far.
    Copied {
        /// Which step.
        step: StepId,
        /// The bytes of file contents so far.
        bytes: u64,
        /// All of them.
        total: u64,
    },
    /// A command wrote something: any bytes, cut anywhere.
    Output {
        /// Which step.
        step: StepId,
        /// To which of its outputs.
        stream: Output,
        /// What.
        bytes: &'a [u8],
    },
    /// A step ended well.
    Finished {
        /// Which.
        step: StepId,
        /// How.
        outcome: Outcome,
    },
    /// A step failed; [`crate::BuildError`] says why.
    Failed {
        /// Which.
        step: StepId,
        /// Its whole output, where it ran a command.
        log: Option<&'a Path>,
    },
    /// Something that is probably not meant.
    Warning {
        /// What.
        message: &'a str,
        /// Where, in the Dockerfile.
        span: Option<Span>,
    },
    /// Something that a check of the Dockerfile found.
    Check {
        /// What, and where.
        warning: &'a Warning,
    },
    /// A cache of others was read, or cannot be used.
    Import {
        /// What it is called.
        name: &'a str,
        /// How many records it has; `None` where there is no cache yet. An error is of all of it, or of one layer: the
        /// build goes on without.
        read: Result<Option<usize>, &'a ImportError>,
    },
    /// The image is written and made durable.
    Writing,
}
