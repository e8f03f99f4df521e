//! Why a build failed.

use crate::dockerfile::{ParseError, Span};
use crate::plan::PlanError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile does not parse.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The Dockerfile cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl BuildError {
    /// Where in the Dockerfile, if it is one place.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Parse(error) => Some(error.span),
            Self::Plan(error) => error.span(),
            Self::Cancelled => None,
        }
    }

    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Parse(error) => error.hint.clone(),
            Self::Plan(error) => error.hint(),
            Self::Cancelled => None,
        }
    }
}
