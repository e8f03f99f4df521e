//! Secrets never stay: the search of what a build made for their literal values.
//!
//! A layer is searched entry by entry: names, targets of links, extended attributes, content. What
//! is compressed, encoded or encrypted in a file is not taken apart. No value, nor any part of one,
//! is ever in an error.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;

use image_format::digest::Digest;
use image_format::layer::{Entry, Kind, LayerReader, ReadError};
use image_format::layout::{Store, StoreError};
use memchr::memmem::Finder;
use serde_json::Value;

use crate::request::Secret;

/// A value of fewer bytes is found everywhere, and is not searched for.
const SHORTEST: usize = 4;
/// So much of a file is searched at once, beside as much as the longest value has.
const CHUNK: usize = 256 << 10;

/// Why what a build made cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LeakError {
    /// A secret is in a layer.
    #[error("the value of the secret {secret:?} is in the layer: {place}")]
    Layer {
        /// Its id.
        secret: String,
        /// Where.
        place: Place,
    },
    /// A secret is in the image's config.
    #[error("the value of the secret {secret:?} is in the image's config: {member}")]
    Config {
        /// Its id.
        secret: String,
        /// The member, as in `config.Env[1]`.
        member: String,
    },
    /// A layer cannot be searched.
    #[error("cannot search the layer {diff_id} for secrets")]
    Read {
        /// The layer.
        diff_id: Digest,
        /// Why.
        source: ReadError,
    },
    /// A file of a layer cannot be searched.
    #[error("cannot search the layer {diff_id} for secrets")]
    Content {
        /// The layer.
        diff_id: Digest,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LeakError {
    /// What to do.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Layer { .. } => {
                "read the secret where RUN --mount=type=secret has it, and leave it in no file; \
                 what may hold it has to be removed by the same RUN"
            }
            Self::Config { .. } => {
                "use --secret and RUN --mount=type=secret, not ARG, ENV or LABEL, for its value"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Where in a layer a value is. A value that is in a path is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the content of a file.
    Content(String),
    /// In a path.
    Path(String),
    /// In the target of a link.
    Target(String),
    /// In an extended attribute.
    Attribute {
        /// The file.
        path: String,
        /// The attribute.
        name: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(path) => write!(f, "in the file /{path}"),
            Self::Path(path) => write!(f, "in the name of /{path}"),
            Self::Target(path) => write!(f, "in the target of the link /{path}"),
            Self::Attribute { path, name } => {
                write!(f, "in the extended attribute {name} of /{path}")
            }
        }
    }
}

/// What is searched for.
pub(crate) struct Search<'a> {
    values: Vec<Needle<'a>>,
    longest: usize,
}

struct Needle<'a> {
    id: &'a str,
    finder: Finder<'a>,
}

impl<'a> Search<'a> {
    /// Searches for these.
    pub(crate) fn new(secrets: &'a BTreeMap<String, Secret>) -> Self {
        let values = secrets.iter().map(|(id, secret)| (id, searched(secret)));
        let values = values.filter(|(_, value)| value.len() >= SHORTEST);
        let values: Vec<_> = values
            .map(|(id, value)| Needle {
                id,
                finder: Finder::new(value),
            })
            .collect();
        let lengths = values.iter().map(|needle| needle.finder.needle().len());
        Self {
            longest: lengths.max().unwrap_or(0),
            values,
        }
    }

    /// The ids of those that are too short to be searched for.
    pub(crate) fn too_short(secrets: &BTreeMap<String, Secret>) -> impl Iterator<Item = &str> {
        let short = secrets.iter();
        let short = short.filter(|(_, secret)| searched(secret).len() < SHORTEST);
        short.map(|(id, _)| id.as_str())
    }

    /// Searches a layer of the store.
    ///
    /// # Errors
    /// When a secret is in it, or it cannot be read.
    pub(crate) fn layer(&self, store: &Store, diff_id: Digest) -> Result<(), LeakError> {
        if self.values.is_empty() {
            return Ok(());
        }
        let blob = BufReader::with_capacity(CHUNK, store.open_blob(&diff_id)?);
        let mut tar = LayerReader::new(blob);
        let mut buffer = vec![0; self.longest + CHUNK];
        let unread = |source| LeakError::Read { diff_id, source };
        while let Some(entry) = tar.next_entry().map_err(unread)? {
            self.head(&entry)?;
            let found = self.content(&mut tar, &mut buffer);
            let found = found.map_err(|source| LeakError::Content { diff_id, source })?;
            if let Some(needle) = found {
                return Err(LeakError::Layer {
                    secret: needle.id.to_owned(),
                    place: Place::Content(self.shown(entry.path.as_os_str().as_bytes())),
                });
            }
        }
        Ok(())
    }

