//! Making a container: its directory, its name, and the sandbox that it is to run in.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::str::FromStr;

use image_format::layout::{Image, Store};
use image_format::snapshot::{RootMount, Snapshotter};

use super::name::{self, Name};
use super::process::{Process, ProcessOptions};
use super::record::{self, Record};
use super::volume::{self, Volume};
use super::{Container, ContainerError, Places, guard, io_error, short};
use crate::network::{BoundPort, outbound, resolver};
use crate::sandbox::{Mount, MountSource, Network, SandboxSpec, Stdio, Stream};
use crate::terminal::WindowSize;

/// How often a name is made up before one that is free is found.
const NAMES: u32 = 100;

/// Which network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkMode {
    /// Its own, with a way out and published ports.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Its own loopback alone.
    None,
}

/// No network is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no network is called {0:?}: private (or bridge), host and none are")]
pub struct UnknownNetwork(pub String);

impl FromStr for NetworkMode {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        match text {
            "private" | "bridge" | "default" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            _ => Err(UnknownNetwork(text.into())),
        }
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Host => "host",
            Self::None => "none",
        })
    }
}

/// What the user wants of a container.
#[derive(Debug, Clone, Default)]
pub struct ContainerOptions {
    /// Its name; one is made up where absent.
    pub name: Option<Name>,
    /// Whether it is removed at its end.
    pub remove: bool,
    /// What runs in it.
    pub process: ProcessOptions,
    /// Its host name; the beginning of its ID where absent, or the host's with the host's network.
    pub hostname: Option<String>,
    /// Directories of the host in it.
    pub volumes: Vec<Volume>,
    /// Whether its root file system is read-only.
    pub read_only: bool,
    /// Whether it can read mkimg's standard input.
    pub interactive: bool,
    /// The size of its terminal, if it has one.
    pub window: Option<WindowSize>,
    /// Its network.
    pub network: NetworkMode,
    /// What is published of it.
    pub ports: Vec<BoundPort>,
}

impl Container {
    /// Makes a container of `image`, which the user calls `image_name`, and says in which sandbox it
    /// is to run. The image's layers are unpacked already ([`Snapshotter::ensure`]).
    ///
    /// # Errors
    /// When there is nothing to run, the name is taken, or the file system fails; nothing is left then.
    pub fn create(
        store: &Store,
        snapshotter: &dyn Snapshotter,
        image: &Image,
        image_name: &str,
        options: &ContainerOptions,
    ) -> Result<(Self, SandboxSpec), ContainerError> {
        let id = name::new_id().map_err(ContainerError::Random)?;
        let hostname = match (&options.hostname, options.network) {
            (Some(name), _) => name.clone(),
            (None, NetworkMode::Host) => host_name(),
            (None, _) => short(&id).to_owned(),
        };
        let process = Process::merge(&image.config.config, &options.process, &hostname)?;
        let mounts = mounts(options, &hostname)?;

        let places = Places::of(store);
        for dir in [&places.names, &places.ephemeral] {
            make_dir(dir)?;
        }
        places.sweep()?;
        let parent = match options.remove {
            true => &places.ephemeral,
            false => &places.all,
        };
        let dir = parent.join(&id);
        let lock = appear(&dir, parent)?;
        let mut container = Self {
            record: Record {
                name: Name::generate(0).map_err(ContainerError::Random)?,
                id,
                image_name: image_name.into(),
                image: image.id(),
                stack: image.config.rootfs.diff_ids.clone(),
                blobs: Record::blobs_of(image),
                args: process.args.clone(),
                ports: options.ports.clone(),
                created: record::now(),
                ephemeral: options.remove,
            },
            dir,
            places,
            work: None,
            _lock: lock,
        };
        match container.furnish(snapshotter, options) {
            Ok(root) => {
                if let (true, RootMount::Overlay { work, .. }) = (options.remove, &root) {
                    container.work = Some(work.clone());
                }
                let spec = spec(root, process, mounts, hostname, options);
                Ok((container, spec))
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = container.discard();
                Err(error)
            }
        }
    }

