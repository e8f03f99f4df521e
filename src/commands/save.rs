//! `mkimg save`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image_format::archive::{self, ArchiveError, ArchiveKind};
use image_format::layout::{Image, Store};
use tempfile::{NamedTempFile, TempDir};

use crate::cli::Globals;
use crate::error::Error;
use crate::output::{self, file};
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
    match &args.output {
        Some(path) => to_file(&store, &images, kind, path, &unfinished)?,
        None => to_stdout(&store, &images, kind)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn to_stdout(store: &Store, images: &[Image], kind: ArchiveKind) -> Result<(), Error> {
    let stdout = io::stdout().lock();
    if rustix::termios::isatty(&stdout) {
        return Err(Error::TerminalOutput);
    }
    match write(store, images, kind, stdout) {
        Err(Error::Archive(ArchiveError::Write { source, .. })) => Err(output::failed(source)),
        result => result,
    }
}

/// A file appears whole or not at all; a device or a pipe is written to as it is.
fn to_file(
    store: &Store,
    images: &[Image],
    kind: ArchiveKind,
    path: &Path,
    unfinished: &Unfinished,
) -> Result<(), Error> {
    let failed = |source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let file = File::options().write(true).open(path).map_err(failed)?;
        return write(store, images, kind, file);
    }
    let new = unfinished
        .make(|| file::beside(path), NamedTempFile::path)
        .map_err(failed)?;
    write(store, images, kind, new.as_file())?;
    let saved = unfinished.publish(|| new.persist(path));
    saved.map(drop).map_err(|error| failed(error.error))
}

fn write(store: &Store, images: &[Image], kind: ArchiveKind, out: impl Write) -> Result<(), Error> {
    let out = BufWriter::with_capacity(256 << 10, out);
    let mut out = archive::save_archive(store, images, kind, out)?;
    out.flush().map_err(|source| {
        let what = "the archive".to_owned();
        Error::Archive(ArchiveError::Write { what, source })
    })
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
