//! The build context: the directory that `COPY` copies from, without what its ignore file leaves out.
//!
//! Nothing is read before a `COPY` asks, and then only what its sources need. Everything is reached
//! through directory handles, name by name, and no symbolic link is followed by the kernel: what
//! somebody puts in place of a directory meanwhile leads nowhere.

mod error;
mod pattern;
mod resolve;
mod walk;

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use image_format::layout::Store;
use rustix::fs::{CWD, Mode, OFlags};

pub use error::ContextError;
pub(crate) use pattern::{SourcePattern, components, has_wildcard};
pub(crate) use walk::{Enter, Found, FoundKind, Match};

use crate::cache::files::FileDigests;
use crate::cancel::Cancel;
use crate::ignore::Ignore;

/// The most bytes of an ignore file.
const LARGEST_IGNORE: u64 = 16 << 20;
/// How a directory of the context is opened.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A build context, open; nothing of it is read before a `COPY` asks.
pub struct Context {
    path: PathBuf,
    root: OwnedFd,
    ignore: Ignore,
    /// What messages call the ignore file; none where there is none.
    ignore_name: Option<String>,
    /// Read from the cache when first needed.
    digests: Mutex<Option<FileDigests>>,
}

impl Context {
    /// Opens the directory `path`, and reads its ignore file: `<dockerfile>.dockerignore` where the
    /// Dockerfile was read from a file and that exists, else `.dockerignore`.
    ///
    /// # Errors
    /// When the directory or the ignore file cannot be read.
    pub fn open(path: &Path, dockerfile: Option<&Path>) -> Result<Self, ContextError> {
        let whole = Self::open_whole(path)?;
        let beside = dockerfile.map(|file| {
            let mut name = file.as_os_str().to_owned();
            name.push(".dockerignore");
            PathBuf::from(name)
        });
        let mut ignore = (Ignore::default(), None);
        for file in beside.into_iter().chain([path.join(".dockerignore")]) {
            let Some(text) = read_ignore(&file)? else {
                continue;
            };
            let name = file.file_name().unwrap_or(file.as_os_str());
            let name = name.to_string_lossy().into_owned();
            let parsed = Ignore::parse(text.strip_prefix('\u{feff}').unwrap_or(&text));
            let parsed = parsed.map_err(|source| ContextError::Ignore { file, source })?;
            ignore = (parsed, Some(name));
            break;
        }
        Ok(Self {
            ignore: ignore.0,
            ignore_name: ignore.1,
            ..whole
        })
    }

    /// Opens the directory `path` with all that is in it, whatever an ignore file says.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_whole(path: &Path) -> Result<Self, ContextError> {
        let root = rustix::fs::openat(CWD, path, DIRECTORY & !OFlags::NOFOLLOW, Mode::empty())
            .map_err(|error| ContextError::Open {
                path: path.to_owned(),
                source: error.into(),
            })?;
        Ok(Self {
            path: path.to_owned(),
            root,
            ignore: Ignore::default(),
            ignore_name: None,
            digests: Mutex::new(None),
        })
    }

    /// What a source of a `COPY` names, with all that is in it: one match for a plain path, any
    /// number for a pattern. Of a directory, by its path below the match, `enter` says whether
    /// anything in it is wanted.
    ///
    /// # Errors
    /// When a plain path is not there or left out, or something cannot be read.
    pub(crate) fn find(
        &self,
        source: &str,
        enter: Enter<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Match>, ContextError> {
        match SourcePattern::parse(source)? {
            SourcePattern::Plain(path) => Ok(vec![self.find_path(&path, enter, cancel)?]),
            SourcePattern::Wild { base, globs } => {
                let place = resolve::resolve(self, &base)?;
                walk::matching(self, base, place, &globs, enter, cancel)
            }
        }
    }

    /// What a clean path names, with all that is in it: see [`Context::find`].
    ///
    /// # Errors
    /// As for a plain path.
    pub(crate) fn find_path(
        &self,
        path: &[u8],
        enter: Enter<'_>,
        cancel: &Cancel,
    ) -> Result<Match, ContextError> {
        let place = resolve::resolve(self, path)?;
        walk::walk(self, path.to_vec(), place, enter, cancel)?
    }

    /// What is left out of it.
    pub(crate) fn ignore(&self) -> &Ignore {
        &self.ignore
    }

    /// What is at a path of the context, in which no symbolic link may be but at its end; `None`
    /// where nothing is, or the ignore file leaves it out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Option<Found>, ContextError> {
        walk::look(self, path)
    }

    /// The digests known of the context's files.
    pub(crate) fn digests(&self, store: &Store) -> MutexGuard<'_, Option<FileDigests>> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.is_none() {
            let of =
                rustix::fs::fstat(&self.root).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino));
            *digests = Some(FileDigests::load(store, of));
        }
        digests
    }

    /// A reader of the context's files.
    pub(crate) fn opener(&self) -> Opener<'_> {
        Opener {
            context: self,
            directory: None,
        }
    }

    /// The path of something in the context, for messages.
    fn shown(&self, path: &[u8]) -> PathBuf {
        self.path.join(os(path))
    }

    fn io(&self, action: &'static str, path: &[u8], error: rustix::io::Errno) -> ContextError {
        ContextError::Io {
            action,
            path: self.shown(path),
            source: error.into(),
        }
    }
}

fn os(path: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(path)
}

/// The text of an ignore file; none where it is missing.
fn read_ignore(path: &Path) -> Result<Option<String>, ContextError> {
    let failed = |source| ContextError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    // Without NONBLOCK a pipe would hold the build up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    if metadata.len() > LARGEST_IGNORE {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_IGNORE)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    String::from_utf8(bytes).map(Some).map_err(|error| {
        failed(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            error.utf8_error(),
        ))
    })
}

/// Opens files of the context; the directory of the last one stays open, for the next is mostly
/// beside it.
pub(crate) struct Opener<'a> {
    context: &'a Context,
    directory: Option<(Vec<u8>, OwnedFd)>,
}

impl Opener<'_> {
    /// Opens a regular file by its path in the context, in which no symbolic link may be.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(&mut self, path: &[u8]) -> Result<OwnedFd, ContextError> {
        let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        let context = self.context;
        let known = self.directory.as_ref();
        if known.is_none_or(|(known, _)| known != directory) {
            let mut fd: Option<OwnedFd> = None;
            for name in components(directory) {
                let parent = fd.as_ref().unwrap_or(&context.root);
                let next = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty());
                fd = Some(next.map_err(|error| context.io("open", directory, error))?);
            }
            self.directory = fd.map(|fd| (directory.to_vec(), fd));
        }
        let parent = match &self.directory {
            Some((_, fd)) => fd,
            None => &context.root,
        };
        // Without NONBLOCK a pipe put in the file's place would hold the build up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat(parent, name, flags, Mode::empty())
            .map_err(|error| context.io("read", path, error))
    }

    /// An error about a file of the context.
    pub(crate) fn io(&self, path: &[u8], error: rustix::io::Errno) -> ContextError {
        self.context.io("read", path, error)
    }

    /// The error for a file that is not what the walk saw.
    pub(crate) fn changed(&self, path: &[u8]) -> ContextError {
        ContextError::Changed {
            path: self.context.shown(path),
        }
    }
}
