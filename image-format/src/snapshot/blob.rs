//! What was packed, as a blob in the store.

use std::io::Write;
use std::path::Path;

use super::{SnapshotError, io_error};
use crate::layer::pack::PackError;
use crate::layer::write_behind;
use crate::layout::{Layer, Store};

/// Stores the layer that `pack` writes; `None` if it says that there is none.
pub(super) fn write_layer(
    store: &Store,
    pack: impl FnOnce(&mut dyn Write) -> Result<bool, PackError>,
) -> Result<Option<Layer>, SnapshotError> {
    let blobs = || io_error("write a layer in", &store.root().join(Path::new("tmp")));
    let (packed, blob) = write_behind(store.blob_writer()?, pack).map_err(blobs())?;
    if !packed? {
        return Ok(None);
    }
    let (diff_id, size) = blob.finish()?;
    Ok(Some(Layer { diff_id, size }))
}
