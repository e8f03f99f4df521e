//! Where a context is, by how it is written and what is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use builder::address::Address;
use builder::remote::GitSource;
use image_format::nearest::nearest;
use remote::client::shown;
use remote::git::Dated;

use super::{InputError, Reader, STDIN, archive};

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
    Git(Repository),
    /// At an address.
    Http(String),
}

/// A git repository, and the commit that it must be at.
#[derive(Debug)]
pub(super) struct Repository {
    source: GitSource,
    /// The beginning of the commit.
    checksum: Option<String>,
}

impl Repository {
    /// Fetches it.
    pub(super) fn check_out(&self, reader: &Reader<'_>) -> Result<Dated, InputError> {
        let dated = reader.remote.dated(&self.source, reader.cancel)?;
        match &self.checksum {
            Some(expected) if !dated.checkout.commit.starts_with(expected) => {
                Err(InputError::OtherCommit {
                    address: shown(&self.source.url),
                    expected: expected.clone(),
                    found: dated.checkout.commit,
                })
            }
            _ => Ok(dated),
        }
    }
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
            let end = url.find(['?', '#']).unwrap_or(url.len());
            let (url, wanted) = url.split_at(end);
            return address(&format!("{url}.git{wanted}"));
        }
        Some(Address::Http { url, .. }) => Place::Http(url),
        Some(Address::Git {
            source,
            keep_git_dir,
            checksum,
        }) => Place::Git(Repository {
            source: GitSource {
                keep_git_dir: keep_git_dir.unwrap_or(false),
                ..source
            },
            checksum: checksum.map(|checksum| checksum.to_ascii_lowercase()),
        }),
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
