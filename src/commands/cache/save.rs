//! `mkimg cache save`.

use std::path::PathBuf;
use std::process::ExitCode;

use builder::cache::mounts::{CacheArchiveError, CacheMounts};
use clap::Args;
use image_format::layer::WriteError;
use image_format::layer::pack::PackError;

use crate::cli::Globals;
use crate::error::Error;
use crate::output;
use crate::output::archive;

/// Flags of `mkimg cache save`.
#[derive(Args)]
pub struct SaveArgs {
    /// Ids or keys of cache mounts [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Where to write to; - is standard output [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Saves cache mounts.
pub fn run(args: &SaveArgs, globals: &Globals) -> Result<ExitCode, Error> {
    // Files of subordinate users are read only in their namespace.
    runner::userns::enter()?;
    let (store, unfinished) = globals.open_store_tidily()?;
    let mounts = CacheMounts::new(&store);
    let chosen = mounts.select(&args.ids)?;
    let path = args.output.as_deref().filter(|path| *path != "-");
    archive::write(path, &unfinished, |out| match mounts.save(&chosen, out) {
        Err(error) if path.is_none() => Err(closed(error)),
        result => Ok(result.map(drop)?),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A reader of standard output that went away is no failure.
fn closed(error: CacheArchiveError) -> Error {
    match error {
        CacheArchiveError::Pack(PackError::Write(WriteError::Write(source))) => {
            output::failed(source)
        }
        error => error.into(),
    }
}
