//! `registries.conf`: mirrors, other places, insecure and blocked registries, aliases.
//!
//! Source: containers-registries.conf(5) and containers-registries.conf.d(5), version 2.
//!
//! What a file may say and is not followed: `unqualified-search-registries` and `short-name-mode`, for
//! a short name without an alias is docker.io's, as docker has it; `additional-layer-store-auth-helper`
//! and what no version of the format has, at the top of a file. A setting of a registry that is not
//! known is refused, for it may be one that forbids something; so is version 1.

mod file;
mod prefix;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image_format::reference::{Reference, ReferenceError};

use super::error::SettingsError;
use super::file::is_absent;
use super::places::RegistriesPlaces;
use super::toml::TomlError;
use crate::registry::Access;
use crate::registry::endpoint::Serves;
use file::ConfFile;
pub use file::{Location, Registry};

/// Stands for the files with logins among programs that keep them.
pub const AUTH_FILES: &str = "containers-auth.json";

/// Why `registries.conf` cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// It is not TOML.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// A setting has a kind of value that it does not take, or there is no such setting.
    #[error("{0}")]
    Setting(#[source] serde_json::Error),
    /// It is of version 1.
    #[error(
        "it is of version 1, with [registries.search], [registries.insecure] and [registries.block]"
    )]
    Version1,
    /// A registry has neither prefix nor location.
    #[error("a [[registry]] has neither prefix nor location")]
    Nowhere,
    /// A mirror has no location.
    #[error("a mirror of {0} has no location")]
    MirrorNowhere(String),
    /// An address is given in place of a name.
    #[error("{0:?} begins with a scheme, and takes host, port and path alone")]
    Scheme(String),
    /// A wildcard stands where it has no meaning.
    #[error("{0:?} has a wildcard, which takes the form *.example.com")]
    Wildcard(String),
    /// `pull-from-mirror` has another value than those that there are.
    #[error(
        "the mirror {mirror} has pull-from-mirror = {value:?}, and takes all, digest-only or tag-only"
    )]
    PullFromMirror {
        /// Where the mirror is.
        mirror: String,
        /// The value.
        value: String,
    },
    /// What is said of a registry is not for it.
    #[error("{0} has pull-from-mirror, which is for mirrors")]
    NotAMirror(String),
    /// Two settings contradict each other.
    #[error(
        "{0} has mirror-by-digest-only and a mirror with pull-from-mirror, and takes one of both"
    )]
    TwiceLimited(String),
    /// An alias is no short name, or does not stand for the name of an image in a registry.
    #[error(
        "the alias {name:?} = {value:?} takes a short name, and a name with its registry, without tags"
    )]
    Alias {
        /// The short name.
        name: String,
        /// What it stands for.
        value: String,
    },
    /// A name becomes none at another place.
    #[error("{name} becomes {moved:?} at {location}, and that is no name of an image")]
    Moved {
        /// The name as it was asked for.
        name: String,
        /// What it becomes.
        moved: String,
        /// The place.
        location: String,
        /// Why not.
        source: ReferenceError,
    },
    /// A tag or digest would become another.
    #[error("{name} becomes {moved:?} at {location}, which is another image")]
    Retagged {
        /// The name as it was asked for.
        name: String,
        /// What it becomes.
        moved: String,
        /// The place.
        location: String,
    },
}

impl RegistriesError {
    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Version1 => {
                "write it as version 2: [[registry]] with location, insecure and blocked, see \
                 containers-registries.conf(5)"
            }
            Self::Setting(_) => "see containers-registries.conf(5) for what can be set",
            Self::Wildcard(_) => "give the registry a location and prefix = \"*.example.com\"",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// All that the files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegistriesConf {
    /// By their prefixes, which are looked for in the order of their lengths.
    registries: BTreeMap<String, Registry>,
    aliases: BTreeMap<String, Option<String>>,
    /// The programs to ask for logins, and [`AUTH_FILES`], in order.
    helpers: Option<(Vec<String>, PathBuf)>,
}

/// A server that may have an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The host.
    pub host: String,
    /// The repository there.
    pub repository: String,
    /// Whether it need not speak TLS, or prove who it is.
    pub insecure: bool,
    /// What is asked for there.
    pub serves: Serves,
}

