//! What a sandbox shall be, as plain data: computed by the parent, applied by the child.

use std::fmt;
use std::path::PathBuf;

use image_format::snapshot::RootMount;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::privileges::{Capability, DOCKER_CAPABILITIES};
use crate::terminal::WindowSize;

/// All that the child needs to know; serialised once, over the channel.
///
/// Paths must be UTF-8, for the same reason that an image's configuration must.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The root file system.
    pub root: RootMount,
    /// Whether an overlay may skip every sync: right where a crash of the machine loses nothing
    /// that was promised (a build step), wrong where the payload relies on `fsync`.
    pub volatile: bool,
    /// Whether the root file system is mounted read-only (volumes, `/dev` and the like are not).
    pub read_only: bool,
    /// What is mounted into the root beside the usual `/proc`, `/sys` and `/dev`.
    pub mounts: Vec<Mount>,
    /// The host name seen inside.
    pub hostname: String,
    /// The program and its arguments, never empty.
    pub args: Vec<String>,
    /// The whole environment as `NAME=value`; `HOME` is added from the user's entry where absent.
    pub env: Vec<String>,
    /// The working directory, absolute inside the root.
    pub cwd: PathBuf,
    /// Whether a missing working directory is made.
    pub create_cwd: bool,
    /// `name|uid[:group|gid]`, looked up in the root's own files; empty is root.
    pub user: String,
    /// Where the three standard streams lead; ignored with a terminal.
    pub stdio: Stdio,
    /// A terminal of this size as the three standard streams.
    pub terminal: Option<WindowSize>,
    /// The network.
    pub network: Network,
    /// Whether the abstract sockets of processes outside are out of reach on a network that is
    /// shared with them too, where the kernel can (Landlock, from 6.12).
    pub scoped: bool,
    /// The most that `/dev/shm` may hold, in bytes.
    pub shm_size: u64,
    /// The payload's limits, where they are not mkimg's own.
    pub limits: Vec<Limit>,
    /// The capabilities the payload may hold.
    pub capabilities: Vec<Capability>,
    /// Whether docker's default system call filter applies.
    pub seccomp: bool,
    /// Whether set-user-ID programs lose their effect.
    pub no_new_privs: bool,
    /// What is hidden: files behind `/dev/null`, directories behind an empty one.
    pub masked_paths: Vec<PathBuf>,
    /// What is made read-only.
    pub readonly_paths: Vec<PathBuf>,
}

impl SandboxSpec {
    /// A sandbox with docker's defaults that runs `args` as root in `root` with no network but
    /// its own loopback, and no standard streams but `/dev/null`.
    pub fn new(root: RootMount, args: Vec<String>) -> Self {
        Self {
            root,
            volatile: false,
            read_only: false,
            mounts: Vec::new(),
            hostname: "localhost".into(),
            args,
            env: vec![format!("PATH={DEFAULT_PATH}")],
            cwd: "/".into(),
            create_cwd: true,
            user: String::new(),
            stdio: Stdio::default(),
            terminal: None,
            network: Network::None,
            scoped: false,
            shm_size: DEFAULT_SHM_SIZE,
            limits: Vec::new(),
            capabilities: DOCKER_CAPABILITIES.to_vec(),
            seccomp: true,
            no_new_privs: false,
            masked_paths: MASKED_PATHS.iter().map(PathBuf::from).collect(),
            readonly_paths: READONLY_PATHS.iter().map(PathBuf::from).collect(),
        }
    }
}

/// What is hidden in a specification travels beside it.
impl SandboxSpec {
    /// All that is hidden, in the order of the mounts.
    pub(super) fn hidden(&self) -> Vec<u8> {
        let secrets = self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Secret { contents, .. } => Some(contents.0.as_slice()),
            _ => None,
        });
        secrets.flatten().copied().collect()
    }

    /// Puts it back; false where it is less than it should be.
    pub(super) fn reveal(&mut self, mut hidden: &[u8]) -> bool {
        for mount in &mut self.mounts {
            if let MountSource::Secret { contents, .. } = &mut mount.source {
                let Some((own, rest)) = hidden.split_at_checked(contents.0.len()) else {
                    return false;
                };
                contents.0.copy_from_slice(own);
                hidden = rest;
            }
        }
        true
    }
}

/// Where programs are looked for when the environment has no `PATH`, as docker's.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `/dev/shm` may hold in docker's containers, in bytes.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

/// Docker's masked paths.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Docker's read-only paths.
pub const READONLY_PATHS: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// One thing mounted into the root; its target is made, inside the root, where it is missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where, absolute inside the root; symbolic links are followed inside the root only.
    pub target: PathBuf,
    /// Whether it is read-only, with all that is mounted below it.
    pub read_only: bool,
}

/// What a [`Mount`] shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or a directory of the host, with all that is mounted below it.
    Bind {
        /// Its path on the host.
        path: PathBuf,
    },
    /// A file or directory out of a root file system that is mounted for this alone.
    Snapshot {
        /// The root file system; an overlay's upper directory takes what is written.
        root: RootMount,
        /// The path inside it, resolved inside it only.
        path: PathBuf,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// The most it may hold, in bytes; the kernel's default where absent.
        size: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
    },
    /// A file in memory with these contents, such as `/etc/hosts`.
    File {
        /// The contents.
        contents: String,
        /// Permission bits.
        mode: u32,
    },
    /// A file in memory whose contents no message and no log shows.
    Secret {
        /// The contents.
        contents: Hidden,
        /// Permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// Bytes that are never shown. Of what is written as JSON their number is a part, and not they.
#[derive(Clone)]
pub struct Hidden(pub Vec<u8>);

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.len().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        usize::deserialize(deserializer).map(|length| Self(vec![0; length]))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A limit of a process, as setrlimit(2) has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Its name as in docker: `nofile`, `core`; see [`super::limits::NAMES`].
    pub name: String,
    /// What holds; `None` for no limit.
    pub soft: Option<u64>,
    /// How far the process may raise it; `None` for no limit.
    pub hard: Option<u64>,
}

/// Which network the payload sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The one mkimg itself sees; no namespace is made.
    Host,
    /// A namespace with its loopback up and nothing else, which stays so.
    None,
    /// A namespace with its loopback up, to which the parent adds ports and a way out.
    Private,
}

/// Where the payload's standard streams lead: never to a descriptor that mkimg was started with.
/// By `/proc/self/fd` a payload could open its file anew, in another way, or change its mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// Standard input.
    pub stdin: Stream,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
}

/// Where one standard stream leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// The sandbox's own `/dev/null`.
    #[default]
    Null,
    /// A pipe whose other end is in [`super::Running`].
    Pipe,
}