    /// Fills the directory that is there and locked, and takes the name.
    fn furnish(
        &mut self,
        snapshotter: &dyn Snapshotter,
        options: &ContainerOptions,
    ) -> Result<RootMount, ContainerError> {
        let root = snapshotter.prepare_in(&self.dir, &self.record.stack)?;
        self.record.name = self.places.claim(&self.record.id, options.name.as_ref())?;
        self.record.write(&self.dir)?;
        Ok(root)
    }
}

impl Places {
    /// Gives a container that has a directory a name that no other has.
    fn claim(&self, id: &str, wanted: Option<&Name>) -> Result<Name, ContainerError> {
        let _guard = guard(&self.names)?;
        for attempt in 0..NAMES {
            let name = match wanted {
                Some(name) => name.clone(),
                None => Name::generate(attempt).map_err(ContainerError::Random)?,
            };
            let file = self.names.join(name.as_str());
            match File::create_new(&file).and_then(|mut file| file.write_all(id.as_bytes())) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("write", &file)(error));
                }
                Err(_) => {}
            }
            let holder = match fs::read(&file) {
                // It has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(io_error("read", &file))?,
            };
            let holder = String::from_utf8_lossy(&holder).into_owned();
            if !name::is_id(&holder) || self.dir(&holder).is_none() {
                // What a dead process left.
                fs::write(&file, id).map_err(io_error("write", &file))?;
                return Ok(name);
            }
            if wanted.is_some() {
                return Err(ContainerError::NameTaken { name, id: holder });
            }
        }
        Err(ContainerError::Random(io::ErrorKind::AlreadyExists.into()))
    }
}

fn make_dir(dir: &Path) -> Result<(), ContainerError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(io_error("make", dir)(error))
        }
        _ => Ok(()),
    }
}

/// Makes a directory and locks it, before anybody who sweeps can see it unlocked.
fn appear(dir: &Path, parent: &Path) -> Result<File, ContainerError> {
    let _guard = guard(parent)?;
    DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .map_err(io_error("make", dir))?;
    let lock = File::open(dir).map_err(io_error("open", dir))?;
    lock.lock().map_err(io_error("lock", dir))?;
    Ok(lock)
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// The volumes, and the files that tell the container about its network, unless a volume is there;
/// outer mounts before inner ones.
fn mounts(options: &ContainerOptions, hostname: &str) -> Result<Vec<Mount>, ContainerError> {
    let mut mounts = volume::mounts(&options.volumes)?;
    let shares_host_network = options.network == NetworkMode::Host;
    let hosts = match options.network {
        NetworkMode::Host => fs::read_to_string("/etc/hosts").unwrap_or_default(),
        NetworkMode::Private => resolver::hosts(hostname, IpAddr::V4(outbound::ADDRESS)),
        NetworkMode::None => resolver::hosts(hostname, IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    let files = [
        (
            "/etc/resolv.conf",
            resolver::resolv_conf(shares_host_network),
        ),
        ("/etc/hosts", hosts),
        ("/etc/hostname", format!("{hostname}\n")),
    ];
    for (target, contents) in files {
        if mounts.iter().any(|mount| mount.target == Path::new(target)) {
            continue;
        }
        mounts.push(Mount {
            source: MountSource::File {
                contents,
                mode: 0o644,
            },
            target: target.into(),
            read_only: false,
        });
    }
    mounts.sort_by_key(|mount| mount.target.components().count());
    Ok(mounts)
}

fn spec(
    root: RootMount,
    process: Process,
    mounts: Vec<Mount>,
    hostname: String,
    options: &ContainerOptions,
) -> SandboxSpec {
    SandboxSpec {
        // What it writes is gone at its end, so nothing has to reach the disk before.
        volatile: options.remove,
        read_only: options.read_only,
        mounts,
        hostname,
        env: process.env,
        cwd: process.cwd,
        user: process.user,
        stdio: Stdio {
            stdin: match options.interactive {
                true => Stream::Pipe,
                false => Stream::Null,
            },
            stdout: Stream::Pipe,
            stderr: Stream::Pipe,
        },
        terminal: options.window,
        network: match options.network {
            NetworkMode::Private => Network::Private,
            NetworkMode::Host => Network::Host,
            NetworkMode::None => Network::None,
        },
        ..SandboxSpec::new(root, process.args)
    }
}
