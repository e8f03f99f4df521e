//! The listings of layers, so that a layer need be read only once to be asked what is in it.

use std::fs::File;
use std::io::{self, Seek};
use std::time::SystemTime;

use image_format::digest::Digest;
use image_format::layer::index::{IndexError, LayerIndex};
use image_format::layout::{Store, StoreError, VerifiedReader};
use image_format::snapshot::LayerSource;

use super::files::{FileDigests, FileId};
use super::{CacheError, publish, read};

const LAYERS: &str = "layers";
const LARGEST: u64 = 512 << 20;

/// Why a layer cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The layer is malformed, corrupt, or cannot be read.
    #[error("cannot list the layer {diff_id}")]
    Index {
        /// The layer.
        diff_id: Digest,
        /// Why.
        source: IndexError,
    },
    /// The layer cannot be read.
    #[error("cannot read the layer {diff_id}")]
    Read {
        /// The layer.
        diff_id: Digest,
        /// Why.
        source: io::Error,
    },
    /// The layer cannot be unpacked from its compression.
    #[error("cannot decompress the layer {diff_id}")]
    Decompress {
        /// The layer.
        diff_id: Digest,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The listing of a layer, from the cache or from the layer itself.
///
/// # Errors
/// When the layer is missing or not sound, or the cache cannot be written.
pub(crate) fn index(store: &Store, layer: &LayerSource) -> Result<LayerIndex, LayerError> {
    let diff_id = layer.diff_id;
    let name = diff_id.hex();
    if let Some(index) = known(store, &name) {
        return Ok(index);
    }
    let failed = |source| LayerError::Index { diff_id, source };
    let index = if store.blob_size(&diff_id)?.is_some() {
        LayerIndex::of_file(plain(store, layer)?).map_err(failed)?
    } else {
        LayerIndex::read(store.layer_tar(&layer.blob, &diff_id)?).map_err(failed)?
    };
    let bytes = index.as_bytes();
    let digest = Digest::of(bytes);
    publish(store, LAYERS, &name, |out| {
        out.write_all(bytes)?;
        out.write_all(digest.as_bytes())
    })?;
    Ok(index)
}

/// Whether the listing of a layer can be had without the layer; it may be torn, and need it still.
pub(crate) fn is_listed(store: &Store, layer: &LayerSource) -> bool {
    super::directory(store, LAYERS)
        .join(layer.diff_id.hex())
        .exists()
}

/// The listing in the cache; none where it is missing or torn.
fn known(store: &Store, name: &str) -> Option<LayerIndex> {
    let mut bytes = read(store, LAYERS, name, LARGEST)?;
    let digest = bytes.split_off(bytes.len().checked_sub(32)?);
    if Digest::of(&bytes).as_bytes()[..] != digest {
        return None;
    }
    LayerIndex::from_bytes(bytes).ok()
}

/// The layer's tar, verified. A compressed layer is unpacked into the store first, as a blob of its
/// own digest, so that any part of it can be read.
///
/// # Errors
/// When the layer is missing or corrupt, or the disk is full.
pub(crate) fn plain(store: &Store, layer: &LayerSource) -> Result<File, LayerError> {
    let diff_id = layer.diff_id;
    if store.blob_size(&diff_id)?.is_none() {
        let mut tar = store.layer_tar(&layer.blob, &diff_id)?;
        let mut writer = store.blob_writer()?;
        io::copy(&mut tar, &mut writer)
            .map_err(|source| LayerError::Decompress { diff_id, source })?;
        writer.finish_as(diff_id)?;
    }
    let mut file = store.open_blob(&diff_id)?;
    verify(store, &file, diff_id)?;
    let rewound = file.rewind();
    rewound.map_err(|source| LayerError::Read { diff_id, source })?;
    Ok(file)
}

/// Reads a blob to see whether it is the one it should be, unless it was in just this state when that
/// was last seen: parts of it are read next, and no part could be verified alone.
fn verify(store: &Store, blob: &File, diff_id: Digest) -> Result<(), LayerError> {
    if store.has_written(&diff_id) {
        return Ok(());
    }
    let failed = |source| LayerError::Read { diff_id, source };
    let stat = |file: &File| rustix::fs::fstat(file).map_err(|error| failed(error.into()));
    let state = FileId::of(&stat(blob)?);
    let all = File::open(store.root().join("blobs/sha256")).map_err(failed)?;
    let all = stat(&all)?;
    let known = FileDigests::load(store, (all.st_dev, all.st_ino));
    if known.get(&state) == Some(diff_id) {
        return Ok(());
    }
    let seen = SystemTime::now();
    let mut verified = VerifiedReader::new(blob, diff_id, state.size);
    io::copy(&mut verified, &mut io::sink()).map_err(|error| {
        match error.downcast::<StoreError>() {
            Ok(error) => LayerError::Store(error),
            Err(error) => failed(error),
        }
    })?;
    Ok(known.add(store, [(state, diff_id)].into_iter(), seen)?)
}

#[cfg(test)]
mod tests {
    use image_format::layer::{Entry, Kind, LayerWriter, Meta, Timestamp};

    use super::*;

    #[test]
    fn a_listing_is_made_once_and_a_torn_one_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut layer = LayerWriter::new(store.blob_writer().unwrap(), Timestamp::default());
        let entry = Entry {
            path: "a".into(),
            kind: Kind::Dir,
            meta: Meta::default(),
        };
        layer.append(&entry, io::empty()).unwrap();
        let (diff_id, size) = layer.finish().unwrap().finish().unwrap();
        let source = LayerSource::from(image_format::layout::Layer { diff_id, size });
        let first = index(&store, &source).unwrap();
        assert_eq!(first.entries().count(), 1);
        let blob = store.blob_path(&diff_id);
        let bytes = std::fs::read(&blob).unwrap();
        std::fs::remove_file(&blob).unwrap();
        assert_eq!(index(&store, &source).unwrap(), first);
        let cached = super::super::directory(&store, LAYERS).join(diff_id.hex());
        std::fs::write(&cached, [0; 100]).unwrap();
        assert!(index(&store, &source).is_err());
        std::fs::write(&blob, bytes).unwrap();
        assert_eq!(index(&store, &source).unwrap(), first);
    }
}
