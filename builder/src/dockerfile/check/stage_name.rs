//! Names of stages.

use std::collections::BTreeMap;

use super::report::Report;
use super::rule::Rule;

pub(super) static DUPLICATE_STAGE_NAME: Rule = Rule::docker(
    "DuplicateStageName",
    "duplicate-stage-name",
    "Two stages have the same name",
    "give each stage a name of its own: the later one hides the earlier",
);
pub(super) static RESERVED_STAGE_NAME: Rule = Rule::docker(
    "ReservedStageName",
    "reserved-stage-name",
    "A stage is named like something that means something else",
    "choose another name than `scratch` and `context`",
);

pub(super) fn check(report: &mut Report<'_>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let named = |stage| {
        let stage: &crate::dockerfile::Stage = stage;
        stage.name.as_ref().map(|name| (stage.span, name))
    };
    for (span, name) in report.dockerfile.stages.iter().filter_map(named) {
        let place = report.file(span);
        if matches!(name.text.as_str(), "scratch" | "context") {
            let message = format!("the stage name `{}` has a meaning already", name.text);
            report.warn(&place, &RESERVED_STAGE_NAME, name.span, message);
        }
        if let Some(line) = seen.insert(&name.text, span.line) {
            let message = format!("the stage of line {line} is named `{}` too", name.text);
            report.warn(&place, &DUPLICATE_STAGE_NAME, name.span, message);
        }
    }
}
