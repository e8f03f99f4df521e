//! What `--cache-from` and `--cache-to` say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use builder::cache::shared::{Entry, Mode, scoped};
use builder::dockerfile::duration::{self, DurationError};
use builder::dockerfile::mount::csv;
use image_format::digest::Digest;
use image_format::nearest::nearest;
use image_format::reference::{Reference, ReferenceError};

const TYPES: [&str; 3] = ["registry", "local", "inline"];
/// Docker's, which other services have.
const ELSEWHERE: [&str; 3] = ["gha", "s3", "azblob"];
/// The name of a cache in a directory, as docker has it.
const DEFAULT_TAG: &str = "latest";

/// One `--cache-from`: references alone may be several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFrom(pub Vec<Lies>);

/// One `--cache-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTo {
    /// The caches, and which steps are written.
    pub caches: Vec<(Lies, Mode)>,
    /// Whether the image itself is to be one.
    pub inline: bool,
}

/// Where a cache lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lies {
    /// The place.
    pub place: Where,
    /// What of it is meant; empty where nothing is said.
    pub scope: String,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// In a registry, or an image there.
    Registry(Reference),
    /// In an OCI image layout.
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Which of what lies there.
        entry: Entry,
    },
}

/// Why a flag of a cache is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Quotes that are not closed, or in the middle.
    #[error("its KEY=VALUE are not well-formed: {0}")]
    Quotes(&'static str),
    /// A field without `=`.
    #[error("{0:?} is not KEY=VALUE")]
    Field(String),
    /// No type.
    #[error("it has no type=: {}", TYPES.join(", "))]
    NoType,
    /// A type that there is not.
    #[error("there is no type={found}: {}", match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => TYPES.join(", "),
    })]
    Type {
        /// What was given.
        found: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A type of docker's.
    #[error("type={found} is not supported: there are {}", TYPES.join(", "))]
    Elsewhere {
        /// The type.
        found: String,
    },
    /// A cache that is in an image is read where the image is.
    #[error(
        "type=inline is for --cache-to: what is in an image is found by type=registry,ref=IMAGE"
    )]
    Inline,
    /// A key that is needed.
    #[error("type={kind} takes {key}=")]
    Missing {
        /// The type.
        kind: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key that the type has not.
    #[error("type={kind} takes no {key}={}", match nearest {
        Some(nearest) => format!(": did you mean {nearest}?"),
        None => String::new(),
    })]
    Unknown {
        /// The type.
        kind: String,
        /// The key.
        key: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A value that a key cannot have.
    #[error("{key} is {takes}, not {found:?}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it can be.
        takes: &'static str,
        /// What was given.
        found: String,
    },
    /// A key whose other value mkimg does not follow.
    #[error("{key}={found} is not supported: {reason}")]
    NotSupported {
        /// The key.
        key: &'static str,
        /// The value.
        found: String,
        /// Why not.
        reason: &'static str,
    },
    /// A name is none.
    #[error("{0}")]
    Name(#[from] ReferenceError),
    /// An export to a digest.
    #[error("{0:?} has a digest, and that is not for anybody to choose")]
    Digest(String),
}

impl FromStr for CacheFrom {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut given = match Given::read(text)? {
            Read::Names(names) => {
                let names = names.iter().map(|name| lies(registry(name)?, ""));
                return Ok(Self(names.collect::<Result<_, _>>()?));
            }
            Read::Given(given) => given,
        };
        let place = match given.kind()? {
            "registry" => registry(&given.need("ref")?)?,
            "local" => Where::Directory {
                dir: given.need("src")?.into(),
                entry: given.entry()?,
            },
            _ => return Err(SpecError::Inline),
        };
        let scope = given.take("scope").unwrap_or_default();
        given.finish(&["ref", "src", "tag", "digest", "scope"])?;
        Ok(Self(vec![lies(place, &scope)?]))
    }
}

