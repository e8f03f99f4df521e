//! What a build is given: the context, the Dockerfile and the build arguments.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use builder::dockerfile::MAX_FILE_BYTES;
use builder::request::DockerfileText;
use image_format::nearest::nearest;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::error::Error;

/// The name of a Dockerfile in its context.
const DOCKERFILE: &str = "Dockerfile";
/// What docker takes for the address of a context that it fetches.
const REMOTE: [&str; 6] = [
    "http://",
    "https://",
    "git://",
    "ssh://",
    "git@",
    "github.com/",
];

/// Reads `--build-arg`s; one without a value takes the environment's, and is none where there is none.
pub fn build_args(given: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let mut args = BTreeMap::new();
    for arg in given {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), std::env::var(arg).ok()),
        };
        if name.is_empty() {
            return Err(Error::BuildArg(arg.clone()));
        }
        if let Some(value) = value {
            args.insert(name.to_owned(), value);
        }
    }
    Ok(args)
}

/// Checks that the context is a directory.
pub fn check_context(context: &Path) -> Result<(), Error> {
    if context == Path::new("-") {
        return Err(Error::StandardInput("the context"));
    }
    match fs::metadata(context) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::ContextIsFile(context.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = context.to_string_lossy();
            if REMOTE.iter().any(|start| text.starts_with(start)) {
                return Err(Error::RemoteContext(text.into_owned()));
            }
            Err(Error::NoContext {
                path: context.to_owned(),
                nearest: nearest_path(context),
            })
        }
        Err(source) => Err(Error::File {
            action: "open",
            path: context.to_owned(),
            source,
        }),
    }
}

/// Reads the Dockerfile: `file`, relative to the working directory, else the context's.
pub fn dockerfile(context: &Path, file: Option<&Path>) -> Result<DockerfileText, Error> {
    let path = match file {
        Some(path) if path == Path::new("-") => {
            return Err(Error::StandardInput("the Dockerfile"));
        }
        Some(path) => path.to_owned(),
        // As it would be typed: not with a `./` before it.
        None if context == Path::new(".") => PathBuf::from(DOCKERFILE),
        None => context.join(DOCKERFILE),
    };
    let mut bytes = Vec::new();
    // A byte more than the parser takes, so that it can say that it is too large.
    let limit = MAX_FILE_BYTES as u64 + 1;
    let opened = match file {
        // What somebody names may be a pipe; what lies in a context must not hold the build up.
        Some(_) => File::open(&path),
        None => open_at_once(&path),
    };
    match opened.and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let nearest = nearest_path(&path);
            return Err(Error::NoDockerfile { path, nearest });
        }
        Err(source) => {
            return Err(Error::File {
                action: "read",
                path,
                source,
            });
        }
    }
    let text = String::from_utf8(bytes).map_err(|error| Error::NotText {
        path: path.clone(),
        at: error.utf8_error().valid_up_to(),
    })?;
    Ok(DockerfileText {
        name: path.display().to_string(),
        path: Some(path),
        text,
    })
}

/// Opens a file without waiting for the other end of a pipe, which would be no regular file.
fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}

/// The entry beside a path that its name was probably meant for.
fn nearest_path(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let dir = match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    };
    let entries = fs::read_dir(dir).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Some(parent.join(nearest(name, names)?))
}
