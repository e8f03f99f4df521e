//! What `FROM` names.

use image_format::reference::Reference;

use super::report::{Place, Report};
use super::rule::Rule;
use super::variables::variable;
use crate::dockerfile::expand::Asked;
use crate::dockerfile::{Command, Dockerfile, Stage, Word};
use crate::plan::{Globals, parse_platform};

pub(super) static UNDEFINED_ARG_IN_FROM: Rule = Rule::docker(
    "UndefinedArgInFrom",
    "undefined-arg-in-from",
    "FROM uses an argument that no ARG before the first FROM declares",
    "declare it by ARG before the first FROM",
);
pub(super) static INVALID_DEFAULT_ARG_IN_FROM: Rule = Rule::docker(
    "InvalidDefaultArgInFrom",
    "invalid-default-arg-in-from",
    "The base is no image's name where nobody gives build arguments",
    "give the ARG a default that makes a name of it",
);
pub(super) static REDUNDANT_TARGET_PLATFORM: Rule = Rule::docker(
    "RedundantTargetPlatform",
    "redundant-target-platform",
    "FROM asks for the target platform, which it has anyway",
    "leave --platform out",
);
pub(super) static FROM_PLATFORM_FLAG_CONST_DISALLOWED: Rule = Rule::docker(
    "FromPlatformFlagConstDisallowed",
    "from-platform-flag-const-disallowed",
    "FROM is for one platform, whatever is built for",
    "leave --platform out, use $BUILDPLATFORM or an ARG, or name the stage after the platform",
);

/// Checks each `FROM` with the arguments of this build; up to the first that does not expand.
pub(super) fn check(report: &mut Report<'_>, globals: &Globals) {
    for stage in &report.dockerfile.stages {
        let place = report.instruction(stage.span);
        if asked(report, &place, globals, &stage.base).is_none() {
            return;
        }
        let Some(word) = &stage.platform else {
            continue;
        };
        let Some((value, asked)) = asked(report, &place, globals, word) else {
            return;
        };
        if asked.unset.is_empty()
            && asked.set.iter().eq(["TARGETPLATFORM"])
            && globals.get("TARGETPLATFORM") == Some(&value)
        {
            let message = format!("`{}` is what FROM takes anyway", word.text);
            report.warn(&place, &REDUNDANT_TARGET_PLATFORM, word.span, message);
        }
        if asked.unset.is_empty() && asked.set.is_empty() && !names_platform(stage, &value) {
            let message = format!("this stage is for `{value}`, whatever is built for");
            let rule = &FROM_PLATFORM_FLAG_CONST_DISALLOWED;
            report.warn(&place, rule, word.span, message);
        }
    }
}

/// Checks the bases as they are with the defaults of arguments.
pub(super) fn check_defaults(report: &mut Report<'_>, defaults: &Globals) {
    let dockerfile = report.dockerfile;
    for stage in &dockerfile.stages {
        let Ok(base) = defaults.expand(&stage.base, dockerfile.escape) else {
            return;
        };
        if base.parse::<Reference>().is_err() {
            let place = report.file(stage.span);
            let message = match base.as_str() {
                "" => format!("`{}` is empty without build arguments", stage.base.text),
                _ => {
                    format!("`{base}` is no image's name, and what this is without build arguments")
                }
            };
            report.warn(
                &place,
                &INVALID_DEFAULT_ARG_IN_FROM,
                stage.base.span,
                message,
            );
        }
    }
}

/// A word expanded; its variables that nothing declares are told of.
fn asked(
    report: &mut Report<'_>,
    place: &Place,
    globals: &Globals,
    word: &Word,
) -> Option<(String, Asked)> {
    let dockerfile = report.dockerfile;
    let mut asked = Asked::default();
    let lookup = |name: &str| globals.get(name).map(ToOwned::to_owned);
    let expanded = word.expand(dockerfile.escape, &lookup, &mut asked);
    for name in &asked.unset {
        let known = || declared(dockerfile).chain(globals.names());
        if known().any(|known| known == name) {
            continue;
        }
        let message = format!("no ARG before the first FROM declares `{name}`");
        let hint = report
            .nearest(None, name, known())
            .map(|near| format!("did you mean `{near}`?"));
        let span = variable(word, name);
        report.warn_with_hint(place, &UNDEFINED_ARG_IN_FROM, span, message, hint);
    }
    Some((expanded.ok()?.text, asked))
}

/// The names that `ARG`s before the first `FROM` declare, with a value or not.
fn declared(dockerfile: &Dockerfile) -> impl Iterator<Item = &str> {
    dockerfile.global_args.iter().flat_map(|instruction| {
        let declarations = match &instruction.command {
            Command::Arg(declarations) => declarations.as_slice(),
            _ => &[],
        };
        declarations.iter().map(|one| one.name.text.as_str())
    })
}

/// Whether the stage's name tells its operating system or architecture; what is no platform is another's to
/// refuse.
fn names_platform(stage: &Stage, platform: &str) -> bool {
    let Some(platform) = parse_platform(platform) else {
        return true;
    };
    let name = stage.name.as_ref().map_or("", |name| &name.text);
    name.contains(&platform.os) || name.contains(&platform.architecture)
}
