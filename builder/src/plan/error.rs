//! Why a Dockerfile cannot be planned.

use crate::dockerfile::{ParseError, Span};

/// Why a Dockerfile cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A word cannot be expanded.
    #[error(transparent)]
    Word(#[from] ParseError),
    /// The variables of `FROM` left nothing.
    #[error("the base {written:?} is empty: its variables have no value")]
    EmptyBase {
        /// As it is written.
        written: String,
        /// Where.
        span: Span,
    },
    /// The variables of `FROM --platform` left nothing.
    #[error("the platform {written:?} is empty: its variables have no value")]
    EmptyPlatform {
        /// As it is written.
        written: String,
        /// Where.
        span: Span,
    },
    /// `FROM --platform` with no platform.
    #[error("{platform:?} is not a platform")]
    BadPlatform {
        /// As it is written, expanded.
        platform: String,
        /// Where.
        span: Span,
    },
    /// A trigger that the base brings cannot be planned.
    #[error("the base {of:?} brings a trigger that cannot be followed: ONBUILD {trigger}")]
    Trigger {
        /// The trigger.
        trigger: String,
        /// The image or stage that brings it.
        of: String,
        /// The `FROM`.
        span: Span,
        /// Why.
        source: Box<PlanError>,
    },
    /// No stage is named like the target.
    #[error("the Dockerfile has no stage {name:?}")]
    NoTarget {
        /// The target.
        name: String,
        /// The stage that was probably meant.
        nearest: Option<String>,
        /// All names, for want of a near one.
        stages: Vec<String>,
    },
    /// `COPY --from` with the number of no stage.
    #[error("there is no stage {number}: the Dockerfile has {stages}")]
    NoStage {
        /// The number.
        number: usize,
        /// How many there are.
        stages: usize,
        /// Where.
        span: Span,
    },
    /// `FROM` with a stage in other case than it has.
    #[error("there is no image {name:?}, and the stage is not called so")]
    StageInCapitals {
        /// As it is written, expanded.
        name: String,
        /// Where.
        span: Span,
    },
    /// `COPY --from` its own stage, or one below it.
    #[error("cannot copy from the stage {name:?}: only from stages above this one")]
    NotYetBuilt {
        /// The name or number.
        name: String,
        /// Where.
        span: Span,
    },
}

impl PlanError {
    /// Where in the Dockerfile.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Word(error) => Some(error.span),
            Self::EmptyBase { span, .. }
            | Self::EmptyPlatform { span, .. }
            | Self::BadPlatform { span, .. }
            | Self::Trigger { span, .. }
            | Self::NoStage { span, .. }
            | Self::StageInCapitals { span, .. }
            | Self::NotYetBuilt { span, .. } => Some(*span),
            Self::NoTarget { .. } => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Word(error) => error.hint.clone(),
            Self::Trigger { source, .. } => source.hint(),
            Self::BadPlatform { .. } => {
                Some("write system/architecture, as in linux/arm64 or linux/arm/v7".to_owned())
            }
            Self::EmptyBase { .. } | Self::EmptyPlatform { .. } => {
                Some("declare it before FROM with ARG, or give it with --build-arg".to_owned())
            }
            Self::NoTarget {
                nearest: Some(name),
                ..
            } => Some(format!("did you mean {name:?}?")),
            Self::NoTarget { stages, .. } if stages.is_empty() => Some(
                "no stage has a name; give its number, from 0, or a name with FROM … AS".to_owned(),
            ),
            Self::NoTarget { stages, .. } => Some(format!("there are: {}", stages.join(", "))),
            Self::NoStage { stages, .. } => Some(format!(
                "stages are numbered from 0 to {}",
                stages.saturating_sub(1)
            )),
            Self::StageInCapitals { name, .. } => Some(format!(
                "the names of stages are in lower case, however AS writes them: FROM {}",
                name.to_lowercase()
            )),
            Self::NotYetBuilt { .. } => {
                Some("move that stage above this one in the Dockerfile".to_owned())
            }
        }
    }
}
