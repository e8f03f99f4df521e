//! Why the cache does not have a step: what is different from the last time.
//!
//! Each Dockerfile and target has a book, `cache/v1/builds/<digest>.json`: the keys that its steps
//! had when it was last built. Their records have the parts of the keys in full.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use image_format::digest::{Digest, Hasher};
use image_format::layout::Store;
use serde::{Deserialize, Serialize};

use super::key::{FilePart, MountPart, Parts, Reads, Shows};
use super::record::{self, Record};
use super::{CacheError, publish, read};
use crate::request::{BuildRequest, ContextSource};

const BUILDS: &str = "builds";
/// A book has some hundred bytes a step.
const LARGEST: u64 = 16 << 20;

/// One thing that is different from the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The layers below: an earlier step, or the base, is another.
    Below,
    /// The instruction, after expansion.
    Instruction,
    /// A variable that the command sees is another; its value may be a secret, and is not told.
    Variable(String),
    /// A variable is new.
    VariableAdded(String),
    /// A variable is gone.
    VariableRemoved(String),
    /// Who runs the command, or owns the directory.
    User,
    /// The working directory.
    Workdir,
    /// The network of commands.
    Network,
    /// The mount there is another one.
    Mount(String),
    /// A mount is new.
    MountAdded(String),
    /// A mount is gone.
    MountRemoved(String),
    /// What `--add-host`, `--shm-size` and `--ulimit` say.
    Surroundings,
    /// The newest time of a file.
    Epoch,
    /// The platform.
    Platform,
    /// A file of the context holds something else, or has another mode.
    File(String),
    /// A file is new.
    FileAdded(String),
    /// A file is gone.
    FileRemoved(String),
    /// The stage or image that is copied from.
    Source,
    /// Where to, owner or mode of what is copied.
    Placement,
    /// Nothing: but the layer is not in the store any more, or its record is damaged.
    Lost,
    /// Nothing: but it came from a cache that this build does not import from.
    Elsewhere(String),
    /// Another version of mkimg made the record.
    Version,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below => f.write_str("the layers below changed"),
            Self::Instruction => f.write_str("the instruction changed"),
            Self::Variable(name) => write!(f, "the variable {name} changed"),
            Self::VariableAdded(name) => write!(f, "the variable {name} is new"),
            Self::VariableRemoved(name) => write!(f, "the variable {name} is gone"),
            Self::User => f.write_str("the user changed"),
            Self::Workdir => f.write_str("the working directory changed"),
            Self::Network => f.write_str("the network changed"),
            Self::Mount(target) => write!(f, "the mount at {target} changed"),
            Self::MountAdded(target) => write!(f, "the mount at {target} is new"),
            Self::MountRemoved(target) => write!(f, "the mount at {target} is gone"),
            Self::Surroundings => f.write_str("hosts, limits or the size of /dev/shm changed"),
            Self::Epoch => f.write_str("SOURCE_DATE_EPOCH changed"),
            Self::Platform => f.write_str("the platform changed"),
            Self::File(path) => write!(f, "{path} changed"),
            Self::FileAdded(path) => write!(f, "{path} is new"),
            Self::FileRemoved(path) => write!(f, "{path} is gone"),
            Self::Source => f.write_str("what is copied from changed"),
            Self::Placement => f.write_str("where to, how, or what of it is copied changed"),
            Self::Lost => f.write_str("its layer is not in the store any more"),
            Self::Elsewhere(cache) => write!(
                f,
                "it came from the cache {cache}, which this build does not name"
            ),
            Self::Version => f.write_str("another version of mkimg made it"),
        }
    }
}

/// The keys of a Dockerfile's steps: the last time, and now.
pub(crate) struct Book {
    store: Store,
    name: String,
    /// Read when a step is first missed: a cached build needs none of it.
    before: OnceLock<Vec<(String, Digest, Record)>>,
    now: Mutex<BTreeMap<String, Digest>>,
    missed: OnceLock<()>,
    /// The caches of others that are believed.
    imports: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Keys {
    /// By `<stage>/<instruction>`, from 0.
    steps: BTreeMap<String, Digest>,
}

impl Book {
    /// The book of what is asked for.
    pub(crate) fn open(request: &BuildRequest) -> Self {
        let mut hasher = Hasher::new();
        let path = request.dockerfile.path.as_deref();
        let context = match &request.context {
            ContextSource::Directory { path, .. } => Some(path.as_path()),
            // One archive in the place of another.
            ContextSource::Layers(_) => None,
        };
        fn name(path: Option<&Path>) -> &[u8] {
            path.map_or(&[], |path| path.as_os_str().as_encoded_bytes())
        }
        let target = request.target.as_deref().unwrap_or_default();
        for part in [name(context), name(path), target.as_bytes()] {
            hasher.update(part);
            hasher.update(&[0]);
        }
        Self {
            store: request.store.clone(),
            name: format!("{}.json", hasher.finish().hex()),
            before: OnceLock::new(),
            now: Mutex::default(),
            missed: OnceLock::new(),
            imports: {
                let imports = request.cache_from.iter();
                imports.map(|import| import.name().to_owned()).collect()
            },
        }
    }

