//! Checks that are named and do not exist: whoever skips one is still warned, and wonders.

use super::RULES;
use super::options;
use super::report::Report;
use super::rule::Rule;
use crate::dockerfile::directive::checks;

pub(super) static UNKNOWN_CHECK: Rule = Rule::own(
    "UnknownCheck",
    "A check that is skipped or asked for does not exist",
    "the README lists the checks there are",
);

pub(super) fn check(report: &mut Report<'_>) {
    let dockerfile = report.dockerfile;
    let own = dockerfile
        .checks
        .span
        .map(|span| (span, dockerfile.checks.clone()));
    let comments = dockerfile.comments.iter();
    let comments = comments.filter_map(|comment| {
        let said = checks(&comment.check()?).ok()?;
        Some((comment.span, said))
    });
    for (span, said) in own.into_iter().chain(comments) {
        let place = report.file(span);
        for name in options::names(&said) {
            let names = || RULES.iter().map(|rule| rule.name);
            if !names().any(|known| known == name) {
                let message = format!("there is no check `{name}`");
                let hint = report
                    .nearest(None, name, names())
                    .map(|near| format!("did you mean `{near}`?"));
                report.warn_with_hint(&place, &UNKNOWN_CHECK, span, message, hint);
            }
        }
    }
}
