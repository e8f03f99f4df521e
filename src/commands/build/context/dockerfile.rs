//! The Dockerfile: in its context or beside it, or on standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use builder::dockerfile::MAX_FILE_BYTES;
use builder::export::Export;
use builder::request::DockerfileText;
use image_format::layout::Store;
use image_format::snapshot::LayerSource;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::place::nearest_path;
use super::{DOCKERFILE, InputError, STDIN, standard_input};

/// A byte more than the parser takes, so that it can say that it is too large.
const LIMIT: u64 = MAX_FILE_BYTES as u64 + 1;
/// What else docker takes for a [`DOCKERFILE`].
const LOWER_CASE: &str = "dockerfile";

/// That of a directory: `file`, relative to the working directory, else the context's own.
pub(super) fn of_directory(
    context: &Path,
    file: Option<&Path>,
) -> Result<DockerfileText, InputError> {
    if file == Some(Path::new(STDIN)) {
        return of_stdin(stdin()?);
    }
    let path = match file {
        Some(path) => path.to_owned(),
        // As it would be typed: not with a `./` before it.
        None if context == Path::new(".") => PathBuf::from(DOCKERFILE),
        None => context.join(DOCKERFILE),
    };
    let lower = || Some(path.with_file_name(LOWER_CASE)).filter(|_| is_default(&path));
    let open = |path: &Path| match file {
        // What somebody names may be a pipe; what lies in a context must not hold the build up.
        Some(_) => File::open(path),
        None => open_at_once(path),
    };
    let (found, path) = match open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let lower = lower().and_then(|lower| Some((open(&lower).ok()?, lower)));
            lower.ok_or_else(|| InputError::NoDockerfile {
                nearest: nearest_path(&path),
                path: path.clone(),
            })?
        }
        opened => (opened.map_err(InputError::io("read", &path))?, path),
    };
    let mut bytes = Vec::new();
    let read = found.take(LIMIT).read_to_end(&mut bytes);
    read.map_err(InputError::io("read", &path))?;
    text(path.display().to_string(), Some(path), bytes)
}

/// What came on standard input.
pub(super) fn of_stdin(bytes: Vec<u8>) -> Result<DockerfileText, InputError> {
    text(DOCKERFILE.to_owned(), None, bytes)
}

/// That of a fetched directory: a path in it, out of which no symbolic link leads.
pub(super) fn of_fetched(
    context: &Path,
    file: Option<&Path>,
) -> Result<DockerfileText, InputError> {
    let root = openat(CWD, context, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(|error| InputError::io("open", context)(error.into()))?;
    within(file, "the context", |path| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = match openat2(&root, path, flags, Mode::empty(), within) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(InputError::io("read", path)(error.into())),
        };
        let mut bytes = Vec::new();
        let read = regular(file).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes));
        read.map_err(InputError::io("read", path))?;
        Ok(Some(bytes))
    })
}

/// That of an archive, which `name` calls.
pub(super) fn of_layers(
    store: &Store,
    layers: &[LayerSource],
    file: Option<&Path>,
    name: &str,
) -> Result<DockerfileText, InputError> {
    let unreadable = |source| InputError::Layers {
        name: name.to_owned(),
        source: Box::new(source),
    };
    let export = Export::open(store, layers).map_err(unreadable)?;
    within(file, name, |path| {
        export.file(path, LIMIT).map_err(unreadable)
    })
}

/// A file that was fetched for it.
pub(super) fn of_download(path: &Path, url: &str) -> Result<DockerfileText, InputError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes));
    read.map_err(InputError::io("read", path))?;
    text(url.to_owned(), None, bytes)
}

/// The Dockerfile in something that is no directory here, of which `read` gives a file's content.
fn within(
    file: Option<&Path>,
    context: &str,
    read: impl Fn(&Path) -> Result<Option<Vec<u8>>, InputError>,
) -> Result<DockerfileText, InputError> {
    if file == Some(Path::new(STDIN)) {
        return of_stdin(stdin()?);
    }
    let path = file.unwrap_or(Path::new(DOCKERFILE));
    let found = match read(path)? {
        None if is_default(path) => read(&path.with_file_name(LOWER_CASE))?,
        found => found,
    };
    let bytes = found.ok_or_else(|| InputError::NoDockerfileIn {
        path: path.to_owned(),
        context: context.to_owned(),
    })?;
    text(path.display().to_string(), None, bytes)
}

fn is_default(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == DOCKERFILE)
}

/// Standard input, but no more than a Dockerfile may have and one byte.
pub(super) fn stdin() -> Result<Vec<u8>, InputError> {
    let stdin = standard_input()?;
    let mut bytes = Vec::new();
    let read = stdin.take(LIMIT).read_to_end(&mut bytes);
    read.map_err(InputError::io("read", Path::new("standard input")))?;
    Ok(bytes)
}

fn text(name: String, path: Option<PathBuf>, bytes: Vec<u8>) -> Result<DockerfileText, InputError> {
    let text = String::from_utf8(bytes).map_err(|error| InputError::NotText {
        name: name.clone(),
        at: error.utf8_error().valid_up_to(),
    })?;
    Ok(DockerfileText { name, path, text })
}

/// Opens a file without waiting for the other end of a pipe, which would be no regular file.
fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    regular(File::from(openat(CWD, path, flags, Mode::empty())?))
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}
