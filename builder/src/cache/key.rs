//! Keys: what a step depends on, and nothing else.

use std::collections::BTreeMap;

use image_format::digest::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::dockerfile::mount::Sharing;
use crate::executor::FileAccess;
use crate::request::RunNetwork;

/// Changes when the same step would make another layer: how copies are laid out, how layers are
/// packed.
const VERSION: u32 = 2;

/// What a step depends on. Two steps with equal parts make the same layer, or could.
///
/// No time of any file is in it, no name of an image, and nothing of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// [`VERSION`] of who made the record.
    version: u32,
    /// The name of the stack of layers it stands on; none for the empty one.
    pub base: Option<Digest>,
    /// The instruction after expansion, as the image's history has it.
    pub instruction: String,
    /// As in `linux/amd64`.
    pub platform: String,
    /// The newest time of a file, in seconds since 1970.
    pub epoch: i64,
    /// What else it depends on.
    #[serde(flatten)]
    pub reads: Reads,
}

/// What a kind of step depends on beside its base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Reads {
    /// `RUN`: all that a command can see.
    Run {
        /// The program and its arguments.
        args: Vec<String>,
        /// The environment by name, arguments included, proxies not.
        env: BTreeMap<String, String>,
        /// As `USER` has it.
        user: String,
        /// The working directory.
        workdir: String,
        /// The network.
        network: RunNetwork,
        /// The text of the program, where the Dockerfile holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        script: Option<String>,
        /// What is mounted for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mounts: Vec<MountPart>,
        /// What the build was asked for besides.
        #[serde(default, skip_serializing_if = "Surroundings::are_usual")]
        surroundings: Surroundings,
    },
    /// `COPY` from the context, and `ADD`.
    Context {
        /// Where to, and how.
        placement: Placement,
        /// The digest of the files' list, which the record has in full.
        files: Digest,
    },
    /// `COPY --from` a stage or an image.
    Rootfs {
        /// The name of the stack of layers it copies from.
        from: Option<Digest>,
        /// What it copies: paths and patterns, and the digests of heredocs.
        sources: Vec<String>,
        /// Where to, and how.
        placement: Placement,
    },
    /// `WORKDIR`, where it makes the directory.
    Directory {
        /// The directory, absolute.
        path: String,
        /// Whose it is to be, as `USER` has it.
        user: String,
    },
}

/// Where a copy puts what it copies, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Where to, absolute.
    pub destination: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`; an octal number without needless zeros.
    pub chmod: Option<String>,
    /// `--link`: it then stands on no layers.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

/// What commands find around them where a build was asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The names that `/etc/hosts` has besides; not where they lead, as docker has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The size of `/dev/shm` in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// The limits of processes: name, soft, hard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<(String, Option<u64>, Option<u64>)>,
}

impl Surroundings {
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A mount of a `RUN`. Neither what a cache holds is in it, nor what a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPart {
    /// Where, absolute; none for a secret that is a variable alone.
    pub target: Option<String>,
    /// What.
    #[serde(flatten)]
    pub shows: Shows,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Shows {
    /// Files of the context, a stage or an image.
    Bind {
        /// The path in there.
        source: String,
        /// Whether they cannot be written to.
        read_only: bool,
        /// The digest of the list of the context's files, which the record has in full.
        files: Option<Digest>,
        /// The name of the stack of layers of a stage or an image.
        from: Option<Digest>,
    },
    /// A directory that builds share.
    Cache {
        /// Its id.
        id: String,
        /// Who uses it at once.
        sharing: Sharing,
        /// What of it.
        source: String,
        /// Whether it cannot be written to.
        read_only: bool,
        /// The name of the stack of layers that it begins as.
        from: Option<Digest>,
        /// Its owner and permissions when it is made.
        #[serde(flatten)]
        access: FileAccess,
    },
    /// A directory in memory.
    Tmpfs {
        /// The most it holds, in bytes.
        size: Option<u64>,
        /// Whether it cannot be written to.
        read_only: bool,
    },
    /// A secret.
    Secret {
        /// Its id.
        id: String,
        /// The variable it is in.
        env: Option<String>,
        /// Whether it must be there.
        required: bool,
        /// The file's owner and permissions.
        #[serde(flatten)]
        access: FileAccess,
    },
    /// An agent's socket.
    Ssh {
        /// Its id.
        id: String,
        /// Whether it must be there.
        required: bool,
        /// The socket's owner and permissions.
        #[serde(flatten)]
        access: FileAccess,
    },
}

impl Parts {
    /// The parts of a step.
    #[must_use]
    pub fn new(
        base: Option<Digest>,
        instruction: String,
        platform: String,
        epoch: i64,
        reads: Reads,
    ) -> Self {
        Self {
            version: VERSION,
            base,
            instruction,
            platform,
            epoch,
            reads,
        }
    }

    /// The key: the digest of the parts as JSON, whose members are in a fixed order.
    ///
    /// # Errors
    /// Never with these types; the serialiser's signature says it could.
    pub fn key(&self) -> Result<Digest, serde_json::Error> {
        let mut hasher = Hasher::new();
        serde_json::to_writer(&mut hasher, self)?;
        Ok(hasher.finish())
    }
}

/// One file that a `COPY` reads, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Its path under the context, as the instruction names it; bytes that are not UTF-8, and
    /// backslashes, are written `\xNN`.
    pub path: String,
    /// Its kind, permissions, and what it holds: `file 0644 sha256:…`, `dir 0755`,
    /// `link target`.
    pub content: String,
}
