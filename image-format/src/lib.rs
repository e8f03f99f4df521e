//! OCI documents, the store, layers and snapshots.
#![forbid(unsafe_code)]
