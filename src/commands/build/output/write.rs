//! Writes an output.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use builder::cancel::Cancel;
use builder::export::{Export, ExportError};
use image_format::archive::{self, ArchiveError, ArchiveKind, compressed};
use image_format::descriptor::Descriptor;
use image_format::layout::{Image, Store};
use image_format::reference::Reference;
use image_format::snapshot::LayerSource;

use super::spec::{Dest, Kind, Output};
use crate::error::Error;
use crate::output::{self, archive as archive_file, file};
use crate::signals::Unfinished;

/// Why an output could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file or directory.
    #[error("cannot write the output {}", path.display())]
    Io {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The image.
    #[error("cannot write the output {}", path.display())]
    Archive {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: ArchiveError,
    },
    /// The root file system.
    #[error("cannot write the output {}", path.display())]
    Export {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: Box<ExportError>,
    },
    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Output {
    /// Where to; `None` where nothing leaves the store.
    pub fn dest(&self) -> Option<Dest> {
        match &self.kind {
            Kind::Image | Kind::CacheOnly => None,
            Kind::Archive { dest, .. } | Kind::Tar(dest) => Some(dest.clone()),
            Kind::Local(dir) => Some(Dest::Path(dir.clone())),
        }
    }

    /// Whether it is an image, and not its files.
    pub fn is_image(&self) -> bool {
        matches!(self.kind, Kind::Image | Kind::Archive { .. })
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Local(_) | Kind::Archive { tar: false, .. })
    }
}

/// Writes one output of an image, which gets these names in it beside the output's own, and gives the
/// descriptor of the image in it, if it is one.
pub fn write(
    store: &Store,
    image: &Image,
    output: &Output,
    names: &[Reference],
    cancel: &Cancel,
) -> Result<Option<Descriptor>, Error> {
    if cancel.is_cancelled() {
        return Err(WriteError::Cancelled.into());
    }
    match &output.kind {
        Kind::Image => Ok(Some(image.descriptor.clone())),
        Kind::CacheOnly => Ok(None),
        Kind::Local(dir) => local(store, image, dir, cancel).map(|()| None),
        Kind::Tar(dest) => {
            let export = open(store, image, &shown(dest))?;
            to(dest, cancel, |out| {
                let written = export.tar(out, cancel);
                written
                    .map(drop)
                    .map_err(|source| from_export(dest, source))
            })?;
            Ok(None)
        }
        Kind::Archive {
            docker,
            tar,
            compression,
            force,
            dest,
        } => {
            let failed = |source| from_archive(dest, source);
            let compression = compression.unwrap_or(archive::Compression::None);
            let annotations = &output.annotations;
            let image = compressed(store, image, compression, *force, annotations);
            let image = image.map_err(failed)?;
            let images = named(&image, names, &output.names);
            let kind = match docker {
                true => ArchiveKind::Docker,
                false => ArchiveKind::Oci,
            };
            match dest {
                Dest::Path(dir) if !tar => directory(dir, |new| {
                    let saved = archive::save_directory(store, &images, kind, new);
                    saved.map_err(failed)
                }),
                dest => to(dest, cancel, |out| {
                    let saved = archive::save_archive(store, &images, kind, out);
                    saved.map(drop).map_err(failed)
                }),
            }?;
            Ok(Some(image.descriptor))
        }
    }
}

/// The image once for each of its names, or once without one.
fn named(image: &Image, names: &[Reference], own: &[Reference]) -> Vec<Image> {
    let mut all: Vec<&Reference> = Vec::new();
    for name in names.iter().chain(own) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    let with = |reference: Option<&Reference>| Image {
        reference: reference.cloned(),
        ..image.clone()
    };
    match all.is_empty() {
        true => vec![with(None)],
        false => all.into_iter().map(|name| with(Some(name))).collect(),
    }
}

fn local(store: &Store, image: &Image, dir: &Path, cancel: &Cancel) -> Result<(), Error> {
    let dest = Dest::Path(dir.to_owned());
    let export = open(store, image, dir)?;
    fs::create_dir_all(dir).map_err(|source| from_io(&dest, source))?;
    let written = export.directory(dir, cancel);
    written.map_err(|source| from_export(&dest, source))
}

fn open(store: &Store, image: &Image, path: &Path) -> Result<Export, Error> {
    let export = Export::open(store, &LayerSource::of_image(image));
    Ok(export.map_err(|source| WriteError::Export {
        path: path.to_owned(),
        source: Box::new(source),
    })?)
}

/// Lets `write` write, until the build is cancelled.
fn to(
    dest: &Dest,
    cancel: &Cancel,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = match dest {
        Dest::Stdout => None,
        Dest::Path(path) => Some(path.as_path()),
    };
    // The signals that end a build come to it.
    let unfinished = Unfinished::default();
    archive_file::write(path, &unfinished, |out| {
        write(&mut Cancellable { out, cancel })
    })
}

/// Lets `write` fill a directory that takes the place of an empty one, or of none.
fn directory(dir: &Path, write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let dest = Dest::Path(dir.to_owned());
    let failed = |source| from_io(&dest, source);
    let new = file::directory_beside(dir).map_err(failed)?;
    write(new.path())?;
    fs::rename(new.path(), dir).map_err(failed)?;
    // It has moved: nothing is left to be removed.
    drop(new.keep());
    Ok(())
}

/// Writes until the build is cancelled.
struct Cancellable<'a> {
    out: &'a mut dyn Write,
    cancel: &'a Cancel,
}

impl Write for Cancellable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.cancel.is_cancelled() {
            true => Err(io::Error::other(WriteError::Cancelled)),
            false => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn shown(dest: &Dest) -> PathBuf {
    match dest {
        Dest::Stdout => "standard output".into(),
        Dest::Path(path) => path.clone(),
    }
}

fn from_io(dest: &Dest, source: io::Error) -> Error {
    if source
        .get_ref()
        .is_some_and(|inner| inner.is::<WriteError>())
    {
        return WriteError::Cancelled.into();
    }
    match dest {
        Dest::Stdout => output::failed(source),
        Dest::Path(path) => {
            let path = path.clone();
            WriteError::Io { path, source }.into()
        }
    }
}

fn from_archive(dest: &Dest, source: ArchiveError) -> Error {
    match source {
        ArchiveError::Write { source, .. } => from_io(dest, source),
        source => {
            let path = shown(dest);
            WriteError::Archive { path, source }.into()
        }
    }
}

fn from_export(dest: &Dest, source: ExportError) -> Error {
    match source {
        ExportError::Cancelled => WriteError::Cancelled.into(),
        ExportError::Write(image_format::layer::WriteError::Write(source)) => from_io(dest, source),
        source => {
            let (path, source) = (shown(dest), Box::new(source));
            WriteError::Export { path, source }.into()
        }
    }
}
