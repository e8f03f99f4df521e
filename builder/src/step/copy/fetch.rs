//! Sources of an `ADD` that lie on other machines: what is fetched is then copied as a directory of
//! the build is.

use image_format::digest::Digest;
use image_format::layer::Timestamp;

use crate::address::Address;
use crate::cache::key::FilePart;
use crate::context::Context;
use crate::dockerfile::{Span, Word};
use crate::remote::{Download, GitSource, RemoteError};

use super::contents::Origin;
use super::filter::Filter;
use super::find::address;
use super::maker::Maker;
use super::source::{Source, SourceKind, Unpacking};
use super::{AddStep, CopyError, CopyStep};

/// The name of a file whose address has none, as docker has it.
const UNNAMED: &str = "__unnamed__";

/// `--checksum`.
#[derive(Debug)]
pub(super) enum Checksum {
    /// Of a file.
    Content(Digest),
    /// Of a repository: the beginning of the commit.
    Commit(String),
}

impl Checksum {
    /// What the instruction says; it is about its one source.
    ///
    /// # Errors
    /// When it is no checksum, or of nothing that has one.
    pub(super) fn of(step: &CopyStep<'_>) -> Result<Option<Self>, CopyError> {
        let Some(word) = step.add.as_ref().and_then(|add| add.checksum) else {
            return Ok(None);
        };
        let span = word.span;
        let mut paths = step.copy.paths();
        let (Some(path), None) = (paths.next(), paths.next()) else {
            return Err(CopyError::ChecksumOfSeveral { span });
        };
        let bad = |needed| CopyError::BadChecksum {
            value: word.text.clone(),
            needed,
            span,
        };
        match address(path)? {
            None => Err(CopyError::ChecksumOfLocal { span }),
            Some(Address::Http { .. }) => match word.text.parse() {
                Ok(digest) => Ok(Some(Self::Content(digest))),
                Err(_) => Err(bad("sha256: and 64 hexadecimal digits")),
            },
            Some(Address::Git { .. }) => match word.text.as_str() {
                text if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    Err(bad("the first digits of a commit"))
                }
                text => Ok(Some(Self::Commit(text.to_ascii_lowercase()))),
            },
        }
    }

    /// What is known of the one source without fetching it.
    pub(super) fn known(step: &CopyStep<'_>) -> Result<Option<FilePart>, CopyError> {
        let (Some(Self::Content(digest)), [_]) = (Self::of(step)?, &step.copy.sources[..]) else {
            return Ok(None);
        };
        let mut paths = step.copy.paths();
        Ok(paths.next().map(|word| part(&word.text, digest, None)))
    }
}

/// How a file of an address stands in a key.
fn part(url: &str, digest: Digest, modified: Option<Timestamp>) -> FilePart {
    let content = match modified {
        Some(time) => format!("file {digest} of {}", time.secs),
        None => format!("file {digest}"),
    };
    let path = url.to_owned();
    FilePart { path, content }
}

/// A source that is to be fetched.
pub(super) struct Fetch<'a> {
    pub(super) maker: &'a Maker<'a>,
    pub(super) add: &'a AddStep<'a>,
    pub(super) word: &'a Word,
    pub(super) checksum: Option<&'a Checksum>,
    pub(super) filter: &'a Filter,
    /// The number of the origin that comes of it.
    pub(super) origin: usize,
}

