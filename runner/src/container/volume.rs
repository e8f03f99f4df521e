//! Directories of the host in a container: docker's `-v host:container[:mode]`.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use crate::sandbox::{Mount, MountSource};

/// A file or directory of the host, and where it appears inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its path on the host.
    pub host: PathBuf,
    /// Its path inside.
    pub target: PathBuf,
    /// Whether it can be written to.
    pub read_only: bool,
}

/// Why a `-v` cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Not `host:container[:mode]`.
    #[error("{0:?} is not host:container or host:container:ro")]
    Malformed(String),
    /// The place inside is not one.
    #[error("{0:?}: the path inside the container must be absolute, and not /")]
    Target(String),
    /// A mode that docker has not either.
    #[error("{spec:?}: no mode is called {mode:?}")]
    Mode {
        /// The whole.
        spec: String,
        /// The mode.
        mode: String,
    },
    /// A volume without a directory of the host.
    #[error("{0:?}: volumes that mkimg would have to keep are not supported yet")]
    Named(String),
    /// A mode that mkimg has not.
    #[error("{spec:?}: the mode {mode:?} is not supported yet")]
    UnsupportedMode {
        /// The whole.
        spec: String,
        /// The mode.
        mode: String,
    },
    /// Two for one place.
    #[error("two volumes for {}", .0.display())]
    Duplicate(PathBuf),
    /// The directory of the host is not there and cannot be made.
    #[error("cannot make {}", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl VolumeError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            VolumeError::Named(_) => Some(
                "name a directory of the host by its absolute path, as in -v \"$PWD/data:/data\"",
            ),
            VolumeError::UnsupportedMode { .. } => Some("the modes are ro and rw"),
            _ => None,
        }
    }
}

impl FromStr for Volume {
    type Err = VolumeError;

    fn from_str(spec: &str) -> Result<Self, VolumeError> {
        let fields: Vec<&str> = spec.split(':').collect();
        let (host, target, modes) = match fields[..] {
            [target] if !target.is_empty() => {
                return Err(match is_target(target) {
                    true => VolumeError::Named(spec.into()),
                    false => VolumeError::Target(spec.into()),
                });
            }
            [host, target] => (host, target, None),
            [host, target, modes] => (host, target, Some(modes)),
            _ => return Err(VolumeError::Malformed(spec.into())),
        };
        if host.is_empty() || target.is_empty() {
            return Err(VolumeError::Malformed(spec.into()));
        }
        if !is_target(target) {
            return Err(VolumeError::Target(spec.into()));
        }
        let read_only = read_only(spec, modes)?;
        if !host.starts_with('/') {
            return Err(VolumeError::Named(spec.into()));
        }
        Ok(Self {
            host: host.into(),
            target: normalised(Path::new(target)),
            read_only,
        })
    }
}

fn is_target(path: &str) -> bool {
    path.starts_with('/') && normalised(Path::new(path)) != Path::new("/")
}

/// The path as docker cleans it: without `.`, and with `..` taken by the letter.
fn normalised(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

fn read_only(spec: &str, modes: Option<&str>) -> Result<bool, VolumeError> {
    let mut access = None;
    let mut propagation = None;
    let mut unsupported = None;
    for mode in modes.map(|modes| modes.split(',')).into_iter().flatten() {
        let once = match mode {
            "ro" | "rw" => access.replace(mode == "ro").is_none(),
            // What every volume has.
            "rprivate" => propagation.replace(mode).is_none(),
            "private" | "shared" | "rshared" | "slave" | "rslave" => {
                unsupported = Some(mode);
                propagation.replace(mode).is_none()
            }
            "z" | "Z" | "nocopy" | "consistent" | "cached" | "delegated" => {
                unsupported = Some(mode);
                true
            }
            _ => false,
        };
        if !once {
            return Err(VolumeError::Mode {
                spec: spec.into(),
                mode: mode.into(),
            });
        }
    }
    match unsupported {
        Some(mode) => Err(VolumeError::UnsupportedMode {
            spec: spec.into(),
            mode: mode.into(),
        }),
        None => Ok(access.unwrap_or(false)),
    }
}

/// The mounts of volumes. Directories of the host that are not there are made, as docker does.
///
/// # Errors
/// When one cannot be made, or two are for one place.
pub(super) fn mounts(volumes: &[Volume]) -> Result<Vec<Mount>, VolumeError> {
    let mut mounts: Vec<Mount> = Vec::new();
    for volume in volumes {
        if mounts.iter().any(|mount| mount.target == volume.target) {
            return Err(VolumeError::Duplicate(volume.target.clone()));
        }
        // A link that leads nowhere is not there.
        if fs::metadata(&volume.host).is_err() {
            fs::create_dir_all(&volume.host).map_err(|source| VolumeError::Make {
                path: volume.host.clone(),
                source,
            })?;
        }
        mounts.push(Mount {
            source: MountSource::Bind {
                path: volume.host.clone(),
            },
            target: volume.target.clone(),
            read_only: volume.read_only,
        });
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_read() {
        let volume: Volume = "/tmp/a b:/x/../data//y:ro".parse().unwrap();
        assert_eq!(volume.host, Path::new("/tmp/a b"));
        assert_eq!(volume.target, Path::new("/data/y"));
        assert!(volume.read_only);
        assert!(matches!(
            "/a:/".parse::<Volume>(),
            Err(VolumeError::Target(_))
        ));
        assert!(matches!(
            "db:/a".parse::<Volume>(),
            Err(VolumeError::Named(_))
        ));
        assert!(matches!("/a".parse::<Volume>(), Err(VolumeError::Named(_))));
    }

    #[test]
    fn two_for_one_place_are_refused() {
        let volumes: Vec<Volume> = ["/tmp:/a", "/usr:/a/"].map(|v| v.parse().unwrap()).into();
        assert!(matches!(mounts(&volumes), Err(VolumeError::Duplicate(_))));
    }

    /// What docker refuses is refused, and what it takes is taken or called not supported.
    #[test]
    fn public_cases() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/corpora/cli/volume_v_flag.jsonl");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("no {}: nothing compared", path.display());
            return;
        };
        for line in text.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let spec = case["spec"].as_str().or(case["bind"].as_str()).unwrap();
            let valid = case["valid"].as_bool().unwrap_or(case["expErr"].is_null());
            match spec.parse::<Volume>() {
                Ok(volume) => {
                    assert!(valid, "{spec:?}");
                    if let Some(writable) = case["expected"]["RW"].as_bool() {
                        assert_eq!(volume.read_only, !writable, "{spec:?}");
                    }
                }
                // A name with a mode of its own is refused for the name.
                Err(VolumeError::Named(_) | VolumeError::UnsupportedMode { .. }) => {}
                Err(_) => assert!(!valid, "{spec:?}"),
            }
        }
    }
}
