//! mkimg builds container images from a Dockerfile and runs them.
//!
//! `main` reads the command line and hands over to one of `commands`; whatever fails comes back as one typed
//! [`error::Error`], which `diagnostic` alone turns into words and an exit code.

mod cli;
mod commands;
mod diagnostic;
mod environment;
mod error;
mod output;
mod progress;
mod prompt;
mod registries;
mod root;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::reexec::dispatch();
    let (command, mut globals) = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let exit = command.exit_codes();
    match globals.settle().and_then(|()| command.run(&globals)) {
        Ok(code) => code,
        Err(error) => diagnostic::report(&error, exit),
    }
}
