//! Lines on which nothing stands in the middle of an instruction.

use super::report::Report;
use super::rule::Rule;

pub(super) static NO_EMPTY_CONTINUATION: Rule = Rule::docker(
    "NoEmptyContinuation",
    "no-empty-continuation",
    "An instruction goes on after an empty line",
    "take the line out, or put a comment on it: docker is going to refuse it",
);

pub(super) fn check(report: &mut Report<'_>) {
    for gap in &report.dockerfile.gaps {
        let place = report.line(gap.last_line);
        let message = "an empty line inside an instruction".to_owned();
        report.warn(&place, &NO_EMPTY_CONTINUATION, gap.span, message);
    }
}
