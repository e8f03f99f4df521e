//! One file, read and checked.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use image_format::reference::Reference;
use serde::Deserialize;
use serde_json::Value;

use super::super::{file, toml};
use super::{RegistriesError, SettingsError};
use crate::registry::endpoint::Serves;

/// What one file says.
#[derive(Debug, Default)]
pub struct ConfFile {
    /// By their prefixes.
    pub registries: BTreeMap<String, Registry>,
    /// `None` takes one back that another file has.
    pub aliases: BTreeMap<String, Option<String>>,
    pub helpers: Option<Vec<String>>,
}

/// What is said of a registry, or of a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// How the names of its images begin.
    pub prefix: String,
    /// Where they are.
    pub location: Location,
    /// Where else they may be, in order.
    pub mirrors: Vec<Location>,
    /// Whether it must not be used.
    pub blocked: bool,
    /// The file that says so.
    pub by: PathBuf,
}

/// Where images are.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// What stands for the prefix there; nothing for the prefix itself.
    pub location: String,
    /// Whether it need not speak TLS, or prove who it is.
    pub insecure: bool,
    /// What is asked for there.
    pub serves: Serves,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    registry: Vec<WrittenRegistry>,
    aliases: BTreeMap<String, String>,
    #[serde(rename = "credential-helpers")]
    helpers: Option<Vec<String>>,
    /// Version 1.
    registries: Option<BTreeMap<String, Value>>,
}

/// A `[[registry]]`, or one of its mirrors.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenRegistry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror: Vec<WrittenMirror>,
    mirror_by_digest_only: bool,
    pull_from_mirror: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenMirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

impl ConfFile {
    /// Reads a file; `None` when it is not there.
    pub fn read(path: &Path) -> Result<Option<Self>, SettingsError> {
        let Some(content) = file::read(path)? else {
            return Ok(None);
        };
        let text = String::from_utf8(content).map_err(|error| SettingsError::Read {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
        let parsed = Self::parse(&text, path);
        parsed
            .map(Some)
            .map_err(|source| SettingsError::Registries {
                path: path.to_owned(),
                source: Box::new(source),
            })
    }

    /// Reads what a file has.
    pub fn parse(text: &str, by: &Path) -> Result<Self, RegistriesError> {
        let value = toml::parse(text)?;
        let written: Written = serde_json::from_value(value).map_err(RegistriesError::Setting)?;
        if written.registries.as_ref().is_some_and(forbids) {
            return Err(RegistriesError::Version1);
        }
        let mut file = Self {
            helpers: written.helpers,
            ..Self::default()
        };
        for registry in written.registry {
            let registry = checked(registry, by)?;
            // The first of several counts, as podman has it.
            let entry = file.registries.entry(registry.prefix.clone());
            entry.or_insert(registry);
        }
        for (name, value) in written.aliases {
            let target = alias(&name, &value);
            let target = target.ok_or_else(|| RegistriesError::Alias {
                name: name.clone(),
                value,
            })?;
            file.aliases.insert(name, target);
        }
        Ok(file)
    }
}

/// Whether a table of version 1 says more than where to search.
fn forbids(registries: &BTreeMap<String, Value>) -> bool {
    let mut others = registries.iter().filter(|(name, _)| *name != "search");
    others.any(|(_, value)| {
        let list = value.get("registries").and_then(Value::as_array);
        list.is_none_or(|list| !list.is_empty())
    })
}

fn checked(written: WrittenRegistry, by: &Path) -> Result<Registry, RegistriesError> {
    let location = place(&written.location)?;
    let prefix = match place(&written.prefix)? {
        prefix if prefix.is_empty() => location.clone(),
        prefix => prefix,
    };
    if prefix.is_empty() {
        return Err(RegistriesError::Nowhere);
    }
    let is_wildcard = prefix.starts_with("*.") && !prefix[1..].contains(['*', '/', '@', ':']);
    if prefix.contains('*') && !is_wildcard || location.contains('*') && location != prefix {
        return Err(RegistriesError::Wildcard(prefix));
    }
    if !written.pull_from_mirror.is_empty() {
        return Err(RegistriesError::NotAMirror(prefix));
    }
    let mirrors = written.mirror.into_iter().map(|mirror| {
        let location = place(&mirror.location)?;
        if location.is_empty() {
            return Err(RegistriesError::MirrorNowhere(prefix.clone()));
        }
        let serves = match mirror.pull_from_mirror.as_str() {
            "" if written.mirror_by_digest_only => Serves::Digests,
            _ if written.mirror_by_digest_only && !mirror.pull_from_mirror.is_empty() => {
                return Err(RegistriesError::TwiceLimited(prefix.clone()));
            }
            "" | "all" => Serves::All,
            "digest-only" => Serves::Digests,
            "tag-only" => Serves::Tags,
            value => {
                return Err(RegistriesError::PullFromMirror {
                    mirror: location,
                    value: value.to_owned(),
                });
            }
        };
        Ok(Location {
            location,
            insecure: mirror.insecure,
            serves,
        })
    });
    Ok(Registry {
        mirrors: mirrors.collect::<Result<_, _>>()?,
        location: Location {
            // Names stay as they are where the location is the prefix itself.
            location: Some(location)
                .filter(|location| *location != prefix)
                .unwrap_or_default(),
            insecure: written.insecure,
            serves: Serves::All,
        },
        prefix,
        blocked: written.blocked,
        by: by.to_owned(),
    })
}

/// Host, port and path, without what may stand at the end.
fn place(text: &str) -> Result<String, RegistriesError> {
    if text.contains("://") {
        return Err(RegistriesError::Scheme(text.to_owned()));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// What a short name stands for: with its registry, and without tag and digest. Nothing takes another
/// file's back; `None` says that one of both is wrong.
fn alias(name: &str, value: &str) -> Option<Option<String>> {
    let short: Reference = name.parse().ok()?;
    let is_plain =
        |reference: &Reference| reference.tag().is_none() && reference.digest().is_none();
    // A name that a registry is named in does not get another in front.
    if !is_plain(&short) || !short.to_string().ends_with(&format!("/{name}")) {
        return None;
    }
    if value.is_empty() {
        return Some(None);
    }
    let target: Reference = value.parse().ok()?;
    let names_registry = value.starts_with(&format!("{}/", target.registry()));
    (is_plain(&target) && names_registry).then(|| Some(target.to_string()))
}
