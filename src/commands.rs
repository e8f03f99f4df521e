//! One file a command: its flags and what it does.

pub mod build;
pub mod cache;
pub mod check;
pub mod history;
pub mod images;
pub mod import;
pub mod inspect;
pub mod load;
pub mod login;
pub mod logout;
pub mod ps;
pub mod pull;
pub mod push;
pub mod rm;
pub mod rmi;
pub mod run;
pub mod save;
pub mod tag;
pub mod verify;
pub mod version;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use image_format::digest::Digest;
use image_format::reference::{Reference, ReferenceError};

use crate::error::Error;

/// What docker shows where there is nothing.
const NONE: &str = "<none>";
/// The digits of a shortened ID.
const SHORT_ID: usize = 12;

/// An image's ID as lists show it.
fn shown_id(id: &Digest, no_trunc: bool) -> String {
    match no_trunc {
        true => id.to_string(),
        false => id.hex()[..SHORT_ID].to_owned(),
    }
}

/// Reads the name of an image.
fn reference(name: &str) -> Result<Reference, Error> {
    let failed = |source: ReferenceError| Error::Name {
        name: name.to_owned(),
        source,
    };
    name.parse().map_err(failed)
}

/// Reads a name that an image is to get: with a tag, `latest` where none is given, and no digest, which
/// nobody can choose.
fn tag(name: &str) -> Result<Reference, Error> {
    let reference = reference(name)?.with_default_tag();
    match reference.digest() {
        Some(_) => Err(Error::DigestAsTag(name.to_owned())),
        None => Ok(reference),
    }
}

/// Opens a file for reading.
fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::File {
        action: "open",
        path: path.to_owned(),
        source,
    })
}

/// Standard input as a file.
fn stdin() -> Result<File, Error> {
    let owned = std::io::stdin().as_fd().try_clone_to_owned();
    owned.map(File::from).map_err(|source| Error::File {
        action: "open",
        path: "standard input".into(),
        source,
    })
}

/// Standard input, if an archive can come from there.
fn archive_on_stdin() -> Result<File, Error> {
    stdin().and_then(|file| match rustix::termios::isatty(&file) {
        true => Err(Error::TerminalInput),
        false => Ok(file),
    })
}
