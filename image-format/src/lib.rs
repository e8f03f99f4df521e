//! OCI documents, the store, layers and snapshots.
#![forbid(unsafe_code)]

pub mod config;
pub mod descriptor;
pub mod digest;
pub mod manifest;
pub mod media_type;
pub mod reference;
