//! `mkimg cache ls`.

use std::process::ExitCode;

use builder::cache::mounts::{CacheMounts, Listed};
use clap::Args;
use serde::Serialize;

use crate::cli::Globals;
use crate::error::Error;
use crate::output::table::Table;
use crate::output::{self, Format, units};

/// The most of an id that a list shows, in characters.
const ID: usize = 60;
/// The digits of a shortened key.
const SHORT_KEY: usize = 12;

/// Flags of `mkimg cache ls`.
#[derive(Args)]
pub struct LsArgs {
    /// Print only what names them to the other commands: ids, or keys where an id is not one plain word
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten anything
    #[arg(long)]
    no_trunc: bool,
    /// How to print
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        conflicts_with = "quiet"
    )]
    format: Format,
}

/// A row as JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    key: String,
    directories: usize,
    /// In bytes.
    size: u64,
    last_used_at: String,
    in_use: bool,
}

/// Lists the cache mounts, by id.
pub fn run(args: &LsArgs, globals: &Globals) -> Result<ExitCode, Error> {
    // What the files of subordinate users take is seen only where they are known.
    let _ = runner::userns::enter();
    let mounts = CacheMounts::new(&globals.open_store()?).list()?;
    if args.quiet {
        let mut names: Vec<String> = mounts.iter().map(word).collect();
        names.dedup();
        names.iter().try_for_each(output::line)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.format == Format::Json {
        for mount in &mounts {
            output::json_line(&Row {
                id: &mount.id,
                key: mount.key.hex(),
                directories: mount.directories,
                size: mount.size,
                last_used_at: used_at(mount),
                in_use: mount.in_use,
            })?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["CACHE ID", "KEY", "SIZE", "LAST USED", "IN USE"]);
    for mount in &mounts {
        let key = mount.key.hex();
        table.row([
            id(mount, args.no_trunc),
            match args.no_trunc {
                true => key,
                false => key[..SHORT_KEY].to_owned(),
            },
            units::size(mount.size),
            units::since(Some(&used_at(mount))),
            if mount.in_use { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table.print()?;
    Ok(ExitCode::SUCCESS)
}

fn id(mount: &Listed, no_trunc: bool) -> String {
    match mount.id.char_indices().nth(ID) {
        Some((end, _)) if !no_trunc => format!("{}…", &mount.id[..end]),
        _ => mount.id.clone(),
    }
}

/// What names it on a command line: its id, where that is one plain word.
fn word(mount: &Listed) -> String {
    let is_plain = |letter: char| !letter.is_control() && !letter.is_whitespace();
    match !mount.id.is_empty() && !mount.id.starts_with('-') && mount.id.chars().all(is_plain) {
        true => mount.id.clone(),
        false => mount.key.hex(),
    }
}

fn used_at(mount: &Listed) -> String {
    let seconds = i64::try_from(mount.used).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}
