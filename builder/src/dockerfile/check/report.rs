//! Where the rules tell what they find.

use std::ops::RangeInclusive;

use image_format::nearest::{nearest, within};

use super::options::Chosen;
use super::rule::Rule;
use crate::dockerfile::ast::{Checks, Comment};
use crate::dockerfile::directive::checks;
use crate::dockerfile::{Dockerfile, Span};

/// After as many warnings no name is suggested any more.
const MOST_SUGGESTIONS: usize = 100;
/// As many names are looked through for the one that was meant.
const MOST_NAMES: usize = 500;

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which rule.
    pub rule: &'static Rule,
    /// What is wrong.
    pub message: String,
    /// What to do, where something better than the rule's own help is known.
    pub hint: Option<String>,
    /// The exact place.
    pub span: Span,
    /// The lines (from 1) that docker names: those of the whole instruction.
    pub lines: RangeInclusive<usize>,
}

impl Warning {
    /// What to do.
    #[must_use]
    pub fn help(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.rule.help)
    }
}

/// Where a rule looks: an instruction, and the options that hold for it.
pub(super) struct Place {
    pub(super) span: Span,
    lines: RangeInclusive<usize>,
    chosen: Chosen,
}

impl Place {
    /// The same place, with what is said of another one.
    pub(super) fn heeding(self, other: &Place) -> Self {
        Self {
            chosen: other.chosen,
            ..self
        }
    }
}

/// The warnings so far.
pub(super) struct Report<'a> {
    pub(super) dockerfile: &'a Dockerfile,
    chosen: Chosen,
    warnings: Vec<Warning>,
}

impl<'a> Report<'a> {
    pub(super) fn new(dockerfile: &'a Dockerfile, checks: &Checks) -> Self {
        Self {
            dockerfile,
            chosen: Chosen::new(checks),
            warnings: Vec::new(),
        }
    }

    /// An instruction for rules that heed the comments before it.
    pub(super) fn instruction(&self, span: Span) -> Place {
        let comments = self.dockerfile.comments_before(span.start);
        let said = comments.iter().find_map(Comment::check);
        // As docker has it, a comment that is not understood is a comment.
        let own = said.and_then(|value| checks(&value).ok());
        Place {
            chosen: match own {
                Some(own) => self.chosen.and(Chosen::new(&own)),
                None => self.chosen,
            },
            ..self.file(span)
        }
    }

    /// An instruction for rules about the whole file: a comment before one of its instructions says nothing
    /// to them.
    pub(super) fn file(&self, span: Span) -> Place {
        let last = self.dockerfile.source.position(span.end.saturating_sub(1));
        Place {
            span,
            lines: span.line..=last.line.max(span.line),
            chosen: self.chosen,
        }
    }

    /// A line of the file.
    pub(super) fn line(&self, line: usize) -> Place {
        Place {
            span: Span::default(),
            lines: line..=line,
            chosen: self.chosen,
        }
    }

    /// The name that was probably meant. Of a file with a crowd of names or of warnings nobody needs it, and it
    /// would take long.
    pub(super) fn nearest<'n>(
        &self,
        most: Option<usize>,
        name: &str,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Option<String> {
        if self.warnings.len() >= MOST_SUGGESTIONS {
            return None;
        }
        let names = names.into_iter().take(MOST_NAMES);
        match most {
            Some(most) => within(most, name, names),
            None => nearest(name, names),
        }
    }

    /// Tells something, unless the options of the place say that nobody wants to hear it.
    pub(super) fn warn(&mut self, place: &Place, rule: &'static Rule, span: Span, message: String) {
        self.warn_with_hint(place, rule, span, message, None);
    }

    /// The same with something better to do than what the rule says.
    pub(super) fn warn_with_hint(
        &mut self,
        place: &Place,
        rule: &'static Rule,
        span: Span,
        message: String,
        hint: Option<String>,
    ) {
        if place.chosen.follows(rule) {
            self.warnings.push(Warning {
                rule,
                message,
                hint,
                span,
                lines: place.lines.clone(),
            });
        }
    }

    /// All of them, in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Warning> {
        self.warnings
            .sort_by_key(|warning| (*warning.lines.start(), warning.span));
        self.warnings
    }
}
