//! What is written down of a container: `config.json` at its start, `exit.json` at its end.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use image_format::digest::Digest;
use image_format::layout::Image;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::name::Name;
use super::{ContainerError, io_error};
use crate::Exit;
use crate::network::BoundPort;

const CONFIG: &str = "config.json";
const EXIT: &str = "exit.json";

/// A container, as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its ID: 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// The image as the user called it.
    pub image_name: String,
    /// The image's ID: the digest of its config.
    pub image: Digest,
    /// The diff IDs of its layers, base first.
    pub stack: Vec<Digest>,
    /// The blobs of the image: its layers, its config, its manifest.
    pub blobs: Vec<Digest>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The published ports.
    pub ports: Vec<BoundPort>,
    /// When it was made, in seconds after 1970-01-01.
    pub created: u64,
    /// Whether it is removed at its end.
    pub ephemeral: bool,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How its program ended.
    pub exit: Exit,
    /// When, in seconds after 1970-01-01.
    pub at: u64,
}

impl Record {
    pub(super) fn blobs_of(image: &Image) -> Vec<Digest> {
        let layers = image.manifest.layers.iter().map(|layer| layer.digest);
        let manifest = Digest::of(&image.manifest_bytes);
        layers
            .chain([image.id(), manifest, image.descriptor.digest])
            .collect()
    }

    pub(super) fn read(dir: &Path) -> Result<Self, ContainerError> {
        read(dir, CONFIG)
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), ContainerError> {
        write(dir, CONFIG, self)
    }
}

impl Ended {
    pub(super) fn now(exit: Exit) -> Self {
        Self { exit, at: now() }
    }

    /// `None` where it has not ended, or nobody was left to write it down.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        read(dir, EXIT).ok()
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), ContainerError> {
        write(dir, EXIT, self)
    }
}

/// Seconds after 1970-01-01.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<T, ContainerError> {
    let path = dir.join(name);
    let bytes = fs::read(&path).map_err(io_error("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|source| ContainerError::Damaged { path, source })
}

/// Not made durable: a crash of the machine ends the container too, and one whose record is cut off
/// is still removed by its ID.
fn write(dir: &Path, name: &str, value: &impl Serialize) -> Result<(), ContainerError> {
    let path = dir.join(name);
    let bytes = serde_json::to_vec(value).map_err(|source| ContainerError::Damaged {
        path: path.clone(),
        source,
    })?;
    fs::write(&path, bytes).map_err(io_error("write", &path))
}
