//! Build arguments that no `ARG` declares: some say how to build.

use std::collections::BTreeMap;

use super::check::CHECKS;
use crate::dockerfile::{Command, Dockerfile, ParseError, Span, Word, directive};
use crate::progress::{Event, Progress};
use crate::step::run::PlannedRun;

/// The front end, as `# syntax` names it.
const SYNTAX: &str = "BUILDKIT_SYNTAX";
/// What all arguments for docker's builder itself begin with.
const BUILDER: &str = "BUILDKIT_";

/// Checks that the front end which is asked for is the one that this is.
pub(super) fn check(arguments: &BTreeMap<String, String>) -> Result<(), ParseError> {
    match arguments.get(SYNTAX) {
        Some(syntax) if !syntax.is_empty() => directive::known_syntax(&Word {
            text: syntax.clone(),
            span: Span::default(),
        }),
        _ => Ok(()),
    }
}

/// Tells of those that say nothing here.
pub(super) fn warn(
    arguments: &BTreeMap<String, String>,
    dockerfile: &Dockerfile,
    progress: &dyn Progress,
) {
    let stages = dockerfile.stages.iter().flat_map(|s| &s.instructions);
    let all = dockerfile.global_args.iter().chain(stages);
    let declared = |name: &str| {
        all.clone().any(|instruction| match &instruction.command {
            Command::Arg(declarations) => declarations.iter().any(|one| one.name.text == name),
            _ => false,
        })
    };
    for name in arguments.keys() {
        let followed = [SYNTAX, CHECKS].contains(&name.as_str());
        if followed || PlannedRun::is_predefined(name) || declared(name) {
            continue;
        }
        let message = match name.starts_with(BUILDER) {
            true => format!("the build argument {name:?} is docker's own, and says nothing here"),
            false => {
                format!("the build argument {name:?} is used nowhere: no ARG declares it")
            }
        };
        progress.event(Event::Warning {
            message: &message,
            span: None,
        });
    }
}
