//! The only place that prints errors: what happened, where in the Dockerfile, what to do, and the exit code.

mod hint;
mod snippet;

use std::error::Error as StdError;
use std::io::Write;
use std::process::ExitCode;

use anstyle::AnsiColor;
use builder::ChangeError;
use builder::dockerfile::check::Warning;

use crate::error::{BuildFailure, Error};
use crate::output::plain;
use crate::progress;

/// What the failures of a command exit with.
#[derive(Debug, Clone, Copy)]
pub struct ExitCodes {
    /// mkimg itself failed.
    pub failure: u8,
    /// The command line is wrong.
    pub usage: u8,
}

impl ExitCodes {
    /// Every command but `run`.
    pub const PLAIN: Self = Self {
        failure: 1,
        usage: 2,
    };
    /// `run`: 125, as docker has it, for its other codes are the container's own.
    pub const RUN: Self = Self {
        failure: 125,
        usage: 125,
    };
}

/// What a process that dies of SIGPIPE exits with in a shell; a closed reader means just that.
const READER_GONE: u8 = 128 + 13;

/// Prints `error` on standard error and gives the code to exit with.
pub fn report(error: &Error, codes: ExitCodes) -> ExitCode {
    match error {
        Error::ReaderGone => return ExitCode::from(READER_GONE),
        Error::Interrupted { signal } => {
            line(AnsiColor::Red, "error", &error.to_string());
            return ExitCode::from(128 + signal);
        }
        Error::Many(errors) => errors.iter().for_each(|error| {
            report(error, codes);
        }),
        Error::Build(failure) => build(failure),
        Error::Change(ChangeError::Malformed { text, source }) => {
            snippet::print(&snippet::Place {
                severity: snippet::Severity::Error,
                name: "--change",
                text,
                span: source.span,
                message: &chain(source.as_ref()),
                hint: source.hint.as_deref(),
            });
        }
        _ => {
            line(AnsiColor::Red, "error", &chain(error));
            if let Some(hint) = hint::hint(error) {
                line(AnsiColor::Cyan, "help", &hint);
            }
        }
    }
    ExitCode::from(match error {
        Error::Sandbox(error) => error.exit_code(),
        error if error.is_usage() => codes.usage,
        _ => codes.failure,
    })
}

/// Prints something that went wrong and stops nothing.
pub fn warn(error: &dyn StdError) {
    line(AnsiColor::Yellow, "warning", &chain(error));
}

/// What a check found, with its place in the text that is called `name`; in colour.
pub fn checked(warning: &Warning, name: &str, text: &str) -> String {
    snippet::render(&snippet::Place {
        severity: snippet::Severity::Warning(warning.rule.name),
        name,
        text,
        span: warning.span,
        message: &warning.message,
        hint: Some(warning.help()),
    })
}

/// Prints something worth knowing.
pub fn note(text: &str) {
    line(AnsiColor::Cyan, "note", text);
}

/// A failed build: the last output of the step that failed, where it is not on the screen already, then the
/// error with its place.
fn build(failure: &BuildFailure) {
    let BuildFailure {
        source,
        name,
        text,
        shown,
    } = failure;
    if !shown {
        let mut stderr = anstream::stderr().lock();
        for line in source.last_lines() {
            // Nobody is left to hear that standard error is closed.
            let _ = writeln!(stderr, "  {}", progress::shown(line));
        }
    }
    let (message, hint) = (chain(source), source.hint().or_else(|| hint::room(source)));
    match source.span() {
        Some(span) => snippet::print(&snippet::Place {
            severity: snippet::Severity::Error,
            name,
            text,
            span,
            message: &message,
            hint: hint.as_deref(),
        }),
        None => {
            line(AnsiColor::Red, "error", &message);
            if let Some(hint) = hint {
                line(AnsiColor::Cyan, "help", &hint);
            }
        }
    }
    if let Some(log) = source.log() {
        note(&format!("all of its output is in {}", log.display()));
    }
}

/// An error and its causes on one line.
pub fn chain(error: &dyn StdError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Causes that repeat what their effect already said tell nothing new.
        let words = cause.to_string();
        if !message.ends_with(&words) {
            message.push_str(": ");
            message.push_str(&words);
        }
        source = cause.source();
    }
    message
}

fn line(colour: AnsiColor, kind: &str, text: &str) {
    let style = colour.on_default().bold();
    // Nobody is left to hear that standard error is closed. What names files and images may hold
    // anything, so that control characters are shown, not obeyed.
    let _ = writeln!(
        anstream::stderr().lock(),
        "{style}{kind}{style:#}: {}",
        plain(text)
    );
}
