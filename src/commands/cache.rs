//! `mkimg cache`.

mod load;
mod ls;
mod prune;
mod save;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::Globals;
use crate::error::Error;

/// What `mkimg cache` can do.
#[derive(Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Subcommand)]
enum CacheCommand {
    /// List the cache mounts
    #[command(visible_alias = "list")]
    Ls(ls::LsArgs),
    /// Remove cache mounts that nobody uses
    Prune(prune::PruneArgs),
    /// Write cache mounts to a tar
    Save(save::SaveArgs),
    /// Read cache mounts from a tar; each takes the place of what there was of it
    Load(load::LoadArgs),
}

/// Runs it.
pub fn run(args: &CacheArgs, globals: &Globals) -> Result<ExitCode, Error> {
    match &args.command {
        CacheCommand::Ls(args) => ls::run(args, globals),
        CacheCommand::Prune(args) => prune::run(args, globals),
        CacheCommand::Save(args) => save::run(args, globals),
        CacheCommand::Load(args) => load::run(args, globals),
    }
}