impl FromStr for CacheTo {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let of = |caches| Self {
            caches,
            inline: false,
        };
        let mut given = match Given::read(text)? {
            Read::Names(names) => {
                let names = names.iter().map(|name| {
                    let cache = lies(writable(name)?, "")?;
                    Ok((cache, Mode::default()))
                });
                return Ok(of(names.collect::<Result<_, SpecError>>()?));
            }
            Read::Given(given) => given,
        };
        let place = match given.kind()? {
            "registry" => writable(&given.need("ref")?)?,
            "local" => Where::Directory {
                dir: given.need("dest")?.into(),
                entry: Entry::Tag(given.take("tag").unwrap_or_else(|| DEFAULT_TAG.to_owned())),
            },
            _ => {
                given.only("mode", "min", "an image has its own layers alone")?;
                given.only("ignore-error", "true", "an export never fails a build")?;
                given.finish(&["mode"])?;
                let caches = Vec::new();
                let inline = true;
                return Ok(Self { caches, inline });
            }
        };
        let mode = match given.take("mode").as_deref() {
            None | Some("min") => Mode::Min,
            Some("max") => Mode::Max,
            Some(found) => {
                return Err(SpecError::Value {
                    key: "mode",
                    takes: "min or max",
                    found: found.to_owned(),
                });
            }
        };
        let scope = given.take("scope").unwrap_or_default();
        given.only("ignore-error", "true", "an export never fails a build")?;
        given.only("oci-mediatypes", "true", "a cache has OCI's media types")?;
        given.only("image-manifest", "true", "a cache is a manifest")?;
        given.finish(&["ref", "dest", "tag", "mode", "scope"])?;
        Ok(of(vec![(lies(place, &scope)?, mode)]))
    }
}

/// A cache of this scope, which is part of its name there.
fn lies(place: Where, scope: &str) -> Result<Lies, SpecError> {
    let place = match place {
        Where::Directory {
            dir,
            entry: Entry::Tag(tag),
        } => {
            let entry = Entry::Tag(scoped(&tag, scope));
            Where::Directory { dir, entry }
        }
        Where::Registry(reference) if !scope.is_empty() && reference.digest().is_none() => {
            let tag = scoped(reference.tag().unwrap_or(DEFAULT_TAG), scope);
            let (registry, repository) = (reference.registry(), reference.repository());
            Where::Registry(format!("{registry}/{repository}:{tag}").parse()?)
        }
        other => other,
    };
    let scope = scope.to_owned();
    Ok(Lies { place, scope })
}

fn registry(name: &str) -> Result<Where, SpecError> {
    let reference = name.parse::<Reference>()?.with_default_tag();
    Ok(Where::Registry(reference))
}

fn writable(name: &str) -> Result<Where, SpecError> {
    match registry(name)? {
        Where::Registry(reference) if reference.digest().is_some() => {
            Err(SpecError::Digest(name.to_owned()))
        }
        place => Ok(place),
    }
}

/// What a flag is.
enum Read {
    /// References alone, which lie in registries.
    Names(Vec<String>),
    Given(Given),
}

/// What is given and not yet taken.
struct Given {
    kind: String,
    values: BTreeMap<String, String>,
}

impl Given {
    fn read(text: &str) -> Result<Read, SpecError> {
        let fields = match csv::fields(text) {
            Ok(fields) => fields.into_iter().map(|field| field.text),
            Err(malformed) => return Err(SpecError::Quotes(malformed.reason)),
        };
        let fields: Vec<String> = fields.collect();
        if fields.iter().all(|field| !field.contains('=')) {
            return Ok(Read::Names(fields));
        }
        let mut values = BTreeMap::new();
        for field in fields {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| SpecError::Field(field.clone()))?;
            values.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
        let kind = values.remove("type").ok_or(SpecError::NoType)?;
        Ok(Read::Given(Self { kind, values }))
    }

    fn kind(&self) -> Result<&'static str, SpecError> {
        let kind = self.kind.as_str();
        if let Some(known) = TYPES.iter().find(|known| **known == kind) {
            return Ok(known);
        }
        let found = kind.to_owned();
        Err(match ELSEWHERE.contains(&kind) {
            true => SpecError::Elsewhere { found },
            false => SpecError::Type {
                nearest: nearest(&found, TYPES),
                found,
            },
        })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    fn need(&mut self, key: &'static str) -> Result<String, SpecError> {
        let kind = self.kind()?;
        let value = self.take(key).filter(|value| !value.is_empty());
        value.ok_or(SpecError::Missing { kind, key })
    }

    fn entry(&mut self) -> Result<Entry, SpecError> {
        let tag = self.take("tag");
        let Some(found) = self.take("digest") else {
            return Ok(Entry::Tag(tag.unwrap_or_else(|| DEFAULT_TAG.to_owned())));
        };
        let digest = found.parse::<Digest>().map_err(|_| SpecError::Value {
            key: "digest",
            takes: "sha256: and 64 digits",
            found,
        })?;
        Ok(Entry::Digest(digest))
    }

