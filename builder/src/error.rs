//! Why a build failed.

use std::path::Path;

use image_format::layout::StoreError;
use image_format::reference::Reference;

use crate::cache::CacheError;
use crate::context::ContextError;
use crate::dockerfile::{ParseError, Span, Stage};
use crate::leak::LeakError;
use crate::plan::PlanError;
use crate::remote::RemoteError;
use crate::step::{CopyError, RunError};

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile does not parse, or a word in it does not expand.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The Dockerfile cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// `BUILDKIT_DOCKERFILE_CHECK` is malformed.
    #[error("the build argument BUILDKIT_DOCKERFILE_CHECK is {value:?}")]
    CheckArgument {
        /// Its value.
        value: String,
        /// What is wrong with it.
        source: Box<ParseError>,
    },
    /// The Dockerfile makes warnings errors, and there are some.
    #[error("{warnings} warnings are errors here: {}", rules.join(", "))]
    Checks {
        /// How many.
        warnings: usize,
        /// The rules that they are of.
        rules: Vec<&'static str>,
    },
    /// The store has no such image.
    #[error("there is no image {name:?} in the store")]
    NoBase {
        /// The image.
        name: String,
        /// The name in the store that is nearest to it.
        nearest: Option<String>,
        /// Where it is named.
        span: Span,
    },
    /// An image that a stage needs cannot be had from its registry.
    #[error("{source}")]
    Pull {
        /// The name in the store that is nearest to it, where the store has no such image.
        nearest: Option<String>,
        /// Where it is named.
        span: Span,
        /// Why.
        source: Box<RemoteError>,
    },
    /// An image that a stage needs cannot be used.
    #[error("cannot use the image {name:?}")]
    Base {
        /// The image.
        name: String,
        /// Where it is named.
        span: Span,
        /// Why.
        source: Box<StoreError>,
    },
    /// The image of this name is there, and for other machines than `FROM --platform` says.
    #[error("the image {name:?} is for {there}, and {wanted} is asked for")]
    Platform {
        /// The image.
        name: String,
        /// What `FROM` asks for.
        wanted: String,
        /// What the store has.
        there: String,
        /// Where it is named.
        span: Span,
    },
    /// A trigger that the base brings failed.
    #[error("the base {of:?} brings a trigger that failed: ONBUILD {trigger}")]
    Trigger {
        /// The trigger.
        trigger: String,
        /// The image or stage that brings it.
        of: String,
        /// The `FROM`.
        span: Span,
        /// Why.
        source: Box<BuildError>,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH is {value:?}, and not a number of seconds since 1970")]
    Epoch {
        /// Its value.
        value: String,
    },
    /// The build context cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A `COPY`, or the making of a working directory, failed.
    #[error("{instruction} failed")]
    Copy {
        /// Its name.
        instruction: &'static str,
        /// Where it is written.
        span: Span,
        /// Why.
        source: Box<CopyError>,
    },
    /// A `RUN` failed.
    #[error("RUN failed")]
    Run {
        /// Where it is written.
        span: Span,
        /// Why.
        source: RunError,
    },
    /// The value of a secret is in what was built, or it could not be searched for one.
    #[error("{}", if span.is_some() { "a layer was refused" } else { "the image was refused" })]
    Leak {
        /// The instruction that made the layer.
        span: Option<Span>,
        /// What is where.
        source: LeakError,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl BuildError {
    /// A copy's error at the instruction `span`.
    pub(crate) fn copy(instruction: &'static str, span: Span, source: CopyError) -> Self {
        match source {
            CopyError::Cancelled => Self::Cancelled,
            source => Self::Copy {
                instruction,
                span,
                source: Box::new(source),
            },
        }
    }

    /// The error of a trigger that the base of this stage brings.
    pub(crate) fn in_trigger(self, trigger: &str, stage: &Stage) -> Self {
        match self {
            Self::Cancelled => Self::Cancelled,
            error => Self::Trigger {
                trigger: trigger.to_owned(),
                of: stage.base.text.clone(),
                span: stage.span,
                source: Box::new(error),
            },
        }
    }

    /// What was named at `span` could not be fetched.
    pub(crate) fn pull(span: Span, source: RemoteError) -> Self {
        match source {
            RemoteError::Cancelled => Self::Cancelled,
            source => Self::Pull {
                nearest: None,
                span,
                source: Box::new(source),
            },
        }
    }

    /// A command's error at the instruction `span`.
    pub(crate) fn run(span: Span, source: RunError) -> Self {
        match source {
            RunError::Cancelled => Self::Cancelled,
            source => Self::Run { span, source },
        }
    }

    /// Where in the Dockerfile, if it is one place.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            // what a build argument says stands nowhere in the file
            Self::Parse(error) => Some(error.span).filter(|span| span.line > 0),
            Self::Plan(error) => error.span(),
            Self::NoBase { span, .. }
            | Self::Pull { span, .. }
            | Self::Base { span, .. }
            | Self::Platform { span, .. }
            | Self::Trigger { span, .. } => Some(*span),
            Self::Run { span, source } => source.span().or(Some(*span)),
            Self::Copy { span, source, .. } => source.span().or(Some(*span)),
            Self::Leak { span, .. } => *span,
            Self::CheckArgument { .. }
            | Self::Checks { .. }
            | Self::Epoch { .. }
            | Self::Context(_)
            | Self::Cache(_)
            | Self::Store(_)
            | Self::Cancelled => None,
        }
    }

    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Parse(error) => error.hint.clone(),
            Self::Plan(error) => error.hint(),
            Self::NoBase {
                nearest: Some(name),
                ..
            } => Some(format!("did you mean {name:?}?")),
            Self::NoBase { name, .. } => Some(match name.parse::<Reference>() {
                Err(wrong) => format!("no image can have this name: {wrong}"),
                Ok(_) => {
                    "nothing is pulled in this build; `mkimg images` lists those that are there"
                        .to_owned()
                }
            }),
            Self::Pull {
                nearest: Some(name),
                ..
            } => Some(format!("did you mean {name:?}, which is in the store?")),
            Self::Pull { source, .. } => source.hint(),
            Self::Platform { name, wanted, .. } => Some(format!(
                "bring in {name:?} for {wanted}, or leave --platform out"
            )),
            Self::Trigger { source, .. } => source.hint(),
            Self::CheckArgument { source, .. } => source.hint.clone(),
            Self::Checks { .. } => Some(
                "`error=true` of `# check` makes them so: mend them, or skip them by skip=RULE"
                    .into(),
            ),
            Self::Context(error) => error.hint(),
            Self::Copy { source, .. } => source.hint(),
            Self::Leak { source, .. } => source.hint(),
            Self::Run { source, .. } => source.hint(),
            Self::Base { .. }
            | Self::Epoch { .. }
            | Self::Cache(_)
            | Self::Store(_)
            | Self::Cancelled => None,
        }
    }

    /// The file that has the whole output of the command that failed.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        match self {
            Self::Run {
                source: RunError::Exit { log, .. },
                ..
            } => log.as_deref(),
            Self::Trigger { source, .. } => source.log(),
            _ => None,
        }
    }

    /// The last lines of the output of the command that failed; any text, control characters
    /// included.
    #[must_use]
    pub fn last_lines(&self) -> &[String] {
        match self {
            Self::Run {
                source: RunError::Exit { last_lines, .. },
                ..
            } => last_lines,
            Self::Trigger { source, .. } => source.last_lines(),
            _ => &[],
        }
    }
}