    /// Says that something in it is new.
    pub(crate) fn renew(&self) {
        self.missed.get_or_init(|| ());
    }

    /// Notes a step's key, by the numbers of its stage and instruction.
    pub(crate) fn note(&self, position: (usize, usize), key: Digest) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.insert(place(position), key);
    }

    /// What is different from the last time; nothing if there is no such time.
    pub(crate) fn explain(
        &self,
        position: (usize, usize),
        key: &Digest,
        parts: &Parts,
        files: impl Iterator<Item = FilePart>,
    ) -> Vec<Reason> {
        self.renew();
        let before = self.before.get_or_init(|| self.read_before());
        if let Some((_, _, record)) = before.iter().find(|(_, known, _)| known == key) {
            let elsewhere = record.from.clone();
            let elsewhere = elsewhere.filter(|from| !self.imports.contains(from));
            return vec![elsewhere.map_or(Reason::Lost, Reason::Elsewhere)];
        }
        let place = place(position);
        let alike = |(known, _, record): &&(String, Digest, Record)| {
            let same = record.parts.instruction == parts.instruction;
            let kind =
                std::mem::discriminant(&record.parts.reads) == std::mem::discriminant(&parts.reads);
            kind && (same || *known == place)
        };
        // The same instruction says more than the same place: lines move.
        let nearest = before
            .iter()
            .filter(alike)
            .max_by_key(|(known, _, record)| {
                (
                    record.parts.instruction == parts.instruction,
                    *known == place,
                )
            });
        nearest.map_or_else(Vec::new, |(_, known, record)| {
            let files_then = || record::files(&self.store, known);
            reasons(record, files_then, parts, files)
        })
    }

    /// Writes the book where something in it is new.
    pub(crate) fn keep(&self) -> Result<(), CacheError> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let path = super::directory(&self.store, BUILDS).join(&self.name);
        if now.is_empty() || (self.missed.get().is_none() && path.exists()) {
            return Ok(());
        }
        // A build that failed knows nothing of its later steps: what was known of them stays.
        let mut keys = self.read_keys();
        keys.steps
            .extend(now.iter().map(|(place, key)| (place.clone(), *key)));
        publish(&self.store, BUILDS, &self.name, |out| {
            serde_json::to_writer(out, &keys).map_err(std::io::Error::from)
        })
    }

    fn read_keys(&self) -> Keys {
        read(&self.store, BUILDS, &self.name, LARGEST)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    fn read_before(&self) -> Vec<(String, Digest, Record)> {
        let keys = self.read_keys().steps.into_iter();
        keys.filter_map(|(place, key)| {
            let record = record::read(&self.store, &key)?;
            Some((place, key, record))
        })
        .collect()
    }
}

fn place((stage, instruction): (usize, usize)) -> String {
    format!("{stage}/{instruction}")
}

