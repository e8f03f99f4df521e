//! `mkimg history`.

use std::process::ExitCode;

use clap::{ArgAction, Args};
use image_format::layout::Image;
use serde::Serialize;

use crate::cli::Globals;
use crate::error::Error;
use crate::output::table::Table;
use crate::output::{self, Format, units};

/// What docker shows in place of the ID of a layer that is no image.
const MISSING: &str = "<missing>";
/// The most characters of a command in the table.
const LONGEST_COMMAND: usize = 45;

/// Flags of `mkimg history`.
#[derive(Args)]
pub struct HistoryArgs {
    /// Name or ID of an image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Print image IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Print sizes and dates for people; with =false the bytes and the times as they are
    #[arg(
        short = 'H',
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    human: bool,
    /// Shorten nothing
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

/// A row, with the members that docker prints as JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    comment: String,
    created_at: String,
    created_by: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    size: String,
}

/// Shows what made the image, the last first.
pub fn run(args: &HistoryArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let image = globals.open_store()?.resolve(&args.image)?;
    let rows = rows(&image, args.no_trunc, args.human);
    if args.quiet {
        rows.iter().try_for_each(|row| output::line(&row.id))?;
        return Ok(ExitCode::SUCCESS);
    }
    match args.format {
        Format::Json => rows.iter().try_for_each(output::json_line)?,
        Format::Table => {
            let mut table = Table::new(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
            for row in rows {
                let by = match args.no_trunc {
                    true => row.created_by,
                    false => shortened(&row.created_by),
                };
                let created = match args.human {
                    true => row.created_since,
                    false => row.created_at,
                };
                table.row([row.id, created, by, row.size, row.comment]);
            }
            table.print()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The history, the last first. Layers that it does not account for come at the end of it.
fn rows(image: &Image, no_trunc: bool, human: bool) -> Vec<Row> {
    let shown = |bytes: u64| match human {
        true => units::size(bytes),
        false => bytes.to_string(),
    };
    let mut sizes = image.manifest.layers.iter().map(|layer| layer.size);
    let mut rows: Vec<Row> = Vec::new();
    for step in &image.config.history {
        let size = match step.empty_layer {
            true => 0,
            false => sizes.next().unwrap_or(0),
        };
        let comment = step.extra.get("comment").and_then(|text| text.as_str());
        rows.push(Row {
            comment: comment.unwrap_or_default().to_owned(),
            created_at: step.created.clone().unwrap_or_default(),
            created_by: step.created_by.clone().unwrap_or_default(),
            created_since: units::since(step.created.as_deref()),
            id: MISSING.to_owned(),
            size: shown(size),
        });
    }
    rows.extend(sizes.map(|size| Row {
        comment: String::new(),
        created_at: String::new(),
        created_by: String::new(),
        created_since: units::since(None),
        id: MISSING.to_owned(),
        size: shown(size),
    }));
    if let Some(last) = rows.last_mut() {
        last.id = super::shown_id(&image.id(), no_trunc);
    }
    rows.reverse();
    rows
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST_COMMAND {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST_COMMAND - 1).collect();
    short.push('…');
    short
}
