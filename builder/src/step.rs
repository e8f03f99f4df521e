//! The three kinds of step that every instruction becomes: run, copy, config.

pub(crate) mod config;
pub(crate) mod copy;
mod log;
pub(crate) mod run;

pub use copy::{ArchiveError, CopyError};
pub use run::RunError;
