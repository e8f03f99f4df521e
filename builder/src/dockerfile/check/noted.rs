//! What the parser alone sees, and docker says nothing of.

use super::command_form::NEARLY_JSON;
use super::report::Report;
use super::rule::Rule;
use crate::dockerfile::Command;
use crate::dockerfile::ast::WarningKind;

pub(super) static UNUSED_HEREDOC: Rule = Rule::own(
    "UnusedHeredoc",
    "A heredoc is read and nothing uses it, so that its `<<` and name are files of the context",
    "write the name right after the <<",
);
pub(super) static FAILING_TRIGGER: Rule = Rule::own(
    "FailingTrigger",
    "ONBUILD keeps what no image can be built with",
    "mend the instruction after ONBUILD",
);

pub(super) fn check(report: &mut Report<'_>) {
    for warning in &report.dockerfile.warnings {
        let instruction = report.dockerfile.instruction_at(warning.span.start);
        let rule = match warning.kind {
            WarningKind::HeredocUnused => &UNUSED_HEREDOC,
            WarningKind::BadTrigger => &FAILING_TRIGGER,
            WarningKind::NotQuiteJson => match instruction.map(|one| &one.command) {
                // Whether a shell is wanted there is seen on the way through the stages.
                Some(Command::Cmd(_) | Command::Entrypoint(_)) => continue,
                _ => &NEARLY_JSON,
            },
            WarningKind::EmptyContinuation { .. } | WarningKind::Maintainer => continue,
        };
        let place = report.instruction(instruction.map_or(warning.span, |one| one.span));
        report.warn(&place, rule, warning.span, warning.kind.to_string());
    }
}
