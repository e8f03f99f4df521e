//! `mkimg version`.

use std::process::ExitCode;

use clap::Args;

use crate::cli::Globals;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg version`.
#[derive(Args)]
pub struct VersionArgs {}

/// Shows the version and where the store is.
pub fn run(_: &VersionArgs, globals: &Globals) -> Result<ExitCode, Error> {
    output::line(format_args!("mkimg {}", env!("CARGO_PKG_VERSION")))?;
    output::line(format_args!("store {}", globals.store_root()?.display()))?;
    Ok(ExitCode::SUCCESS)
}
