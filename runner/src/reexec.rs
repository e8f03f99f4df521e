//! The binary, run again as one of its own stages.

use std::io;
use std::process::Command;

/// The stage that makes a sandbox.
pub const SANDBOX: &str = "mkimg-sandbox";

/// Becomes a stage if this process was started as one, and does not return then. To be called
/// first of all in `main`, before there is any thread.
pub fn dispatch() {}

/// A command that runs a clone of this binary, which no container can write to, as the stage.
pub(crate) fn command(stage: &str) -> Result<Command, crate::SandboxError> {
    let _ = stage;
    Err(crate::SandboxError::SelfBinary(
        io::ErrorKind::Unsupported.into(),
    ))
}
