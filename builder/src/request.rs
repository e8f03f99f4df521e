//! What is to be built.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use image_format::descriptor::Platform;
use image_format::layout::{Image, NotAnImage, Store, StoreError};
use image_format::reference::{Reference, ReferenceError};
use image_format::snapshot::LayerSource;
use serde::{Deserialize, Serialize};

use crate::cache::shared::Import;
use crate::cancel::Cancel;

/// The time that files get in layers where nothing else is said: 1980-01-01T00:00:00Z, for 0
/// breaks zip archives and Python wheels. Seconds since 1970.
pub const DEFAULT_EPOCH: i64 = 315_532_800;

/// One image to be built.
#[derive(Clone)]
pub struct BuildRequest {
    /// Where bases come from, and the image goes to.
    pub store: Store,
    /// What `COPY` copies from.
    pub context: ContextSource,
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// `--build-arg`, by name.
    pub build_args: BTreeMap<String, String>,
    /// The stage to build, by name or number from 0; the last where absent.
    pub target: Option<String>,
    /// Whether every step is done, whatever the cache holds.
    pub no_cache: bool,
    /// The network of `RUN`.
    pub network: RunNetwork,
    /// The newest time a file may have, in seconds since 1970, as `SOURCE_DATE_EPOCH` of the
    /// environment has it; a build argument of that name comes before it, [`DEFAULT_EPOCH`] after.
    pub epoch: Option<i64>,
    /// What the image is built for; for now always the host's.
    pub platform: Platform,
    /// The names the image gets.
    pub tags: Vec<Reference>,
    /// Whether the store has the image afterwards; else it is written there and not named, for whoever
    /// exports it from there.
    pub keep: bool,
    /// How many stages are built at once at most.
    pub jobs: NonZeroUsize,
    /// Set it to end the build.
    pub cancel: Cancel,
    /// `--build-context`, by [`context_name`]: each comes before a stage or an image of that name.
    pub named_contexts: NamedContexts,
    /// `--no-cache-filter`: the stages, by name or number from 0, whose steps are done whatever the
    /// cache holds.
    pub no_cache_filter: Vec<String>,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, Secret>,
    /// `--ssh`: the sockets of agents, by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// `--add-host`: what `RUN` finds in `/etc/hosts` beside itself.
    pub add_hosts: Vec<(String, IpAddr)>,
    /// `--shm-size`: the size of `/dev/shm` that `RUN` sees, in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`: the limits of the commands of `RUN`.
    pub ulimits: Vec<Ulimit>,
    /// `--label`: those of the image, over what the Dockerfile says.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`: those of the image's manifest.
    pub annotations: BTreeMap<String, String>,
    /// `--cache-from`: the caches of others that are looked into, in this order.
    pub cache_from: Vec<Arc<Import>>,
    /// `--cache-to type=inline`: whether the image's manifest has the records of its steps.
    pub inline_cache: bool,
    /// When images are asked for in their registries.
    pub pull: PullPolicy,
}

impl BuildRequest {
    /// The build of a Dockerfile, with nothing else asked for.
    #[must_use]
    pub fn new(
        store: Store,
        context: impl Into<ContextSource>,
        dockerfile: DockerfileText,
    ) -> Self {
        Self {
            store,
            context: context.into(),
            dockerfile,
            build_args: BTreeMap::new(),
            target: None,
            no_cache: false,
            network: RunNetwork::default(),
            epoch: None,
            platform: Platform::host(),
            tags: Vec::new(),
            keep: true,
            jobs: NonZeroUsize::MIN,
            cancel: Cancel::new(),
            named_contexts: BTreeMap::new(),
            no_cache_filter: Vec::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            add_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            cache_from: Vec::new(),
            inline_cache: false,
            pull: PullPolicy::default(),
        }
    }
}

/// When an image is asked for in its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// When the store does not have it.
    #[default]
    Missing,
    /// Always: its tag may have moved.
    Always,
    /// Never.
    Never,
}

impl PullPolicy {
    /// Whether the registry is asked for an image, by what the store says of it.
    #[must_use]
    pub fn asks(self, here: &Result<Image, StoreError>) -> bool {
        match (here, self) {
            (_, Self::Never) | (Ok(_), Self::Missing) => false,
            // What is given by its ID has no name that could stand for something else.
            (Ok(image), Self::Always) => image.reference.is_some(),
            (Err(StoreError::NoImage { .. } | StoreError::Missing(_)), _) => true,
            (Err(StoreError::NotAnImage { reason, .. }), _) => {
                matches!(reason, NotAnImage::Platform { .. })
            }
            (Err(_), _) => false,
        }
    }
}

/// Where the files of a build context are.
#[derive(Clone, Debug)]
pub enum ContextSource {
    /// In a directory.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether its ignore file counts: as for docker, not in what was fetched.
        ignores: bool,
    },
    /// In layers of the store, base first: what an archive held.
    Layers(Vec<LayerSource>),
}

impl From<PathBuf> for ContextSource {
    fn from(path: PathBuf) -> Self {
        let ignores = true;
        Self::Directory { path, ignores }
    }
}

/// What a name of `--build-context` stands for.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// Files.
    Files(ContextSource),
    /// An image, whose config comes along where a stage stands on it.
    Image(Box<Image>),
}

/// Named contexts by [`context_name`].
pub type NamedContexts = BTreeMap<String, NamedContext>;

/// The name of a build context as docker compares it: `docker.io/library/x:latest` is `x`.
///
/// # Errors
/// When no image could be called so.
pub fn context_name(name: &str) -> Result<String, ReferenceError> {
    let name = name.parse::<Reference>()?.familiar();
    Ok(match name.strip_suffix(":latest") {
        Some(name) => name.to_owned(),
        None => name,
    })
}

/// A secret's value. It is never shown, and never in a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A limit of a process, as setrlimit(2) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Its name as in docker: `nofile`, `core`.
    pub name: String,
    /// What holds; `None` for no limit.
    pub soft: Option<u64>,
    /// How far the process may raise it; `None` for no limit.
    pub hard: Option<u64>,
}

/// A Dockerfile that has been read.
#[derive(Clone, Debug)]
pub struct DockerfileText {
    /// What messages call it.
    pub name: String,
    /// Where it was read, if from a file: `<path>.dockerignore` comes before `.dockerignore`.
    pub path: Option<PathBuf>,
    /// Its text.
    pub text: String,
}

impl DockerfileText {
    /// A text that was read from no file.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            name: "Dockerfile".to_owned(),
            path: None,
            text: text.into(),
        }
    }
}

/// The network that `RUN` sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunNetwork {
    /// The host's.
    #[default]
    Host,
    /// Its own loopback alone.
    None,
}
