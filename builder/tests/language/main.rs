//! The Dockerfile language against docker's own cases, and against cases of our own.

mod config;
mod corpora;
mod golden;
mod ignore;
mod properties;
mod public;
mod tree;
