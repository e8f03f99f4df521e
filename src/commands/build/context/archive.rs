//! Contexts that come as one file.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use builder::dockerfile::MAX_FILE_BYTES;
use image_format::import::{self, Times, import};
use image_format::layout::{Store, TmpDir};
use image_format::snapshot::LayerSource;

use super::{InputError, Reader};

/// As many bytes tell whether it is an archive: the header of a tar.
const START: u64 = 512;
/// The permissions of a file that was fetched, as docker gives them.
const FETCHED: u32 = 0o600;

/// What came on a stream.
pub(super) enum Stream {
    /// An archive, to be read from its start.
    Archive(File),
    /// Something else: its bytes, but no more than a Dockerfile may have and one.
    Text(Vec<u8>),
}

/// Whether a file is an archive, by its content.
pub(super) fn is_archive(path: &Path) -> Result<bool, InputError> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
    read.map_err(InputError::io("read", path))?;
    Ok(import::is_archive(&start))
}

/// Reads standard input until it is known what it is; an archive in a pipe is copied beside the store.
pub(super) fn of_stream(store: &Store, mut stream: File) -> Result<Stream, InputError> {
    let failed = |source| InputError::io("read", Path::new("standard input"))(source);
    let mut bytes = Vec::new();
    let mut read = |bytes: &mut Vec<u8>, most| {
        let read = Read::by_ref(&mut stream).take(most).read_to_end(bytes);
        read.map_err(failed)
    };
    read(&mut bytes, START)?;
    if !import::is_archive(&bytes) {
        read(&mut bytes, MAX_FILE_BYTES as u64 + 1 - START)?;
        return Ok(Stream::Text(bytes));
    }
    let path = store.unfinished()?;
    let copied = |source| InputError::io("write to", path)(source);
    let mut copy = tempfile::tempfile_in(path).map_err(copied)?;
    copy.write_all(&bytes).map_err(copied)?;
    io::copy(&mut stream, &mut copy).map_err(copied)?;
    copy.rewind().map_err(copied)?;
    Ok(Stream::Archive(copy))
}

/// What an archive holds, as a layer of the store. Nothing is unpacked; owners stay as they are, and the
/// times of all files are alike, as in what is copied from a directory.
pub(super) fn layers(
    reader: &Reader<'_>,
    file: File,
    name: &str,
) -> Result<Vec<LayerSource>, InputError> {
    let layer = import(reader.store, file, Times::All(reader.time));
    let layer = layer.map_err(|source| InputError::Archive {
        name: name.to_owned(),
        source: Box::new(source),
    })?;
    Ok(vec![layer.into()])
}

/// A directory with nothing in it but a copy of a fetched file.
pub(super) fn alone(store: &Store, file: &Path, name: &str) -> Result<TmpDir, InputError> {
    let dir = store.tmp_dir()?;
    let copy = dir.path().join(name);
    let copied = fs::copy(file, &copy)
        .and_then(|_| fs::set_permissions(&copy, fs::Permissions::from_mode(FETCHED)));
    copied.map_err(InputError::io("copy", file))?;
    Ok(dir)
}