    /// What can have one value only.
    fn only(
        &mut self,
        key: &'static str,
        supported: &'static str,
        reason: &'static str,
    ) -> Result<(), SpecError> {
        match self.take(key) {
            Some(found) if found != supported => {
                Err(SpecError::NotSupported { key, found, reason })
            }
            _ => Ok(()),
        }
    }

    /// Nothing must be left.
    fn finish(self, known: &[&str]) -> Result<(), SpecError> {
        match self.values.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(SpecError::Unknown {
                nearest: nearest(&key, known.iter().copied()),
                kind: self.kind,
                key,
            }),
        }
    }
}

/// `--cache-timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl FromStr for Timeout {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        // It is not negative.
        let nanoseconds = duration::interval(text)?.unsigned_abs();
        Ok(Self(Duration::from_nanos(nanoseconds)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn from(text: &str) -> Lies {
        let parsed = text.parse::<CacheFrom>();
        let parsed = parsed.unwrap_or_else(|error| panic!("{text}: {error}"));
        parsed.0.into_iter().next().unwrap()
    }

    fn directory(dir: &str, tag: &str) -> Where {
        let entry = Entry::Tag(tag.to_owned());
        Where::Directory {
            dir: dir.into(),
            entry,
        }
    }

    #[test]
    fn docker_forms_are_read() {
        let of = |name: &str| Where::Registry(name.parse().unwrap());
        assert_eq!(from("user/app").place, of("docker.io/user/app:latest"));
        assert_eq!(from("a:1,b:2").place, of("a:1"));
        assert_eq!("a:1,b:2".parse::<CacheFrom>().unwrap().0.len(), 2);
        let lies = from("type=registry,ref=localhost:5000/x:y,scope=feature/z");
        let name = format!("localhost:5000/x:{}", scoped("y", "feature/z"));
        assert_eq!((lies.place, lies.scope.as_str()), (of(&name), "feature/z"));
        assert_eq!(from("type=local,src=a/b").place, directory("a/b", "latest"));
        assert_eq!(from("src=a,type=local,tag=t").place, directory("a", "t"));
        let digest = Digest::of(b"");
        let Where::Directory { entry, .. } =
            from(&format!("type=local,src=a,digest={digest}")).place
        else {
            panic!("a directory");
        };
        assert_eq!(entry, Entry::Digest(digest));
        let to = |text: &str| text.parse::<CacheTo>().unwrap();
        assert_eq!(to("type=local,dest=a").caches[0].1, Mode::Min);
        assert_eq!(to("type=registry,ref=a,mode=max").caches[0].1, Mode::Max);
        assert_eq!(to("user/app:cache").caches[0].0.place, of("user/app:cache"));
        assert!(to("type=inline").inline && to("type=inline,mode=min").caches.is_empty());
        assert_eq!("1m30s".parse(), Ok(Timeout(Duration::from_secs(90))));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "there are none"),
            ("src=a", "no type="),
            ("type=local", "takes src="),
            ("type=local,src=", "takes src="),
            ("type=registry", "takes ref="),
            ("type=local,dest=a,src=b", "takes no dest="),
            ("type=loca,src=a", "did you mean local?"),
            ("type=gha", "type=gha is not supported: there are registry"),
            ("type=s3,bucket=b", "type=s3 is not supported"),
            ("type=azblob", "type=azblob is not supported"),
            ("type=inline", "ref=IMAGE"),
            ("type=local,src=a,scpoe=x", "did you mean scope?"),
            ("type=local,src=a,digest=x", "digest is sha256:"),
            ("type=local,src=a,mode=max", "takes no mode="),
            ("type=registry,ref=Upper", "Upper"),
            ("type=local,a", "KEY=VALUE"),
            ("type=local,\"a", "well-formed"),
        ] {
            let error = text.parse::<CacheFrom>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let digest = Digest::of(b"");
        for (text, says) in [
            ("type=local,src=a", "takes dest="),
            ("type=local,dest=a,mode=all", "min or max"),
            ("type=inline,mode=max", "its own layers"),
            ("type=inline,scope=a", "takes no scope="),
            ("type=registry,ref=a,ignore-error=false", "never fails"),
            (
                "type=registry,ref=a,compression=zstd",
                "takes no compression=",
            ),
            (&format!("a@{digest}"), "has a digest"),
        ] {
            let error = text.parse::<CacheTo>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
