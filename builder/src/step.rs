//! The three kinds of step that every instruction becomes: run, copy, config.

pub mod copy;

pub use copy::CopyError;
