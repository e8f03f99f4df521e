//! Keys: what a step depends on, and nothing else.

use std::collections::BTreeMap;

use image_format::digest::{Digest, Hasher};
use serde::{Deserialize, Serialize};

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
