//! Layers: tar archives of what a step changed.

pub mod compression;
