//! `ENV name value`.

use super::report::{Place, Report};
use super::rule::Rule;
use crate::dockerfile::ast::Pair;

pub(super) static LEGACY_KEY_VALUE_FORMAT: Rule = Rule::docker(
    "LegacyKeyValueFormat",
    "legacy-key-value-format",
    "ENV or LABEL without `=` between name and value",
    "write name=value, with quotes around a value that has spaces",
);

pub(super) fn check(report: &mut Report<'_>, place: &Place, instruction: &str, pairs: &[Pair]) {
    let source = &report.dockerfile.source;
    for Pair { name, value } in pairs {
        // Those of a trigger have no place of their own.
        let between = source.text().get(name.span.end..value.span.start);
        if between.is_some_and(|between| !between.contains('=')) {
            let message = format!("`{instruction} {}` has its value after a space", name.text);
            let span = name.span.to(value.span);
            report.warn(place, &LEGACY_KEY_VALUE_FORMAT, span, message);
        }
    }
}
