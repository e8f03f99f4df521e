//! The ways to a git server.

pub mod daemon;
pub mod http;
mod polled;
pub mod ssh;

use std::io::Read;

use super::error::GitError;

/// A way to a server's `git-upload-pack`.
pub trait Connection {
    /// What the server says first.
    fn greet(&mut self) -> Result<Box<dyn Read + '_>, GitError>;

    /// What it answers to a request.
    fn ask(&mut self, request: Vec<u8>) -> Result<Box<dyn Read + '_>, GitError>;
}
