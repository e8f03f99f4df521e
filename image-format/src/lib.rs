//! OCI documents, the store, layers and snapshots.
#![forbid(unsafe_code)]

pub mod archive;
pub mod closure;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod import;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod media_type;
pub mod nearest;
pub mod reference;
pub mod snapshot;