    /// All of an entry but its content. The other name of a hard link is searched where it stands.
    fn head(&self, entry: &Entry) -> Result<(), LeakError> {
        let path = entry.path.as_os_str().as_bytes();
        let leak = |needle: &Needle<'_>, place: Place| LeakError::Layer {
            secret: needle.id.to_owned(),
            place,
        };
        if let Some(needle) = self.find(path) {
            return Err(leak(needle, Place::Path(self.shown(path))));
        }
        if let Kind::Symlink(target) = &entry.kind
            && let Some(needle) = self.find(target)
        {
            return Err(leak(needle, Place::Target(self.shown(path))));
        }
        for (name, value) in &entry.meta.xattrs {
            let name = name.as_bytes();
            if let Some(needle) = self.find(name).or_else(|| self.find(value)) {
                let (path, name) = (self.shown(path), self.shown(name));
                return Err(leak(needle, Place::Attribute { path, name }));
            }
        }
        Ok(())
    }

    /// Searches what is read to its end. What is searched begins with the end of what was, so that
    /// no value lies between the two.
    fn content(&self, mut input: impl Read, buffer: &mut [u8]) -> io::Result<Option<&Needle<'a>>> {
        let mut kept = 0;
        loop {
            let mut end = kept;
            while end < buffer.len() {
                match input.read(&mut buffer[end..]) {
                    Ok(0) => break,
                    Ok(count) => end += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if let Some(needle) = self.find(&buffer[..end]) {
                return Ok(Some(needle));
            }
            if end < buffer.len() {
                return Ok(None);
            }
            kept = self.longest.saturating_sub(1);
            buffer.copy_within(end - kept..end, 0);
        }
    }

    /// Searches the config of an image, or any other document of it: names and values.
    ///
    /// # Errors
    /// When a secret is in it.
    pub(crate) fn document(&self, document: &Value) -> Result<(), LeakError> {
        match self.member(document, "") {
            Some((needle, member)) => Err(LeakError::Config {
                secret: needle.id.to_owned(),
                member: member.trim_start_matches('.').to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// The first value that is in a member of the document, which is at `place`.
    fn member(&self, value: &Value, place: &str) -> Option<(&Needle<'a>, String)> {
        match value {
            Value::String(text) => Some((self.find(text.as_bytes())?, place.to_owned())),
            Value::Array(all) => all
                .iter()
                .enumerate()
                .find_map(|(at, one)| self.member(one, &format!("{place}[{at}]"))),
            Value::Object(members) => members.iter().find_map(|(name, one)| {
                let place = format!("{place}.{}", self.shown(name.as_bytes()));
                match self.find(name.as_bytes()) {
                    Some(needle) => Some((needle, place)),
                    None => self.member(one, &place),
                }
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<&Needle<'a>> {
        let mut all = self.values.iter();
        all.find(|needle| needle.finder.find(bytes).is_some())
    }

    /// A name as errors have it: without the values that are in it.
    fn shown(&self, name: &[u8]) -> String {
        let mut shown = name.to_vec();
        for needle in &self.values {
            let length = needle.finder.needle().len();
            while let Some(at) = needle.finder.find(&shown) {
                shown.splice(at..at + length, *b"***");
            }
        }
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// What is searched for: the value as a command would have it from `$(cat …)`.
fn searched(secret: &Secret) -> &[u8] {
    let mut value = secret.0.as_slice();
    while let Some(rest) = value.strip_suffix(b"\n") {
        value = rest.strip_suffix(b"\r").unwrap_or(rest);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[(&str, &[u8])]) -> BTreeMap<String, Secret> {
        let values = values.iter();
        values
            .map(|(id, value)| ((*id).to_owned(), Secret(value.to_vec())))
            .collect()
    }

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(7);
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn a_value_is_found_wherever_it_lies() {
        let secrets = secrets(&[("a", b"0123456789abcdef\n"), ("b", b"never")]);
        let search = Search::new(&secrets);
        let mut buffer = vec![0; search.longest + 32];
        for size in [16, 31, 32, 33, 47, 48, 49, 100, 200] {
            for at in 0..=size - 16 {
                let mut content = vec![b'0'; size];
                content[at..at + 16].copy_from_slice(b"0123456789abcdef");
                let found = search.content(Slow(&content), &mut buffer).unwrap();
                assert_eq!(found.map(|needle| needle.id), Some("a"), "{at} of {size}");
                content[at + 15] = b'0';
                assert!(
                    search
                        .content(Slow(&content), &mut buffer)
                        .unwrap()
                        .is_none()
                );
            }
        }
    }

    #[test]
    fn short_values_and_line_ends_are_not_searched_for() {
        let all = secrets(&[
            ("a", b"abc\n\n"),
            ("b", b""),
            ("c", b"abcd\r\n"),
            ("d", b"\n\n\n\n\n"),
        ]);
        assert_eq!(Search::too_short(&all).collect::<Vec<_>>(), ["a", "b", "d"]);
        let search = Search::new(&all);
        assert_eq!(search.find(b"xabcdx").map(|needle| needle.id), Some("c"));
        assert!(search.find(b"abc\n\n").is_none());
    }

    #[test]
    fn a_document_is_searched_and_no_value_shown() {
        let all = secrets(&[("a", b"hunter22"), ("b", b"line\nend")]);
        let search = Search::new(&all);
        for (document, member) in [
            (
                r#"{"config": {"Env": ["A=1", "B=xhunter22"]}}"#,
                "config.Env[1]",
            ),
            (
                r#"{"config": {"Labels": {"hunter22.x": "y"}}}"#,
                "config.Labels.***.x",
            ),
            (
                r#"{"history": [{"created_by": "line\nend"}]}"#,
                "history[0].created_by",
            ),
        ] {
            let document = serde_json::from_str(document).unwrap();
            let error = search.document(&document).unwrap_err();
            assert!(
                matches!(&error, LeakError::Config { member: at, .. } if at == member),
                "{error}"
            );
            assert!(!error.to_string().contains("hunter22"));
        }
        search
            .document(&serde_json::json!({"a": ["hunter2", 1, null]}))
            .unwrap();
    }
}