fn reasons(
    before: &Record,
    before_files: impl FnOnce() -> Vec<FilePart>,
    now: &Parts,
    files: impl Iterator<Item = FilePart>,
) -> Vec<Reason> {
    let old = &before.parts;
    let mut reasons = Vec::new();
    let mut check = |same: bool, reason: Reason| {
        if !same {
            reasons.push(reason);
        }
    };
    check(old.base == now.base, Reason::Below);
    check(old.platform == now.platform, Reason::Platform);
    check(old.epoch == now.epoch, Reason::Epoch);
    match (&old.reads, &now.reads) {
        (
            Reads::Run {
                args,
                env,
                user,
                workdir,
                network,
                script,
                mounts,
                surroundings,
            },
            Reads::Run {
                args: new_args,
                env: new_env,
                user: new_user,
                workdir: new_workdir,
                network: new_network,
                script: new_script,
                mounts: new_mounts,
                surroundings: new_surroundings,
            },
        ) => {
            check(
                args == new_args && script == new_script,
                Reason::Instruction,
            );
            check(user == new_user, Reason::User);
            check(workdir == new_workdir, Reason::Workdir);
            check(network == new_network, Reason::Network);
            check(surroundings == new_surroundings, Reason::Surroundings);
            reasons.extend(variables(env, new_env));
            reasons.extend(changed_mounts(mounts, new_mounts));
            reasons.extend(changed_files(before_files(), files));
        }
        (
            Reads::Context { placement, .. },
            Reads::Context {
                placement: new_placement,
                ..
            },
        ) => {
            check(old.instruction == now.instruction, Reason::Instruction);
            check(placement == new_placement, Reason::Placement);
            reasons.extend(changed_files(before_files(), files));
        }
        (
            Reads::Rootfs {
                from,
                sources,
                placement,
            },
            Reads::Rootfs {
                from: new_from,
                sources: new_sources,
                placement: new_placement,
            },
        ) => {
            check(from == new_from, Reason::Source);
            check(
                old.instruction == now.instruction && sources == new_sources,
                Reason::Instruction,
            );
            check(placement == new_placement, Reason::Placement);
        }
        (
            Reads::Directory { path, user },
            Reads::Directory {
                path: new_path,
                user: new_user,
            },
        ) => {
            check(path == new_path, Reason::Instruction);
            check(user == new_user, Reason::User);
        }
        _ => check(false, Reason::Instruction),
    }
    if reasons.is_empty() {
        // No part that can be named: the records are laid out in another way.
        reasons.push(if old.instruction == now.instruction {
            Reason::Version
        } else {
            Reason::Instruction
        });
    }
    reasons
}

fn variables<'a>(
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = Reason> + 'a {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        // the time has a reason of its own
        .filter(|name| *name != crate::step::run::EPOCH)
        .filter_map(|name| match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old == new => None,
            (Some(_), Some(_)) => Some(Reason::Variable(name.clone())),
            (None, _) => Some(Reason::VariableAdded(name.clone())),
            (_, None) => Some(Reason::VariableRemoved(name.clone())),
        })
}

fn changed_mounts(old: &[MountPart], new: &[MountPart]) -> Vec<Reason> {
    let by_target = |mounts: &[MountPart]| -> BTreeMap<String, Vec<Shows>> {
        let mut all: BTreeMap<String, Vec<Shows>> = BTreeMap::new();
        for mount in mounts {
            let mut shows = mount.shows.clone();
            if let Shows::Bind { files, .. } = &mut shows {
                // The files themselves are told.
                *files = files.map(|_| Digest::of(b""));
            }
            let name = match (&mount.target, &shows) {
                (None, Shows::Secret { env: Some(env), .. }) => format!("${env}"),
                (target, _) => target.clone().unwrap_or_default(),
            };
            all.entry(name).or_default().push(shows);
        }
        all
    };
    let (old, new) = (by_target(old), by_target(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let reason = |name: &String| match (old.get(name), new.get(name)) {
        (old, new) if old == new => None,
        (None, _) => Some(Reason::MountAdded(name.clone())),
        (_, None) => Some(Reason::MountRemoved(name.clone())),
        _ => Some(Reason::Mount(name.clone())),
    };
    names.into_iter().filter_map(reason).collect()
}

fn changed_files(old: Vec<FilePart>, new: impl Iterator<Item = FilePart>) -> Vec<Reason> {
    let old = old.into_iter();
    let mut old: BTreeMap<String, (String, bool)> = old
        .map(|FilePart { path, content }| (path, (content, false)))
        .collect();
    let mut changed: BTreeMap<String, fn(String) -> Reason> = BTreeMap::new();
    for FilePart { path, content } in new {
        match old.get_mut(&path) {
            None => {
                changed.insert(path, Reason::FileAdded);
            }
            Some((known, seen)) => {
                *seen = true;
                if *known != content {
                    changed.insert(path, Reason::File);
                } else {
                    // Of a path that is there twice, the last counts.
                    changed.remove(&path);
                }
            }
        }
    }
    let gone = old.into_iter().filter(|(_, (_, seen))| !seen);
    let gone = gone.map(|(path, _)| Reason::FileRemoved(path));
    let changed = changed.into_iter().map(|(path, reason)| reason(path));
    changed.chain(gone).collect()
}
