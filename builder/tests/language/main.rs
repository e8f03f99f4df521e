//! The Dockerfile language against docker's own cases, and against cases of our own.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod config;
mod corpora;
mod golden;
mod ignore;
mod properties;
mod public;
mod tree;
