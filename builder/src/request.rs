//! What is to be built.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use image_format::descriptor::Platform;
use image_format::layout::Store;
use image_format::reference::Reference;
use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;

/// The time that files get in layers where nothing else is said: 1980-01-01T00:00:00Z, for 0
/// breaks zip archives and Python wheels. Seconds since 1970.
pub const DEFAULT_EPOCH: i64 = 315_532_800;

/// One image to be built.
#[derive(Clone)]
pub struct BuildRequest {
    /// Where bases come from, and the image goes to.
    pub store: Store,
    /// The directory that `COPY` copies from.
    pub context: PathBuf,
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
    /// How many stages are built at once at most.
    pub jobs: NonZeroUsize,
    /// Set it to end the build.
    pub cancel: Cancel,
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
