//! `WORKDIR` relative to what nobody here decides.

use super::report::{Place, Report};
use super::rule::Rule;
use super::scope::Scope;
use crate::dockerfile::Word;

pub(super) static WORKDIR_RELATIVE_PATH: Rule = Rule::docker(
    "WorkdirRelativePath",
    "workdir-relative-path",
    "A relative WORKDIR with no absolute one before it depends on the base image",
    "begin it with /",
);

/// `written` is as in the file, `path` expanded. Only the first of a stage and those below it counts: the
/// others stand on it.
pub(super) fn check(
    report: &mut Report<'_>,
    place: &Place,
    scope: &mut Scope,
    written: &Word,
    path: &str,
) {
    if !scope.workdir && !path.starts_with('/') {
        let message = format!("the working directory `{path}` depends on that of the base image");
        report.warn(place, &WORKDIR_RELATIVE_PATH, written.span, message);
    }
    scope.workdir = true;
}
