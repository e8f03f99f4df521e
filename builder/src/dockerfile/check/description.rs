//! Comments that describe a stage or an argument.

use super::report::Report;
use super::rule::Rule;
use crate::dockerfile::{Command, Instruction, Span, Stage};

pub(super) static INVALID_DEFINITION_DESCRIPTION: Rule = Rule::docker(
    "InvalidDefinitionDescription",
    "invalid-definition-description",
    "The comment right before a stage or an argument does not begin with its name",
    "write `# NAME description`, or `#` alone on a line between if it describes something else",
)
.experimental();

pub(super) fn check_stage(report: &mut Report<'_>, stage: &Stage) {
    if let Some(name) = &stage.name {
        describes(report, stage.span, &[&name.text]);
    }
}

pub(super) fn check(report: &mut Report<'_>, instruction: &Instruction) {
    if let Command::Arg(declarations) = &instruction.command {
        let names = declarations.iter().map(|one| one.name.text.as_str());
        describes(report, instruction.span, &names.collect::<Vec<_>>());
    }
}

/// The comment that stands last before the instruction has to begin with one of the names.
fn describes(report: &mut Report<'_>, instruction: Span, names: &[&str]) {
    let comments = report.dockerfile.comments_before(instruction.start);
    let Some(comment) = comments.last() else {
        return;
    };
    let first = comment.text.split(' ').next().unwrap_or_default();
    if names.contains(&first) {
        return;
    }
    let place = report.instruction(instruction);
    let message = match names {
        [name] => format!("the comment before `{name}` does not begin with that name"),
        _ => format!(
            "the comment begins with none of the names {}",
            names.join(", ")
        ),
    };
    let rule = &INVALID_DEFINITION_DESCRIPTION;
    report.warn(&place, rule, comment.span, message);
}
