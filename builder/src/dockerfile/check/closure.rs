//! mkimg's extensions of the language.

use super::report::{Place, Report};
use super::rule::Rule;
use crate::dockerfile::ast::Copy;

pub(super) static COPY_CLOSURE_EXTENSION: Rule = Rule::own(
    "CopyClosureExtension",
    "COPY --closure is mkimg's own: no other builder reads the file",
    "skip this check by `# check=skip=CopyClosureExtension` if mkimg alone builds it",
);

pub(super) fn check(report: &mut Report<'_>, place: &Place, copy: &Copy) {
    if copy.closure {
        let message = "`--closure` is understood by mkimg alone".to_owned();
        report.warn(place, &COPY_CLOSURE_EXTENSION, place.span, message);
    }
}
