//! What a Dockerfile says and probably should not: docker's checks by their names, and a few of mkimg's own.
//!
//! The conditions are those of docker's own front end (BuildKit, `frontend/dockerfile/linter`); the words are
//! not. Rules about the text alone need nothing but the text, up to its first mistake. Rules about what a
//! stage does follow its variables as the build would.

mod casing;
mod closure;
mod command_form;
mod continuation;
mod description;
mod expose;
mod from;
mod ignored;
mod key_value;
mod maintainer;
mod noted;
mod once;
mod options;
mod platform;
mod report;
mod rule;
mod scope;
mod secrets;
mod stage;
mod stage_name;
mod unknown;
mod variables;
mod workdir;

pub use report::Warning;
pub use rule::Rule;
pub use stage::Surroundings;

use report::Report;

use super::ast::Checks;
use super::{Dockerfile, ParseError};
use crate::plan::Globals;

/// All rules: docker's, and after them mkimg's own.
pub const RULES: [&Rule; 27] = [
    &casing::CONSISTENT_INSTRUCTION_CASING,
    &ignored::COPY_IGNORED_FILE,
    &stage_name::DUPLICATE_STAGE_NAME,
    &expose::EXPOSE_INVALID_FORMAT,
    &expose::EXPOSE_PROTO_CASING,
    &casing::FROM_AS_CASING,
    &from::FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    &platform::INVALID_BASE_IMAGE_PLATFORM,
    &from::INVALID_DEFAULT_ARG_IN_FROM,
    &description::INVALID_DEFINITION_DESCRIPTION,
    &command_form::JSON_ARGS_RECOMMENDED,
    &key_value::LEGACY_KEY_VALUE_FORMAT,
    &maintainer::MAINTAINER_DEPRECATED,
    &once::MULTIPLE_INSTRUCTIONS_DISALLOWED,
    &continuation::NO_EMPTY_CONTINUATION,
    &from::REDUNDANT_TARGET_PLATFORM,
    &stage_name::RESERVED_STAGE_NAME,
    &secrets::SECRETS_USED_IN_ARG_OR_ENV,
    &casing::STAGE_NAME_CASING,
    &from::UNDEFINED_ARG_IN_FROM,
    &variables::UNDEFINED_VAR,
    &workdir::WORKDIR_RELATIVE_PATH,
    &closure::COPY_CLOSURE_EXTENSION,
    &command_form::NEARLY_JSON,
    &noted::FAILING_TRIGGER,
    &unknown::UNKNOWN_CHECK,
    &noted::UNUSED_HEREDOC,
];

/// Checks what needs the text alone. `dockerfile` may end at a mistake ([`super::parse_as_far`]).
#[must_use]
pub fn text(dockerfile: &Dockerfile, checks: &Checks) -> Vec<Warning> {
    let mut report = Report::new(dockerfile, checks);
    continuation::check(&mut report);
    noted::check(&mut report);
    unknown::check(&mut report);
    for instruction in &dockerfile.global_args {
        description::check(&mut report, instruction);
    }
    for stage in &dockerfile.stages {
        casing::check_stage(&mut report, stage);
        description::check_stage(&mut report, stage);
        for instruction in &stage.instructions {
            maintainer::check(&mut report, instruction);
            description::check(&mut report, instruction);
        }
    }
    report.finish()
}

/// Checks the stages among each other and what they stand on, in a Dockerfile without mistakes. `defaults` are
/// the arguments as they are where nobody gives any.
#[must_use]
pub fn stages(
    dockerfile: &Dockerfile,
    checks: &Checks,
    globals: &Globals,
    defaults: Option<&Globals>,
) -> Vec<Warning> {
    let mut report = Report::new(dockerfile, checks);
    stage_name::check(&mut report);
    casing::check(&mut report);
    if let Some(defaults) = defaults {
        from::check_defaults(&mut report, defaults);
    }
    from::check(&mut report, globals);
    report.finish()
}

/// Checks what the instructions of stages do: of those stages whose numbers are `wanted`. The error is the
/// first word that does not expand; nothing after it is checked.
pub fn instructions(
    dockerfile: &Dockerfile,
    checks: &Checks,
    surroundings: &Surroundings<'_>,
    wanted: &dyn Fn(usize) -> bool,
) -> (Vec<Warning>, Option<ParseError>) {
    let mut report = Report::new(dockerfile, checks);
    let error = stage::check(&mut report, surroundings, wanted).err();
    (report.finish(), error)
}
