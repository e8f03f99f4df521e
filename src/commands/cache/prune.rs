//! `mkimg cache prune`.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;

use builder::cache::mounts::{CacheMountError, CacheMounts, Listed};
use clap::Args;

use crate::cli::Globals;
use crate::diagnostic;
use crate::error::Error;
use crate::output::{self, units};

/// Flags of `mkimg cache prune`.
#[derive(Args)]
pub struct PruneArgs {
    /// Ids or keys of cache mounts [default: all that nobody uses]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Do not ask, as is never done but on a terminal
    #[arg(short, long)]
    force: bool,
}

/// Removes cache mounts.
pub fn run(args: &PruneArgs, globals: &Globals) -> Result<ExitCode, Error> {
    if args.ids.is_empty() && !args.force && !agreed()? {
        return Ok(ExitCode::FAILURE);
    }
    // Files of subordinate users can be removed only in their namespace; where there could not be one,
    // there are none.
    let _ = runner::userns::enter();
    let store = globals.open_store()?;
    let mounts = CacheMounts::new(&store);
    let mut errors = Vec::new();
    let mut reclaimed = 0;
    for mount in mounts.select(&args.ids)? {
        match mounts.remove(&mount) {
            Ok(()) => {
                output::line(format_args!("Deleted: {}", output::plain(shown(&mount))))?;
                reclaimed += mount.size;
            }
            Err(error @ CacheMountError::InUse(_)) if args.ids.is_empty() => {
                diagnostic::note(&format!("{error}: it stays"));
            }
            Err(error) => errors.push(error.into()),
        }
    }
    output::line(format_args!(
        "Total reclaimed space: {}",
        units::size(reclaimed)
    ))?;
    Error::all(errors)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(mount: &Listed) -> &str {
    match mount.id.as_str() {
        "" => "(no id)",
        id => id,
    }
}

/// Asks who sits at the terminal, as docker does; where nobody sits there, nobody is asked.
fn agreed() -> Result<bool, Error> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    diagnostic::note("this removes all cache mounts that nobody uses. Go on? [y/N]");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|source| Error::File {
        action: "read",
        path: "standard input".into(),
        source,
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
