//! Running a step's command in a root file system.

#[cfg(test)]
pub(crate) mod fake;
mod sandbox;

use image_format::snapshot::RootMount;

use crate::cancel::Cancel;
use crate::progress::Output;
use crate::request::RunNetwork;

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
    pub mount_targets: Vec<std::path::PathBuf>,
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
