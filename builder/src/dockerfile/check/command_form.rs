//! The shell form of a command where the JSON form is better, or was meant.

use super::report::{Place, Report};
use super::rule::Rule;
use super::scope::Scope;
use crate::dockerfile::words::is_nearly_json;
use crate::dockerfile::{Command, CommandLine};

pub(super) static JSON_ARGS_RECOMMENDED: Rule = Rule::docker(
    "JSONArgsRecommended",
    "json-args-recommended",
    "The shell of a CMD or ENTRYPOINT in shell form gets the signals meant for the program",
    "write it as a JSON array, or name the shell by SHELL if it is wanted",
);
pub(super) static NEARLY_JSON: Rule = Rule::own(
    "NearlyJson",
    "A command looks like a JSON array and is none, so that a shell gets it with its brackets",
    "write a JSON array: strings in double quotes, with commas between",
);

pub(super) fn check(report: &mut Report<'_>, place: &Place, scope: &Scope, command: &Command) {
    let (Command::Cmd(CommandLine::Shell(word)) | Command::Entrypoint(CommandLine::Shell(word))) =
        command
    else {
        return;
    };
    let nearly = is_nearly_json(&word.text);
    let name = command.name();
    if !scope.shell {
        let message = match nearly {
            true => format!("{name} is not quite a JSON array, so a shell gets it and the signals"),
            false => {
                format!("{name} in shell form: a shell gets the signals meant for the program")
            }
        };
        let hint = nearly.then(|| NEARLY_JSON.help.to_owned());
        let span = if word.span.is_empty() {
            place.span
        } else {
            word.span
        };
        report.warn_with_hint(place, &JSON_ARGS_RECOMMENDED, span, message, hint);
    } else if nearly {
        let message = format!("{name} is not quite a JSON array, so a shell gets it as it is");
        report.warn(place, &NEARLY_JSON, word.span, message);
    }
}
