//! The sandbox, its networks, and containers.

pub mod container;
pub mod network;
pub mod reexec;
pub mod sandbox;
pub mod subid;
pub mod terminal;
pub mod userns;

mod sys;

pub use sandbox::{Exit, Running, Sandbox, SandboxError};
