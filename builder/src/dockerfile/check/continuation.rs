//! Lines on which nothing stands in the middle of an instruction.

use super::report::Report;
use super::rule::Rule;
use crate::dockerfile::ast::WarningKind;

pub(super) static NO_EMPTY_CONTINUATION: Rule = Rule::docker(
    "NoEmptyContinuation",
    "no-empty-continuation",
    "An instruction goes on after an empty line",
    "take the line out, or put a comment on it: docker is going to refuse it",
);

pub(super) fn check(report: &mut Report<'_>) {
    for warning in &report.dockerfile.warnings {
        if let WarningKind::EmptyContinuation { last_line } = warning.kind {
            let place = report.line(last_line);
            let message = warning.kind.to_string();
            report.warn(&place, &NO_EMPTY_CONTINUATION, warning.span, message);
        }
    }
}