impl RegistriesConf {
    /// Reads the files, of which a later one takes precedence over an earlier.
    ///
    /// # Errors
    /// When one cannot be read or followed, and when a chosen one is not there.
    pub fn read(places: &RegistriesPlaces) -> Result<Self, SettingsError> {
        let mut conf = Self::default();
        let own = places.own.as_ref().filter(|path| path.exists());
        let main = match (&places.chosen, own) {
            (Some(chosen), _) => chosen,
            (None, Some(own)) => own,
            (None, None) => &places.machine,
        };
        match ConfFile::read(main)? {
            Some(file) => conf.add(file, main),
            None if places.chosen.is_some() => {
                return Err(SettingsError::Read {
                    path: main.clone(),
                    source: io::ErrorKind::NotFound.into(),
                });
            }
            None => {}
        }
        let machine = Some(&places.machine_drop_ins);
        let machine = machine.filter(|_| places.chosen.is_some() || own.is_none());
        for dir in machine.into_iter().chain(&places.own_drop_ins) {
            for path in drop_ins(dir)? {
                // One may have gone since.
                if let Some(file) = ConfFile::read(&path)? {
                    conf.add(file, &path);
                }
            }
        }
        Ok(conf)
    }

    fn add(&mut self, file: ConfFile, path: &Path) {
        self.registries.extend(file.registries);
        self.aliases.extend(file.aliases);
        if let Some(helpers) = file.helpers {
            self.helpers = Some((helpers, path.to_owned()));
        }
    }

    /// What a short name stands for, if an alias says so; the file's rule goes by the name alone, so that
    /// a tag or digest is kept.
    #[must_use]
    pub fn alias(&self, name: &str) -> Option<String> {
        let end = name.find('@').unwrap_or(name.len());
        let end = name[..end].rfind(':').unwrap_or(end);
        let value = self.aliases.get(&name[..end])?.as_ref()?;
        Some(format!("{value}{}", &name[end..]))
    }

    /// The programs to ask for logins in order, [`AUTH_FILES`] among them, and the file that says so.
    #[must_use]
    pub fn helpers(&self) -> Option<(&[String], &Path)> {
        let (helpers, path) = self.helpers.as_ref()?;
        (!helpers.is_empty()).then_some((helpers, path))
    }

    /// What is said of the registry, or the part of it, that a name lies in: `host`, `host/repository`
    /// or with tag or digest.
    #[must_use]
    pub fn registry(&self, name: &str) -> Option<&Registry> {
        let matching = self.registries.values();
        let matching =
            matching.filter(|registry| prefix::matched(name, &registry.prefix).is_some());
        matching.max_by_key(|registry| registry.prefix.len())
    }

    /// Where an image is asked for, in order. Only what is read is read elsewhere than where it belongs.
    ///
    /// # Errors
    /// When the settings make no name of the image's.
    pub fn places(
        &self,
        reference: &Reference,
        access: Access,
    ) -> Result<Vec<Place>, SettingsError> {
        let name = reference.to_string();
        let itself = |insecure| Place {
            host: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            insecure,
            serves: Serves::All,
        };
        let Some(registry) = self.registry(&name) else {
            return Ok(vec![itself(false)]);
        };
        if access == Access::Push {
            return Ok(vec![itself(registry.location.insecure)]);
        }
        let locations = registry.mirrors.iter().chain([&registry.location]);
        let places = locations.map(|location| {
            let moved = prefix::moved(reference, &registry.prefix, &location.location);
            let moved = moved.map_err(|source| SettingsError::Registries {
                path: registry.by.clone(),
                source: Box::new(source),
            })?;
            // Of the place itself something may be said as well.
            let there = self.registry(&moved.to_string());
            Ok(Place {
                host: moved.registry().to_owned(),
                repository: moved.repository().to_owned(),
                insecure: location.insecure || there.is_some_and(|there| there.location.insecure),
                serves: location.serves,
            })
        });
        places.collect()
    }
}

/// The further files of a directory by their names; none where there is no directory.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let failed = |source| SettingsError::Read {
        path: dir.to_owned(),
        source,
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "conf") && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
