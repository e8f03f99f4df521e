//! `mkimg cache load`.

use std::path::PathBuf;
use std::process::ExitCode;

use builder::cache::mounts::CacheMounts;
use clap::Args;

use crate::cli::Globals;
use crate::commands;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg cache load`.
#[derive(Args)]
pub struct LoadArgs {
    /// Where to read from, plain or in gzip or zstd; - is standard input [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// Loads cache mounts.
pub fn run(args: &LoadArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let archive = match args.input.as_deref().filter(|path| *path != "-") {
        Some(path) => commands::open(path)?,
        None => commands::archive_on_stdin()?,
    };
    // Files of others than the user can be made only in their namespace.
    runner::userns::enter()?;
    let (store, _unfinished) = globals.open_store_tidily()?;
    for id in CacheMounts::new(&store).load(archive)? {
        output::line(format_args!("Loaded cache mount: {}", output::plain(&id)))?;
    }
    Ok(ExitCode::SUCCESS)
}
