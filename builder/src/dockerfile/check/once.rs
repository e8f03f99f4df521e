//! Instructions of which only the last of a stage counts.

use super::report::{Place, Report};
use super::rule::Rule;
use crate::dockerfile::{Command, Instruction};

pub(super) static MULTIPLE_INSTRUCTIONS_DISALLOWED: Rule = Rule::docker(
    "MultipleInstructionsDisallowed",
    "multiple-instructions-disallowed",
    "CMD, ENTRYPOINT or HEALTHCHECK more than once in a stage: only the last counts",
    "take out all but the last",
);

/// The last of each in a stage.
#[derive(Default)]
pub(super) struct Once<'a> {
    cmd: Option<&'a Instruction>,
    entrypoint: Option<&'a Instruction>,
    healthcheck: Option<&'a Instruction>,
}

impl<'a> Once<'a> {
    /// Tells of the one before, which the new one makes useless. As docker has it, the comments before the
    /// new one decide whether it is told.
    pub(super) fn check(&mut self, report: &mut Report<'a>, place: &Place, new: &'a Instruction) {
        let last = match &new.command {
            Command::Cmd(_) => &mut self.cmd,
            Command::Entrypoint(_) => &mut self.entrypoint,
            Command::Healthcheck(_) => &mut self.healthcheck,
            _ => return,
        };
        if let Some(old) = last.replace(new) {
            let name = new.command.name();
            let message = format!(
                "this {name} has no effect: line {} has another",
                new.span.line
            );
            let place = report.file(old.span).heeding(place);
            let rule = &MULTIPLE_INSTRUCTIONS_DISALLOWED;
            report.warn(&place, rule, old.span, message);
        }
    }
}
