//! `mkimg rm`.

use std::process::ExitCode;

use clap::Args;
use runner::container;

use crate::cli::Globals;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg rm`.
#[derive(Args)]
pub struct RmArgs {
    /// Names or IDs of containers that have ended
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Removes containers, and all that they wrote.
pub fn run(args: &RmArgs, globals: &Globals) -> Result<ExitCode, Error> {
    // What they wrote belongs to subordinate users where there could be a namespace; where there could
    // not, there are none.
    let _ = runner::userns::enter();
    let store = globals.open_store()?;
    let mut errors = Vec::new();
    for name in &args.containers {
        match container::remove(&store, name) {
            Ok(_) => output::line(name)?,
            Err(error) => errors.push(error.into()),
        }
    }
    Error::all(errors)?;
    Ok(ExitCode::SUCCESS)
}
