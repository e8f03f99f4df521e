//! An image whose layers are compressed in another way, as it leaves the store.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;

use flate2::GzBuilder;

use super::{ArchiveError, read_error, write_error};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::layout::{Image, Store};
use crate::manifest::Manifest;
use crate::media_type;

/// The level of gzip where none is asked for.
const GZIP_LEVEL: u32 = 6;
/// The level of zstd where none is asked for.
const ZSTD_LEVEL: i32 = 3;

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, at a level from 0 to 9.
    Gzip(Option<u32>),
    /// zstd, at a level from 1 to 19: more takes more memory than readers give it.
    Zstd(Option<i32>),
}

impl Compression {
    fn media_type(self) -> &'static str {
        match self {
            Self::None => media_type::OCI_LAYER,
            Self::Gzip(_) => media_type::OCI_LAYER_GZIP,
            Self::Zstd(_) => media_type::OCI_LAYER_ZSTD,
        }
    }
}

/// The same image with its plain layers compressed, or all of them where `force` says so, and with
/// further annotations. What is new is put into the store, and is not named there.
///
/// # Errors
/// When a layer is missing or corrupt, or the store fails.
pub fn compressed(
    store: &Store,
    image: &Image,
    compression: Compression,
    force: bool,
    annotations: &BTreeMap<String, String>,
) -> Result<Image, ArchiveError> {
    let mut manifest = image.manifest.clone();
    manifest.annotations.extend(annotations.clone());
    let diff_ids = image.config.rootfs.diff_ids.iter();
    for (layer, diff_id) in manifest.layers.iter_mut().zip(diff_ids) {
        let is_plain = layer.digest == *diff_id;
        let is_there = media_type::oci_layer(&layer.media_type) == compression.media_type();
        if !is_there && (is_plain || force) {
            *layer = compress(store, layer, diff_id, compression)?;
        }
    }
    if manifest == image.manifest {
        return Ok(image.clone());
    }
    store_manifest(store, image, &manifest)
}

fn store_manifest(
    store: &Store,
    image: &Image,
    manifest: &Manifest,
) -> Result<Image, ArchiveError> {
    let bytes = serde_json::to_vec(manifest).map_err(|source| ArchiveError::Document {
        what: "the manifest".to_owned(),
        source,
    })?;
    store.put_bytes(&bytes)?;
    let media_type = manifest.media_type.as_deref();
    let descriptor = Descriptor::of(media_type.unwrap_or(media_type::OCI_MANIFEST), &bytes);
    Ok(Image {
        reference: image.reference.clone(),
        ..store.image(&descriptor)?
    })
}

fn compress(
    store: &Store,
    layer: &Descriptor,
    diff_id: &Digest,
    compression: Compression,
) -> Result<Descriptor, ArchiveError> {
    let what = diff_id.to_string();
    let mut tar = store.layer_tar(layer, diff_id)?;
    let blob = store.blob_writer()?;
    let failed = || write_error(&what);
    let blob = match compression {
        Compression::None => copy(&mut tar, blob, &what)?,
        Compression::Gzip(level) => {
            let level = flate2::Compression::new(level.unwrap_or(GZIP_LEVEL));
            // No time, and no system: the bytes are the layer's alone.
            let encoder = GzBuilder::new().operating_system(255).write(blob, level);
            let encoder = copy(&mut tar, encoder, &what)?;
            encoder.finish().map_err(failed())?
        }
        Compression::Zstd(level) => {
            let level = level.unwrap_or(ZSTD_LEVEL);
            let mut encoder = zstd::Encoder::new(blob, level).map_err(failed())?;
            // With at least one worker the bytes do not depend on how many there are.
            let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            let workers = u32::try_from(workers.get()).unwrap_or(1);
            encoder.multithread(workers).map_err(failed())?;
            encoder.include_checksum(true).map_err(failed())?;
            let encoder = copy(&mut tar, encoder, &what)?;
            encoder.finish().map_err(failed())?
        }
    };
    let (digest, size) = blob.finish()?;
    Ok(Descriptor::new(compression.media_type(), digest, size))
}

fn copy<W: Write>(tar: &mut impl io::Read, mut out: W, what: &str) -> Result<W, ArchiveError> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match tar.read(&mut buffer).map_err(read_error(what))? {
            0 => return Ok(out),
            count => out.write_all(&buffer[..count]).map_err(write_error(what))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ImageConfig;
    use crate::descriptor::Platform;
    use crate::layout::{Layer, write_image};

    #[test]
    fn a_layer_is_the_same_in_any_compression() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let bytes = vec![0; 1 << 20];
        let diff_id = store.put_bytes(&bytes).unwrap();
        let size = bytes.len() as u64;
        let layer = Layer { diff_id, size };
        let mut config = ImageConfig::scratch(&Platform::host());
        config.rootfs.diff_ids.push(diff_id);
        let image = write_image(&store, &config, vec![layer.descriptor()]).unwrap();
        let image = store.image(&image).unwrap();
        let none = BTreeMap::new();
        let with = |from: &Image, to, force| compressed(&store, from, to, force, &none).unwrap();
        let mut last = image.clone();
        for to in [
            Compression::Gzip(None),
            Compression::Zstd(Some(19)),
            Compression::Gzip(Some(9)),
        ] {
            let next = with(&image, to, false);
            assert_eq!(next.id(), image.id());
            assert!(next.size() < size / 10);
            let layer = &next.manifest.layers[0];
            assert_eq!(layer.media_type, to.media_type());
            let mut tar = Vec::new();
            io::Read::read_to_end(&mut store.layer_tar(layer, &diff_id).unwrap(), &mut tar)
                .unwrap();
            assert_eq!(tar, bytes);
            // what is compressed stays so, unless it must not
            assert_eq!(
                with(&next, Compression::None, false).manifest,
                next.manifest
            );
            assert_eq!(
                with(&next, Compression::None, true).manifest,
                image.manifest
            );
            assert_eq!(with(&last, to, true).manifest, next.manifest);
            last = next;
        }
        assert_eq!(
            with(&image, Compression::None, false).manifest,
            image.manifest
        );
    }

    #[test]
    fn annotations_make_another_manifest_of_the_same_image() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let config = ImageConfig::scratch(&Platform::host());
        let image = write_image(&store, &config, Vec::new()).unwrap();
        let image = store.image(&image).unwrap();
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let other = compressed(&store, &image, Compression::None, false, &annotations).unwrap();
        assert_eq!(other.manifest.annotations, annotations);
        assert_eq!(other.id(), image.id());
        assert_ne!(other.descriptor.digest, image.descriptor.digest);
    }
}
