//! Running a step's command in a root file system.

mod agent;
#[cfg(test)]
pub(crate) mod fake;
mod sandbox;

use std::net::IpAddr;
use std::path::PathBuf;

use image_format::snapshot::RootMount;
use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::progress::Output;
use crate::request::{RunNetwork, Secret, Ulimit};

pub use sandbox::SandboxExecutor;

/// A command to run, all names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStep {
    /// The root file system; what the command changes in it is the step's layer.
    pub root: RootMount,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The whole environment as `NAME=value`.
    pub env: Vec<String>,
    /// The working directory, absolute.
    pub cwd: String,
    /// `name|uid[:group|gid]`; empty is root.
    pub user: String,
    /// The network.
    pub network: RunNetwork,
    /// The program itself, where the Dockerfile holds it.
    pub script: Option<Script>,
    /// Variables besides `env` whose values are secrets.
    pub secret_env: Vec<(String, Secret)>,
    /// What is mounted in the root for the command, in that order.
    pub mounts: Vec<StepMount>,
    /// What is in `/etc/hosts` besides the sandbox itself.
    pub hosts: Vec<(String, IpAddr)>,
    /// The most that `/dev/shm` may hold, in bytes.
    pub shm_size: Option<u64>,
    /// The limits of the command's processes.
    pub ulimits: Vec<Ulimit>,
}

/// Something that is mounted for a command, and is in no layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepMount {
    /// What.
    pub source: StepMountSource,
    /// Where, absolute.
    pub target: String,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

/// What a [`StepMount`] shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepMountSource {
    /// A file or directory of a root file system of its own.
    Files {
        /// The root file system; what is written goes where it says.
        root: RootMount,
        /// The path inside it, and resolved inside it.
        path: String,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// The most it may hold, in bytes.
        size: Option<u64>,
    },
    /// A file in memory.
    Secret {
        /// What it holds.
        value: Secret,
        /// Owner and permissions.
        access: FileAccess,
    },
    /// A socket whose connections lead to an agent.
    Agent {
        /// The agent's own socket.
        socket: PathBuf,
        /// An empty directory for a socket.
        dir: PathBuf,
        /// Owner and permissions.
        access: FileAccess,
    },
}

/// Owner and permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAccess {
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// An executable file that is there for one command alone: a heredoc with an interpreter line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Where it is, absolute inside the root.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; 128 and the signal's number where a signal killed it.
    pub code: u8,
    /// What was made in the root file system only for something to be mounted on it, parents
    /// first, absolute inside the root: it belongs in no layer.
    pub mount_targets: Vec<PathBuf>,
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The build was cancelled; nothing of the command is left.
    #[error("cancelled")]
    Cancelled,
    /// There is no such program, or it cannot be executed: exit code 127 or 126.
    #[error("cannot execute {program:?}")]
    Program {
        /// The program.
        program: String,
        /// The exit code that shells have for it.
        code: u8,
        /// Why.
        source: Box<runner::SandboxError>,
    },
    /// There is no namespace that commands could run in.
    #[error("no command can be run here")]
    NoNamespace(#[source] std::sync::Arc<runner::userns::UsernsError>),
    /// The socket that a command reaches an agent by cannot be made.
    #[error("cannot make a socket for the agent at {}", socket.display())]
    Agent {
        /// The agent's own socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The sandbox failed.
    #[error("the sandbox failed")]
    Sandbox(#[source] Box<runner::SandboxError>),
    /// The output of the command could not be read.
    #[error("cannot read the output of the command")]
    Output(#[source] std::io::Error),
}

/// Runs commands: in a sandbox, or in a test's imagination.
pub trait Executor: Send + Sync {
    /// Whether commands can be run at all; asked before anything is prepared for one.
    ///
    /// # Errors
    /// When they cannot.
    fn ready(&self) -> Result<(), ExecutorError> {
        Ok(())
    }

    /// Runs a command to its end, and hands over what it writes. Nothing it started is left when
    /// this returns.
    ///
    /// # Errors
    /// When it could not be run, or was cancelled; a code other than 0 is no error.
    fn run(
        &self,
        step: &RunStep,
        cancel: &Cancel,
        output: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<Ran, ExecutorError>;
}
