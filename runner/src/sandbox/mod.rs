//! A sandbox: one program, in its own root file system and namespaces, from its start to its end.
//!
//! ```text
//!   mkimg                   stage                    init (pid 1)          payload (pid 2)
//!     │ spawn itself ────────▶│                         ·                     ·
//!     │ Begin ───────────────▶│ unshare                 ·                     ·
//!     │                       │ fork ──────────────────▶│                     ·
//!     │◀─ Namespaces: netns ──│                         │                     ·
//!     │ Make: spec, pipes ────────────────────────────▶ │ mounts, pivot_root  ·
//!     │ Start: filters ───────────────────────────────▶ │                     ·
//!     │                       │                         │ fork ──────────────▶│ user, capabilities,
//!     │                       │                         │ ⋮                   │ filter, execve
//!     │◀─ Started: pidfd, terminal, created targets ────│                     ⋮
//!     │                       │                         │ reaps all           │ exits
//!     │◀─ Exited ───────────────────────────────────────│ exits: the kernel kills the rest
//!     │◀─ exits: nothing is left, nothing is mounted ───│
//! ```
//!
//! mkimg may have threads, so it never forks: it spawns a read-only clone of its own binary
//! ([`crate::reexec`]), and everything after that happens in processes of a single thread.
//! The stage stays outside the new process namespace and does nothing but watch: when the
//! channel's other end is closed, because mkimg was killed or wants an end, it kills init, and
//! with init the kernel kills all that is in the namespace. When the stage itself is killed, init
//! gets the same signal. No mount ever appears in mkimg's own mount namespace.
//!
//! In place of an answer any message may be `Failed`, with a [`Failure`].

mod channel;
mod devices;
mod failure;
mod identity;
mod init;
mod kernel;
pub mod limits;
mod mounts;
mod payload;
pub mod privileges;
mod program;
mod root;
mod running;
mod seccomp;
mod spec;
mod stage;
mod target;
mod tree;

use std::io;

pub use channel::ChannelError;
pub use failure::{Failure, Step};
pub use privileges::Capability;
pub use running::{Running, Sandbox, Stage};
pub use spec::{
    DEFAULT_PATH, DEFAULT_SHM_SIZE, Hidden, Limit, MASKED_PATHS, Mount, MountSource, Network,
    READONLY_PATHS, SandboxSpec, Stdio, Stream,
};
pub(crate) use stage::run as run_stage;

/// How the payload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Exit {
    /// It exited with this code, from 0 to 255.
    Code(i32),
    /// A signal of this number killed it.
    Signal(i32),
}

impl Exit {
    /// What a shell would show: the code itself, or 128 and the signal's number.
    pub fn code(self) -> u8 {
        let code = match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

/// Why a sandbox did not run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The specification names no program.
    #[error("no program to run")]
    NoProgram,
    /// mkimg's own binary cannot be had in a form that no container could write to.
    #[error("cannot make a read-only clone of mkimg's own binary")]
    SelfBinary(#[source] io::Error),
    /// The child process cannot be started.
    #[error("cannot start the sandbox's process")]
    Spawn(#[source] io::Error),
    /// A pipe for a standard stream cannot be made.
    #[error("cannot prepare the standard streams")]
    Streams(#[source] io::Error),
    /// The system call filter cannot be compiled.
    #[error("cannot compile the system call filter")]
    Filter(#[from] seccomp::FilterError),
    /// Parent and child do not understand each other.
    #[error("the sandbox's process cannot be spoken to")]
    Channel(#[from] ChannelError),
    /// The child reported why it failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The child is gone and said nothing.
    #[error("the sandbox's process ended without a word")]
    Vanished,
    /// The payload cannot be signalled.
    #[error("cannot send signal {signal} to the program")]
    Signal {
        /// The signal's number.
        signal: i32,
        /// Why.
        source: io::Error,
    },
    /// The terminal cannot be resized.
    #[error(transparent)]
    Terminal(#[from] crate::terminal::TerminalError),
}

impl SandboxError {
    /// The exit code by docker's custom: 127 for a program that is not there, 126 for one that
    /// cannot be executed, 125 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            SandboxError::Failed(failure) => failure.exit_code(),
            _ => 125,
        }
    }
}
