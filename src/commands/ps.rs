//! `mkimg ps`.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use runner::container::{self, Listed, State};

use crate::cli::Globals;
use crate::error::Error;
use crate::output::table::Table;
use crate::output::{self, units};

/// The most of a command that a list shows, in characters.
const COMMAND: usize = 20;

/// Flags of `mkimg ps`.
#[derive(Args)]
pub struct PsArgs {
    /// Show those that have ended too
    #[arg(short, long)]
    all: bool,
    /// Print IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten anything
    #[arg(long)]
    no_trunc: bool,
}

/// Lists the containers, the newest first.
pub fn run(args: &PsArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let store = globals.open_store()?;
    let mut listed = container::list(&store)?;
    listed.retain(|container| args.all || container.state == State::Running);
    if args.quiet {
        listed
            .iter()
            .try_for_each(|container| output::line(id(container, args.no_trunc)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ]);
    for container in &listed {
        let record = &container.record;
        let ports: Vec<String> = record.ports.iter().map(ToString::to_string).collect();
        table.row([
            id(container, args.no_trunc),
            record.image_name.clone(),
            command(&record.args, args.no_trunc),
            since(record.created),
            status(container.state),
            ports.join(", "),
            record.name.to_string(),
        ]);
    }
    table.print()?;
    Ok(ExitCode::SUCCESS)
}

fn id(container: &Listed, no_trunc: bool) -> String {
    let id = &container.record.id;
    match no_trunc {
        true => id.clone(),
        false => container::short(id).to_owned(),
    }
}

fn command(args: &[String], no_trunc: bool) -> String {
    let whole = args.join(" ");
    match whole.char_indices().nth(COMMAND) {
        Some((end, _)) if !no_trunc => format!("\"{}…\"", &whole[..end]),
        _ => format!("\"{whole}\""),
    }
}

fn status(state: State) -> String {
    match state {
        State::Running => "Running".into(),
        State::Ended(Some(ended)) => {
            format!("Exited ({}) {}", ended.exit.code(), since(ended.at))
        }
        State::Ended(None) => "Killed".into(),
    }
}

/// How long ago that was, given in seconds after 1970.
fn since(time: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let passed = now.map_or(0, |now| now.as_secs()).saturating_sub(time);
    units::ago(i64::try_from(passed).unwrap_or(i64::MAX))
}
