//! Capitals and small letters.

use super::report::Report;
use super::rule::Rule;
use crate::dockerfile::{Span, Stage};

pub(super) static STAGE_NAME_CASING: Rule = Rule::docker(
    "StageNameCasing",
    "stage-name-casing",
    "The name of a stage has capitals in it",
    "write the name in lower case: that is how it is looked up",
);
pub(super) static FROM_AS_CASING: Rule = Rule::docker(
    "FromAsCasing",
    "from-as-casing",
    "FROM and AS are not written in the same case",
    "write both in capitals or both in small letters",
);
pub(super) static CONSISTENT_INSTRUCTION_CASING: Rule = Rule::docker(
    "ConsistentInstructionCasing",
    "consistent-instruction-casing",
    "An instruction is not in the case that most of the file has",
    "write all instructions in the same case",
);

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

/// The words of one `FROM`.
pub(super) fn check_stage(report: &mut Report<'_>, stage: &Stage) {
    let Some(name) = &stage.name else {
        return;
    };
    let place = report.instruction(stage.span);
    let source = &report.dockerfile.source;
    let written = source.slice(name.span);
    if !is_lower(written) {
        let message = format!("the stage name `{written}` has capitals");
        let hint = Some(format!("write `{}`", name.text));
        report.warn_with_hint(&place, &STAGE_NAME_CASING, name.span, message, hint);
    }
    let from = source.slice(stage.keyword);
    let Some(span) = stage.as_keyword(source) else {
        return;
    };
    let word = source.slice(span);
    // A FROM of mixed case is another rule's.
    let (differs, wanted) = match (is_lower(from), is_upper(from)) {
        (true, _) => (!is_lower(word), "as"),
        (_, true) => (!is_upper(word), "AS"),
        _ => return,
    };
    if differs {
        let message = format!("`{word}` is not in the case of `{from}`");
        let hint = Some(format!("write `{wanted}`"));
        report.warn_with_hint(&place, &FROM_AS_CASING, span, message, hint);
    }
}

/// The instructions of all stages; those before the first `FROM` do not count.
pub(super) fn check(report: &mut Report<'_>) {
    let dockerfile = report.dockerfile;
    let keywords: Vec<(Span, Span)> = dockerfile
        .stages
        .iter()
        .flat_map(|stage| {
            let inside = stage.instructions.iter().map(|one| (one.span, one.keyword));
            std::iter::once((stage.span, stage.keyword)).chain(inside)
        })
        .collect();
    let written = |keyword: Span| dockerfile.source.slice(keyword);
    let count = |is: fn(&str) -> bool| {
        keywords
            .iter()
            .filter(|(_, word)| is(written(*word)))
            .count()
    };
    let mostly_lower = count(is_lower) > count(is_upper);
    for (span, keyword) in keywords {
        let word = written(keyword);
        let (fits, wanted, case) = match mostly_lower {
            true => (is_lower(word), word.to_lowercase(), "small letters"),
            false => (is_upper(word), word.to_uppercase(), "capitals"),
        };
        if !fits {
            let message = format!("`{word}`, where most instructions are in {case}");
            let hint = Some(format!("write `{wanted}`"));
            let place = report.file(span);
            let rule = &CONSISTENT_INSTRUCTION_CASING;
            report.warn_with_hint(&place, rule, keyword, message, hint);
        }
    }
}
