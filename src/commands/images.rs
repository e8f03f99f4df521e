//! `mkimg images`, also `ls`.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use image_format::layout::{Image, Store};
use image_format::reference::Reference;
use serde::Serialize;

use super::NONE;
use crate::cli::Globals;
use crate::diagnostic;
use crate::error::Error;
use crate::output::table::Table;
use crate::output::{self, Format, units};

/// Flags of `mkimg images`.
#[derive(Args)]
pub struct ImagesArgs {
    /// Show only the images of this repository, or the one of this name and tag
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Show all images: what is shown without it too, for mkimg keeps no images in between
    #[arg(short, long)]
    all: bool,
    /// Show only what fits: dangling=true (images without a name), dangling=false, label=NAME[=VALUE];
    /// may be given several times
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<Filter>,
    /// Print image IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten IDs
    #[arg(long)]
    no_trunc: bool,
    /// Show manifest digests
    #[arg(long)]
    digests: bool,
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

/// Which images are shown.
#[derive(Clone, Debug)]
enum Filter {
    /// Those without a name, or those with one.
    Dangling(bool),
    /// Those with this label, and this value of it.
    Label(String, Option<String>),
}

impl FromStr for Filter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("dangling", "true" | "1")) => Ok(Self::Dangling(true)),
            Some(("dangling", "false" | "0")) => Ok(Self::Dangling(false)),
            Some(("label", label)) => Ok(match label.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(label.to_owned(), None),
            }),
            _ => Err("there are dangling=true, dangling=false and label=NAME[=VALUE]"),
        }
    }
}

impl Filter {
    fn fits(&self, image: &Image) -> bool {
        match self {
            Self::Dangling(dangling) => image.reference.is_none() == *dangling,
            Self::Label(name, wanted) => {
                let value = image.config.config.labels.get(name);
                value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| value == wanted))
            }
        }
    }
}

/// A row, with the members that docker prints as JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    created_at: String,
    created_since: String,
    digest: String,
    #[serde(rename = "ID")]
    id: String,
    repository: String,
    size: String,
    tag: String,
}

/// Lists the images, the newest first.
pub fn run(args: &ImagesArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let store = globals.open_store()?;
    let wanted = args.name.as_deref().map(super::reference).transpose()?;
    let mut images = images(&store, wanted.as_ref())?;
    images.retain(|image| args.filter.iter().all(|filter| filter.fits(image)));
    if args.quiet {
        let mut seen = std::collections::BTreeSet::new();
        for image in images.iter().filter(|image| seen.insert(image.id())) {
            output::line(super::shown_id(&image.id(), args.no_trunc))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = images.iter().map(|image| row(image, args.no_trunc));
    match args.format {
        Format::Json => rows
            .into_iter()
            .try_for_each(|row| output::json_line(&row))?,
        Format::Table if args.digests => {
            let heading = ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"];
            let mut table = Table::new(heading);
            rows.for_each(|row| {
                let Row {
                    repository,
                    tag,
                    digest,
                    id,
                    created_since,
                    size,
                    ..
                } = row;
                table.row([repository, tag, digest, id, created_since, size]);
            });
            table.print()?;
        }
        Format::Table => {
            let mut table = Table::new(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
            rows.for_each(|row| {
                let Row {
                    repository,
                    tag,
                    id,
                    created_since,
                    size,
                    ..
                } = row;
                table.row([repository, tag, id, created_since, size]);
            });
            table.print()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The images that are wanted, the newest first, and of equally old ones that which was named last.
/// One that cannot be read does not hide the others.
fn images(store: &Store, wanted: Option<&Reference>) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    for entry in store.index()?.manifests.iter().rev() {
        match store.image(entry) {
            Ok(image) => images.push(image),
            Err(error) => diagnostic::warn(&error),
        }
    }
    images.retain(|image| {
        wanted.is_none_or(|wanted| {
            image.reference.as_ref().is_some_and(|name| {
                name.registry() == wanted.registry()
                    && name.repository() == wanted.repository()
                    && wanted.tag().is_none_or(|tag| name.tag() == Some(tag))
            })
        })
    });
    let created = |image: &Image| {
        let text = image.config.created.as_deref()?;
        text.parse::<jiff::Timestamp>().ok()
    };
    images.sort_by_key(|image| std::cmp::Reverse(created(image)));
    Ok(images)
}

fn row(image: &Image, no_trunc: bool) -> Row {
    let none = || NONE.to_owned();
    let name = image.reference.as_ref();
    let created = image.config.created.as_deref();
    Row {
        created_at: created.map_or_else(none, str::to_owned),
        created_since: units::since(created),
        digest: name.map_or_else(none, |_| image.descriptor.digest.to_string()),
        id: super::shown_id(&image.id(), no_trunc),
        repository: name.map_or_else(none, Reference::familiar_name),
        size: units::size(image.size()),
        tag: name
            .and_then(Reference::tag)
            .map_or_else(none, str::to_owned),
    }
}
