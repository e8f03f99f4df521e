//! The only place that prints errors: what happened, where in the Dockerfile, what to do, and the exit code.

use std::error::Error as _;
use std::io::Write;
use std::process::ExitCode;

use crate::error::Error;

/// What the failures of a command exit with.
#[derive(Debug, Clone, Copy)]
pub struct ExitCodes {
    /// mkimg itself failed.
    pub failure: u8,
}

impl ExitCodes {
    /// Every command but `run`.
    pub const PLAIN: Self = Self { failure: 1 };
    /// `run`: 125, as docker has it, for its other codes are the container's own.
    pub const RUN: Self = Self { failure: 125 };
}

/// What a process that dies of SIGPIPE exits with in a shell; a closed reader means just that.
const READER_GONE: u8 = 128 + 13;

/// Prints `error` on standard error and gives the code to exit with.
pub fn report(error: &Error, codes: ExitCodes) -> ExitCode {
    if let Error::ReaderGone = error {
        return ExitCode::from(READER_GONE);
    }
    let mut message = format!("{error}");
    let mut source = error.source();
    while let Some(cause) = source {
        // causes that repeat what their effect already said tell nothing new
        let words = cause.to_string();
        if !message.ends_with(&words) {
            message.push_str(": ");
            message.push_str(&words);
        }
        source = cause.source();
    }
    let mut stderr = anstream::stderr().lock();
    let style = anstyle::AnsiColor::Red.on_default().bold();
    // nobody is left to hear that standard error is closed
    let _ = writeln!(stderr, "{style}error{style:#}: {message}");
    if let Some(hint) = hint(error) {
        let style = anstyle::AnsiColor::Cyan.on_default().bold();
        let _ = writeln!(stderr, "{style}hint{style:#}: {hint}");
    }
    ExitCode::from(codes.failure)
}

/// What the user can do about it.
fn hint(error: &Error) -> Option<String> {
    match error {
        Error::NoStoreRoot => Some("say where with --root DIR".into()),
        Error::File { .. } | Error::ReaderGone => None,
    }
}
