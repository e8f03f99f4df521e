//! The Dockerfile language: text to instructions with their places, and the expansion of variables.
//!
//! Semantics are those of docker's own front end; nothing is skipped.

pub mod ast;
pub mod check;
pub mod directive;
pub mod duration;
pub mod error;
pub mod expand;
mod flags;
mod heredoc;
mod instruction;
mod lexer;
pub mod mode;
pub mod mount;
pub mod ownership;
mod parser;
pub mod port;
mod run;
mod shell_pattern;
mod shell_word;
pub mod signal;
pub mod size;
pub mod span;
mod statement;
mod words;

pub use ast::{Command, CommandLine, Dockerfile, Instruction, Stage, Word};
pub use error::{ParseError, ParseErrorKind};
pub use heredoc::is_heredoc;
pub use ownership::OwnershipError;
pub use parser::{parse, parse_as_far, parse_trigger};
pub use span::{Position, Source, Span};

/// Largest Dockerfile in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Longest physical line in bytes, without its line end: what docker's scanner takes.
pub const MAX_LINE_BYTES: usize = (1 << 16) - 1;
/// Most stages of one Dockerfile.
pub const MAX_STAGES: usize = 1000;
