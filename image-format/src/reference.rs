//! Image references in docker's short form: `debian` is `docker.io/library/debian`.
//!
//! Source: the grammar of the distribution project's `reference` package, and docker's rules
//! for names without a registry.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

const DOCKER_HUB: &str = "docker.io";
const OFFICIAL: &str = "library/";
/// The longest name, registry included (distribution's `RepositoryNameTotalLengthMax`).
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// The name of an image: where it comes from, and which one of that repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// There is no text, or none before the tag.
    #[error("an image name must not be empty")]
    Empty,
    /// 64 hexadecimal digits would be mistaken for an image ID.
    #[error("{0:?} reads as an image ID and cannot be a name")]
    ReadsAsId(String),
    /// A part of the repository is not lower-case letters and digits with separators between.
    #[error(
        "{0:?} is not an image name: its parts take lower-case letters and digits, with '.', '_', '__' or '-' between them"
    )]
    Repository(String),
    /// The registry is not a host name or an IPv6 address in brackets, with or without a port.
    #[error("{0:?} is not a registry: it takes a host name or an address in brackets, and a port")]
    Registry(String),
    /// The tag has a letter it must not have, or too many.
    #[error(
        "{0:?} is not a tag: it takes up to 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'"
    )]
    Tag(String),
    /// The name is too long.
    #[error("an image name takes {LONGEST_NAME} letters at the most, and this one has {0}")]
    TooLong(usize),
    /// What stands behind `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Reference {
    /// The registry, as in `docker.io` or `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry, as in `library/debian`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where one was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one was given.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same reference, with the tag `latest` where neither tag nor digest was given.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// As docker prints it: without what everybody knows, as in `debian:12`.
    #[must_use]
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    /// [`Self::familiar`] without tag and digest.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DOCKER_HUB {
            return format!("{}/{}", self.registry, self.repository);
        }
        match self.repository.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.repository.clone(),
        }
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}"));
        tag.unwrap_or_default() + &digest.unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() == 64 && Digest::from_hex(text).is_ok() {
            return Err(ReferenceError::ReadsAsId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !tag.contains(']') => (name, Some(tag)),
            _ => (rest, None),
        };
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(tag.to_owned()));
        }
        let (registry, repository) = split_registry(name);
        if !is_registry(&registry) {
            return Err(ReferenceError::Registry(registry));
        }
        if !repository.split('/').all(is_path_component) {
            return Err(ReferenceError::Repository(repository));
        }
        let length = registry.len() + 1 + repository.len();
        if length > LONGEST_NAME {
            return Err(ReferenceError::TooLong(length));
        }
        Ok(Self {
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Docker's rule: the first part is a registry if it could not be a user's name.
fn split_registry(name: &str) -> (String, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if reads_as_host(first) => (first, rest),
        _ => (DOCKER_HUB, name),
    };
    if !matches!(registry, DOCKER_HUB | "index.docker.io") {
        return (registry.to_owned(), repository.to_owned());
    }
    let official = if repository.contains('/') {
        ""
    } else {
        OFFICIAL
    };
    (DOCKER_HUB.to_owned(), format!("{official}{repository}"))
}

fn reads_as_host(part: &str) -> bool {
    part == "localhost"
        || part.contains(['.', ':'])
        || part.chars().any(|letter| letter.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            !address.is_empty()
                && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    host.split('.').all(is_host_label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= LONGEST_TAG
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Letters and digits, with one `.`, one or two `_` or any number of `-` between them.
fn is_path_component(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends_in_words =
        bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word);
    ends_in_words
        && bytes.split(|b| is_word(*b)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn fills_in_what_docker_fills_in() {
        assert_eq!(canonical("debian"), "docker.io/library/debian");
        assert_eq!(
            canonical("index.docker.io/debian:12"),
            "docker.io/library/debian:12"
        );
        assert_eq!(canonical("user/app"), "docker.io/user/app");
        assert_eq!(canonical("localhost/app"), "localhost/app");
        assert_eq!(canonical("[::1]:5000/x"), "[::1]:5000/x");
        assert_eq!(canonical("Upper/x"), "Upper/x");
    }

    #[test]
    fn familiar_leaves_out_what_everybody_knows() {
        for text in ["debian:12", "user/app", "localhost:5000/a/b:1"] {
            assert_eq!(text.parse::<Reference>().unwrap().familiar(), text);
        }
        let tagged = "debian".parse::<Reference>().unwrap().with_default_tag();
        assert_eq!(tagged.familiar(), "debian:latest");
    }

    #[test]
    fn agrees_with_docker_on_every_public_case() {
        let dir = std::env::var("MKIMG_CORPORA").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora").to_owned()
        });
        let Ok(text) = std::fs::read_to_string(format!("{dir}/references.jsonl")) else {
            println!("no corpora at {dir}: the public cases were not run");
            return;
        };
        let mut seen = 0;
        for line in text.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let table = case["table"].as_str().unwrap();
            if !table.starts_with("ParseNormalizedNamed") && table != "RepositoryInfo" {
                continue;
            }
            let input = case["input"].as_str().unwrap();
            let parsed = input.parse::<Reference>();
            assert_eq!(
                parsed.is_ok(),
                case["error"].is_null(),
                "{table}: {input}: {parsed:?}"
            );
            if let (Ok(parsed), Some(full)) = (parsed, case["full"].as_str()) {
                assert_eq!(parsed.to_string(), full);
                assert_eq!(parsed.familiar(), case["familiar"].as_str().unwrap());
            }
            seen += 1;
        }
        assert_eq!(seen, 82);
    }
}
