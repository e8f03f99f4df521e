//! `mkimg save`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image_format::archive::{self, ArchiveError, ArchiveKind};
use image_format::layout::{Image, Store};
use tempfile::TempDir;

use super::pull::RegistryArgs;
use crate::cli::Globals;
use crate::error::Error;
use crate::output::{self, archive as archive_file, file};
use crate::signals::Unfinished;

/// Flags of `mkimg save`.
#[derive(Args)]
pub struct SaveArgs {
    /// Names or IDs of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Where to write to [default: standard output]
    #[arg(
        short,
        long,
        value_name = "FILE|DIR",
        required_if_eq("format", "oci-dir")
    )]
    output: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: SaveFormat,
}

/// What `save` writes.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum SaveFormat {
    /// A tar for `docker load`, which is an OCI image layout as well
    #[default]
    DockerArchive,
    /// A tar of an OCI image layout
    OciArchive,
    /// An OCI image layout in a directory
    OciDir,
}

/// Saves images and their names.
pub fn run(args: &SaveArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let (store, unfinished) = globals.open_store_tidily()?;
    // What was not fetched with its image is needed now.
    store.set_supplier(RegistryArgs::default().network(&store).way().clone());
    let images = args.images.iter().map(|name| store.resolve(name));
    let images = images.collect::<Result<Vec<Image>, _>>()?;
    let kind = match (args.format, &args.output) {
        (SaveFormat::OciDir, Some(dir)) => {
            to_directory(&store, &images, dir, &unfinished)?;
            return Ok(ExitCode::SUCCESS);
        }
        (SaveFormat::OciArchive, _) => ArchiveKind::Oci,
        (SaveFormat::DockerArchive | SaveFormat::OciDir, _) => ArchiveKind::Docker,
    };
    let path = args.output.as_deref();
    archive_file::write(path, &unfinished, |out| {
        match archive::save_archive(&store, &images, kind, out) {
            Err(ArchiveError::Write { source, .. }) if path.is_none() => {
                Err(output::failed(source))
            }
            result => result.map(drop).map_err(Error::from),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn to_directory(
    store: &Store,
    images: &[Image],
    dir: &Path,
    unfinished: &Unfinished,
) -> Result<(), Error> {
    let failed = |source| Error::File {
        action: "make",
        path: dir.to_owned(),
        source,
    };
    let new = unfinished.make(|| file::directory_beside(dir), TempDir::path);
    let new = new.map_err(failed)?;
    archive::save_directory(store, images, ArchiveKind::Oci, new.path())?;
    // Takes the place of an empty directory, and of no other.
    let saved = unfinished.publish(|| fs::rename(new.path(), dir));
    saved.map_err(failed)?;
    // It has moved: nothing is left to be removed.
    drop(new.keep());
    Ok(())
}
