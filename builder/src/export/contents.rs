//! The contents of files where they lie: in layers.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

use image_format::layer::LayerReader;
use image_format::layer::tree::Place;
use image_format::layout::Store;
use image_format::snapshot::LayerSource;

use super::ExportError;
use crate::cache::layers;

/// A content is read in pieces of this many bytes at least; larger ones go past the buffer.
const BUFFER: usize = 8 << 10;

/// Opens contents. All layers that were asked of stay open: files of several take turns.
pub(super) struct Contents<'a> {
    store: &'a Store,
    layers: &'a [LayerSource],
    open: Vec<Option<File>>,
}

impl<'a> Contents<'a> {
    pub(super) fn new(store: &'a Store, layers: &'a [LayerSource]) -> Self {
        Self {
            store,
            layers,
            open: layers.iter().map(|_| None).collect(),
        }
    }

    /// A reader of the content that is in `place`, of the file `path`.
    pub(super) fn open(
        &mut self,
        place: Place,
        path: &Path,
    ) -> Result<LayerReader<BufReader<&File>>, ExportError> {
        let read = |source| ExportError::Read {
            path: path.to_owned(),
            source,
        };
        let missing = || read(std::io::ErrorKind::NotFound.into());
        let layer = self.layers.get(place.layer).ok_or_else(missing)?;
        let file = self.open.get_mut(place.layer).ok_or_else(missing)?;
        if file.is_none() {
            *file = Some(layers::plain(self.store, layer)?);
        }
        let mut file = file.as_ref().ok_or_else(missing)?;
        file.seek(SeekFrom::Start(place.header_offset))
            .map_err(read)?;
        let mut reader = LayerReader::new(BufReader::with_capacity(BUFFER, file));
        reader
            .next_entry()
            .map_err(|source| ExportError::Malformed {
                path: path.to_owned(),
                source,
            })?;
        Ok(reader)
    }
}
