//! `MAINTAINER`

use super::report::Report;
use super::rule::Rule;
use crate::dockerfile::{Command, Instruction};

pub(super) static MAINTAINER_DEPRECATED: Rule = Rule::docker(
    "MaintainerDeprecated",
    "maintainer-deprecated",
    "MAINTAINER, where a label says it better",
    "write LABEL org.opencontainers.image.authors=\"…\"",
);

pub(super) fn check(report: &mut Report<'_>, instruction: &Instruction) {
    if let Command::Maintainer(_) = &instruction.command {
        let place = report.instruction(instruction.span);
        let message = "MAINTAINER is deprecated".to_owned();
        report.warn(&place, &MAINTAINER_DEPRECATED, instruction.keyword, message);
    }
}
