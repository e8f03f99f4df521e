//! What was packed, as a blob in the store.

use std::io::Write;

use super::SnapshotError;
use crate::layer::pack::PackError;
use crate::layout::{Layer, Store};

/// Stores the layer that `pack` writes; `None` if it says that there is none.
pub(super) fn write_layer(
    store: &Store,
    pack: impl FnOnce(&mut dyn Write) -> Result<bool, PackError>,
) -> Result<Option<Layer>, SnapshotError> {
    let (packed, blob) = store.fill_blob(pack)?;
    let packed = packed?;
    let Some(blob) = blob.filter(|_| packed) else {
        return Ok(None);
    };
    let (diff_id, size) = blob.finish()?;
    Ok(Some(Layer { diff_id, size }))
}
