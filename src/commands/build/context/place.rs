//! Where a context is, by how it is written and what is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use builder::address::Address;
use builder::remote::GitSource;
use image_format::nearest::nearest;

use super::{InputError, STDIN, archive};

/// Hosts that docker knows without `https://`.
const KNOWN_HOSTS: [&str; 1] = ["github.com/"];

/// Where a context is.
#[derive(Debug)]
pub(super) enum Place {
    /// In a directory here.
    Directory(PathBuf),
    /// In a tar here.
    Archive(PathBuf),
    /// On standard input.
    Stdin,
    /// In a git repository.
    Git(GitSource),
    /// At an address.
    Http(String),
}

impl Place {
    /// A directory or file of this name comes before an address.
    pub(super) fn of(context: &Path) -> Result<Self, InputError> {
        if context == Path::new(STDIN) {
            return Ok(Self::Stdin);
        }
        match fs::metadata(context) {
            Ok(found) if found.is_dir() => Ok(Self::Directory(context.to_owned())),
            Ok(found) if found.is_file() => match archive::is_archive(context)? {
                true => Ok(Self::Archive(context.to_owned())),
                false => Err(InputError::ContextIsFile(context.to_owned())),
            },
            Ok(_) => Err(InputError::ContextIsFile(context.to_owned())),
            Err(error) if is_missing(&error) => match address(&context.to_string_lossy())? {
                Some(place) => Ok(place),
                None => Err(InputError::NoContext {
                    path: context.to_owned(),
                    nearest: nearest_path(context),
                }),
            },
            Err(source) => Err(InputError::io("open", context)(source)),
        }
    }
}

/// The repository or file that a text is the address of.
pub(super) fn address(text: &str) -> Result<Option<Place>, InputError> {
    let known = KNOWN_HOSTS.iter().any(|host| text.starts_with(host));
    let full = match known {
        true => format!("https://{text}"),
        false => text.to_owned(),
    };
    let refused = |source| InputError::Address {
        address: text.to_owned(),
        source,
    };
    let parsed = Address::parse(&full).map_err(refused)?;
    Ok(Some(match parsed {
        None => return Ok(None),
        // Such a host has repositories, whatever they are called.
        Some(Address::Http { url, .. }) if known => {
            let (url, fragment) = url.split_once('#').unwrap_or((&url, ""));
            return address(&format!(
                "https://{}.git#{fragment}",
                &url["https://".len()..]
            ));
        }
        Some(Address::Http { url, .. }) => Place::Http(url),
        Some(Address::Git {
            source,
            keep_git_dir,
            checksum: None,
        }) => Place::Git(GitSource {
            keep_git_dir: keep_git_dir.unwrap_or(false),
            ..source
        }),
        Some(Address::Git { .. }) => return Err(InputError::GitChecksum(text.to_owned())),
    }))
}

/// Whether nothing can be there: an address is no path.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// The entry beside a path that its name was probably meant for.
pub(super) fn nearest_path(path: &Path) -> Option<PathBuf> {
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
