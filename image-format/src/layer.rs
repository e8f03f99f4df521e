//! Layers: file trees and their changes as tar archives.
//!
//! Source: OCI image specification, `layer.md`. A layer that mkimg writes is a function of what it
//! holds: entries sorted by path component, bytewise (`a`, `a/b`, `a-b`), owners as numbers, no
//! time after the epoch, no trace of the machine.
//!
//! ```text
//! tree ── pack ──► tar ── apply ──► tree            read: tar -> entries
//! upper, lowers ── pack_upper ─┐                    write: entries -> tar
//! old tree, new tree ── diff ──┴──► tar             whiteout: how "is gone" is spelt
//! tar ── index ──► listing; a stack of listings ── tree ──► what is where, with nothing unpacked
//! ```

pub mod apply;
pub mod compression;
pub mod diff;
pub(crate) mod entry;
pub mod header;
pub mod index;
#[cfg(test)]
pub(crate) mod observe;
pub mod pack;
pub mod read;
pub mod tree;
pub mod whiteout;
pub mod write;

pub use entry::{Entry, Kind, Meta, Timestamp};
pub use read::{LayerReader, ReadError};
pub use write::{LayerWriter, WriteError};
