//! What the user can do about an error.

use std::error::Error as StdError;
use std::io;

use builder::cache::mounts::{CacheArchiveError, CacheMountError};
use image_format::archive::ArchiveError;
use image_format::import::ImportError;
use image_format::layout::{NotAnImage, StoreError};
use image_format::reference::ReferenceError;

use remote::push::PushError;
use runner::container::NetworkMode;

use crate::commands::build::InputError;
use crate::error::Error;

/// What to do, where something better than the obvious is known.
pub fn hint(error: &Error) -> Option<String> {
    known(error).or_else(|| room(error))
}

/// What to do where a disk is full, whatever was to be written.
pub fn room(error: &(dyn StdError + 'static)) -> Option<String> {
    let causes = std::iter::successors(Some(error), |error| StdError::source(*error));
    let mut failures = causes.filter_map(|cause| cause.downcast_ref::<io::Error>());
    failures
        .any(is_full)
        .then(|| "make room on the disk; mkimg rmi removes images that are no longer needed".into())
}

fn known(error: &Error) -> Option<String> {
    match error {
        Error::NoStoreRoot => Some("say where with --root DIR".into()),
        Error::Store(error) | Error::Archive(ArchiveError::Store(error)) => store(error),
        Error::Damaged { .. } => {
            Some("build it again with --no-cache, or load or import it again: that mends it".into())
        }
        Error::Archive(ArchiveError::NoImages) => {
            Some("a root file system becomes an image with: mkimg import".into())
        }
        Error::Import { source, .. } => import(source),
        Error::CacheMount(error) | Error::CacheArchive(CacheArchiveError::Mount(error)) => {
            cache_mount(error)
        }
        Error::Closure(error) => error.hint(),
        Error::Given(error) => error.hint(),
        Error::Userns(error) => error.hint(),
        Error::Container(error) => error.hint(),
        Error::Listen(error) => error.hint().map(Into::into),
        Error::NotATerminal => {
            Some("leave -t out where the input comes from a pipe or a file".into())
        }
        Error::NothingToPublish(NetworkMode::Host) => {
            Some("what listens in the container is on the host already: leave -p out".into())
        }
        Error::TerminalInput => Some("name the file, or redirect standard input".into()),
        Error::TerminalOutput => Some("name a file with -o, or redirect standard output".into()),
        Error::Name { name, source } => lower_case(name, source),
        Error::DigestAsTag(_) => Some("name it NAME:TAG".into()),
        Error::ImageInUse { .. } => {
            Some("remove the containers with mkimg rm, or only the image's name with -f".into())
        }
        Error::SeveralNames { .. } => {
            Some("remove one of the names, or the image with all of them with -f".into())
        }
        Error::Input(InputError::Store(error)) => store(error),
        Error::Input(error) => error.hint(),
        Error::Usage(error) => error.hint().map(Into::into),
        Error::Registry(error) => error.hint(),
        Error::Push {
            name,
            source,
            built,
        } => {
            let hint = match source.as_ref() {
                PushError::Store(error) => store(error),
                error => error.hint(),
            };
            let again = built.then(|| format!("the image is in the store: mkimg push {name}"));
            let both = [hint, again].into_iter().flatten();
            Some(both.collect::<Vec<_>>().join("; ")).filter(|hint| !hint.is_empty())
        }
        Error::Settings(error) => error.hint(),
        Error::LoginRefused { .. } => Some(
            "check user and password; many registries take a token in the password's place".into(),
        ),
        Error::NobodyToAsk => Some("give -u USER --password-stdin, and the password there".into()),
        Error::Pull {
            nearest: Some(nearest),
            ..
        } => Some(format!("did you mean {nearest:?}, which is in the store?")),
        Error::Pull { source, .. } => source.hint(),
        Error::TagOfAll(_) => Some("leave the tag out, or --all-tags".into()),
        Error::Platform(_) => Some("it takes OS/ARCHITECTURE, as in linux/arm64".into()),
        Error::NoTerminal => Some("--progress plain prints lines".into()),
        _ => None,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::NoImage {
            nearest: Some(nearest),
            ..
        } => Some(format!("did you mean {nearest:?}?")),
        StoreError::NoImage { .. } => Some("mkimg images lists those that are there".into()),
        StoreError::Ambiguous(_) => Some("give more digits, or a name".into()),
        StoreError::NewerVersion { .. } => {
            Some("use a newer mkimg, or another store with --root DIR".into())
        }
        StoreError::ForeignOwner { .. } | StoreError::NotAStore(_) => {
            Some("use another directory with --root DIR".into())
        }
        StoreError::Elsewhere { source: None, .. } => Some("leave --offline out".into()),
        StoreError::Corrupt { .. } | StoreError::Missing(_) | StoreError::Size { .. } => {
            Some("mkimg verify lists all that is damaged in the store".into())
        }
        StoreError::NotAnImage {
            reason: NotAnImage::Platform { .. },
            ..
        } => Some("get the image for this machine's platform".into()),
        _ => None,
    }
}

fn cache_mount(error: &CacheMountError) -> Option<String> {
    match error {
        CacheMountError::Unknown {
            nearest: Some(nearest),
            ..
        } => Some(format!("did you mean {nearest:?}?")),
        CacheMountError::Unknown { .. } => Some("mkimg cache ls lists those that are there".into()),
        CacheMountError::InUse(_) => Some("wait until the build that uses it has ended".into()),
        CacheMountError::Store(error) => store(error),
        _ => None,
    }
}

fn import(error: &ImportError) -> Option<String> {
    match error {
        ImportError::Compression(_) => Some("unpack it, and import the tar or directory".into()),
        ImportError::Store(error) => store(error),
        _ => None,
    }
}

fn lower_case(name: &str, error: &ReferenceError) -> Option<String> {
    match error {
        ReferenceError::Repository(part) if part.chars().any(|c| c.is_ascii_uppercase()) => {
            Some(format!("did you mean {:?}?", name.to_ascii_lowercase()))
        }
        _ => None,
    }
}
