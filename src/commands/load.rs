//! `mkimg load`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use image_format::archive::{self, Loaded, Source};

use crate::cli::Globals;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg load`.
#[derive(Args)]
pub struct LoadArgs {
    /// Where to read from: an archive of `docker save` or an OCI image layout, as a tar (plain, gzip or
    /// zstd) or a directory [default: standard input]
    #[arg(short, long, value_name = "FILE|DIR")]
    input: Option<PathBuf>,
    /// Show no progress, as never: docker's flag; what was loaded is printed
    #[arg(short, long)]
    quiet: bool,
}

/// Loads images and their names.
pub fn run(args: &LoadArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let source = match &args.input {
        Some(path) if path.is_dir() => Source::Directory(path.clone()),
        Some(path) => Source::Archive(Box::new(super::open(path)?)),
        None => Source::Archive(Box::new(super::archive_on_stdin()?)),
    };
    let (store, _unfinished) = globals.open_store_tidily()?;
    let loaded = archive::load(&store, source)?;
    for Loaded { descriptor, names } in loaded {
        for name in &names {
            output::line(format_args!("Loaded image: {}", name.familiar()))?;
        }
        if names.is_empty() {
            // Of an index for other machines there is no ID to show.
            let id = store
                .image(&descriptor)
                .map_or(descriptor.digest, |image| image.id());
            output::line(format_args!("Loaded image ID: {id}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