impl Fetch<'_> {
    /// Fetches it. `progress` gets the bytes so far, and all of them.
    ///
    /// # Errors
    /// When it cannot be had, or is not what the checksum says.
    pub(super) fn fetch<'o>(
        &self,
        address: Address,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Origin<'o>, Source), CopyError> {
        let (context, source) = match address {
            Address::Http { url, name } => self.file(&url, name, progress)?,
            Address::Git {
                source,
                keep_git_dir,
                checksum,
            } => self.repository(source, keep_git_dir, checksum)?,
        };
        Ok((Origin::Fetched(Box::new(context)), source))
    }

    fn file(
        &self,
        url: &str,
        name: String,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Context, Source), CopyError> {
        let span = self.word.span;
        let got = self.add.remote.http(url, progress, self.maker.cancel);
        let Download {
            path,
            digest,
            modified,
            ..
        } = got.map_err(|source| failed(source, span))?;
        let epoch = self.maker.epoch;
        let modified = match self.checksum {
            // It is known by its content, and has no time.
            Some(Checksum::Content(expected)) if *expected == digest => None,
            Some(Checksum::Content(expected)) => {
                return Err(self.mismatch(expected.to_string(), digest.to_string()));
            }
            _ => modified.map(|secs| Timestamp::from_secs(secs).min(epoch)),
        };
        let (directory, file) = match (path.parent(), path.file_name()) {
            (Some(directory), Some(file)) => (directory, file.as_encoded_bytes()),
            _ => return Err(CopyError::Reader),
        };
        let context = Context::open_whole(directory);
        let context = context.map_err(|error| CopyError::context(error, span))?;
        let found = context.find_path(file, &|_| true, self.maker.cancel);
        let found = found.map_err(|error| CopyError::context(error, span))?;
        let mut source = Source::of_context(found, self.origin, epoch);
        for entry in &mut source.entries {
            entry.meta.mode = 0o600;
            entry.meta.mtime = modified.unwrap_or(epoch);
            if let SourceKind::File(file) = &mut entry.kind {
                // The names that the store has for it are not the image's.
                file.inode = None;
            }
        }
        source.name = match name.as_str() {
            "" => UNNAMED.as_bytes().to_vec(),
            name => name.as_bytes().to_vec(),
        };
        source.known = Some(part(url, digest, modified));
        if self.add.unpack == Some(true) {
            source.unpacking = Unpacking::Wanted;
        }
        Ok((context, source))
    }

    fn repository(
        &self,
        mut wanted: GitSource,
        keep: Option<bool>,
        checksum: Option<String>,
    ) -> Result<(Context, Source), CopyError> {
        let span = self.word.span;
        if keep == Some(false) && self.add.keep_git_dir {
            return Err(CopyError::KeepGitDir { span });
        }
        wanted.keep_git_dir = self.add.keep_git_dir || keep == Some(true);
        let expected = match (self.checksum, checksum) {
            (Some(Checksum::Commit(flag)), Some(query)) if *flag != query => {
                return Err(self.mismatch(flag.clone(), query));
            }
            (Some(Checksum::Commit(flag)), _) => flag.clone(),
            (_, query) => query.unwrap_or_default().to_ascii_lowercase(),
        };
        let got = self.add.remote.git(&wanted, self.maker.cancel);
        let got = got.map_err(|source| failed(source, span))?;
        if !got.commit.starts_with(&expected) {
            return Err(self.mismatch(expected, got.commit));
        }
        let context = Context::open_whole(&got.path);
        let context = context.map_err(|error| CopyError::context(error, span))?;
        let enter = |below: &[u8]| self.filter.enters(below);
        let found = context.find_path(b"", &enter, self.maker.cancel);
        let found = found.map_err(|error| CopyError::context(error, span))?;
        let mut source = Source::of_context(found, self.origin, self.maker.epoch);
        self.filter.apply(&mut source.entries);
        let kept = if wanted.keep_git_dir {
            " with .git"
        } else {
            ""
        };
        source.known = Some(FilePart {
            path: self.word.text.clone(),
            content: format!("commit {}{kept}", got.commit),
        });
        Ok((context, source))
    }

    fn mismatch(&self, expected: String, found: String) -> CopyError {
        CopyError::Checksum {
            name: self.word.text.clone(),
            expected,
            found,
            span: self.word.span,
        }
    }
}

fn failed(source: RemoteError, span: Span) -> CopyError {
    match source {
        RemoteError::Cancelled => CopyError::Cancelled,
        source => CopyError::Fetch {
            source: Box::new(source),
            span,
        },
    }
}
