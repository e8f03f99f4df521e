//! Where the rules tell what they find.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::rule::Rule;
use crate::dockerfile::ast::{Checks, Comment};
use crate::dockerfile::directive::checks;
use crate::dockerfile::{Dockerfile, Span};

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
pub(super) struct Place<'a> {
    pub(super) span: Span,
    lines: RangeInclusive<usize>,
    checks: Cow<'a, Checks>,
}

impl<'a> Place<'a> {
    /// The same place, with what is said of another one.
    pub(super) fn heeding(self, other: &Place<'a>) -> Self {
        Self {
            checks: other.checks.clone(),
            ..self
        }
    }
}

/// The warnings so far.
pub(super) struct Report<'a> {
    pub(super) dockerfile: &'a Dockerfile,
    checks: &'a Checks,
    warnings: Vec<Warning>,
}

impl<'a> Report<'a> {
    pub(super) fn new(dockerfile: &'a Dockerfile, checks: &'a Checks) -> Self {
        Self {
            dockerfile,
            checks,
            warnings: Vec::new(),
        }
    }

    /// An instruction for rules that heed the comments before it.
    pub(super) fn instruction(&self, span: Span) -> Place<'a> {
        let comments = self.dockerfile.comments_before(span.start);
        let said = comments.iter().find_map(Comment::check);
        // As docker has it, a comment that is not understood is a comment.
        let own = said.and_then(|value| checks(&value).ok());
        Place {
            checks: match own {
                Some(own) => Cow::Owned(self.checks.and(&own)),
                None => Cow::Borrowed(self.checks),
            },
            ..self.file(span)
        }
    }

    /// An instruction for rules about the whole file: a comment before one of its instructions says nothing
    /// to them.
    pub(super) fn file(&self, span: Span) -> Place<'a> {
        let last = self.dockerfile.source.position(span.end.saturating_sub(1));
        Place {
            span,
            lines: span.line..=last.line.max(span.line),
            checks: Cow::Borrowed(self.checks),
        }
    }

    /// A line of the file.
    pub(super) fn line(&self, line: usize) -> Place<'a> {
        Place {
            span: Span::default(),
            lines: line..=line,
            checks: Cow::Borrowed(self.checks),
        }
    }

    /// Tells something, unless the options of the place say that nobody wants to hear it.
    pub(super) fn warn(
        &mut self,
        place: &Place<'_>,
        rule: &'static Rule,
        span: Span,
        message: String,
    ) {
        self.warn_with_hint(place, rule, span, message, None);
    }

    /// The same with something better to do than what the rule says.
    pub(super) fn warn_with_hint(
        &mut self,
        place: &Place<'_>,
        rule: &'static Rule,
        span: Span,
        message: String,
        hint: Option<String>,
    ) {
        if place.checks.follow(rule) {
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
