//! Copies of what is not there.

use super::report::{Place, Report};
use super::rule::Rule;
use crate::dockerfile::ast::Copy;
use crate::ignore::Ignore;
use crate::lexical::clean;

pub(super) static COPY_IGNORED_FILE: Rule = Rule::docker(
    "CopyIgnoredFile",
    "copy-ignored-file",
    "COPY or ADD of a file that the ignore file leaves out of the context",
    "take it out of the ignore file, or do not copy it",
);

/// The sources are expanded. Where the ignore file has exceptions nothing is said: what is left out may
/// hold what is not.
pub(super) fn check(
    report: &mut Report<'_>,
    place: &Place,
    instruction: &str,
    copy: &Copy,
    ignore: &Ignore,
) {
    if copy.from.is_some() || ignore.is_empty() || ignore.has_exceptions() {
        return;
    }
    for word in copy.paths().filter(|word| !is_address(&word.text)) {
        let path = clean(&word.text);
        let left_out = match path.as_str() {
            // No path of the context, but all of it: nothing is left of it only where a pattern says so.
            "." | "/" => ignore.excludes_everything(),
            path => ignore.matches(path.as_bytes()).excluded,
        };
        if left_out {
            let message = format!("{instruction} of `{path}`, which the ignore file leaves out");
            report.warn(place, &COPY_IGNORED_FILE, word.span, message);
        }
    }
}

fn is_address(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"]
        .iter()
        .any(|scheme| source.starts_with(scheme))
}
