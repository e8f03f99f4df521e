//! An image whose layers are compressed in another way, as it leaves the store.

mod gzip;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use super::{ArchiveError, read_error, write_error};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::layout::{Image, Store};
use crate::manifest::Manifest;
use crate::media_type;

/// The level of gzip where none is asked for: zlib-rs then packs as tight as others at their 6.
const GZIP_LEVEL: u32 = 4;
/// The level of zstd where none is asked for.
const ZSTD_LEVEL: i32 = 3;
/// What a worker of zstd's takes at once, in bytes: its own choice takes too much memory. It is part of
/// what makes the bytes.
const ZSTD_JOB: u32 = 1 << 20;
/// More workers of zstd's take more memory than a layer may.
const MOST_ZSTD_WORKERS: usize = 8;

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

    /// Whether a layer with this diff ID has to be compressed so: where it is plain, or is in another
    /// compression and must not be, as `force` says. What is no layer is left alone.
    #[must_use]
    pub fn is_wanted(self, layer: &Descriptor, diff_id: &Digest, force: bool) -> bool {
        let is_plain = layer.digest == *diff_id;
        let is_there = media_type::oci_layer(&layer.media_type) == self.media_type();
        !is_there && (is_plain || force) && media_type::is_layer(&layer.media_type)
    }
}

impl fmt::Display for Compression {
    /// As in `gzip-4`: all that the bytes depend on beside the tar.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Gzip(level) => write!(formatter, "gzip-{}", level.unwrap_or(GZIP_LEVEL)),
            Self::Zstd(level) => write!(formatter, "zstd-{}", level.unwrap_or(ZSTD_LEVEL)),
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
    let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let diff_ids = image.config.rootfs.diff_ids.iter();
    for (layer, diff_id) in manifest.layers.iter_mut().zip(diff_ids) {
        if compression.is_wanted(layer, diff_id, force) {
            let known = known(store, layer, diff_id, compression);
            let there = |known: &Descriptor| store.blob_size(&known.digest).ok().flatten();
            let known = known.filter(|known| there(known) == Some(known.size));
            *layer = match known {
                Some(known) => known,
                None => compress(store, layer, diff_id, compression, cores, |_| true)?,
            };
        }
    }
    if manifest == image.manifest {
        return Ok(image.clone());
    }
    let descriptor = store_manifest(store, &manifest)?;
    Ok(Image {
        reference: image.reference.clone(),
        ..store.image(&descriptor)?
    })
}

/// Stores a manifest, and does not name it.
///
/// # Errors
/// When the store fails.
pub fn store_manifest(store: &Store, manifest: &Manifest) -> Result<Descriptor, ArchiveError> {
    let bytes = serde_json::to_vec(manifest).map_err(|source| ArchiveError::Document {
        what: "the manifest".to_owned(),
        source,
    })?;
    store.put_bytes(&bytes)?;
    let media_type = manifest.media_type.as_deref();
    let media_type = media_type.unwrap_or(media_type::OCI_MANIFEST);
    Ok(Descriptor::of(media_type, &bytes))
}

/// What a layer was when it was compressed so before. It need no more be in the store.
#[must_use]
pub fn known(
    store: &Store,
    layer: &Descriptor,
    diff_id: &Digest,
    compression: Compression,
) -> Option<Descriptor> {
    let (digest, size) = match compression {
        Compression::None => (*diff_id, store.blob_size(diff_id).ok()??),
        _ => store.compressed_form(diff_id, &compression.to_string())?,
    };
    Some(descriptor(layer, compression, digest, size))
}

/// The descriptor of a layer in another compression, in the same words: docker's stay docker's.
fn descriptor(
    layer: &Descriptor,
    compression: Compression,
    digest: Digest,
    size: u64,
) -> Descriptor {
    let oci = compression.media_type();
    let media_type = match media_type::oci_layer(&layer.media_type) == layer.media_type {
        true => oci.to_owned(),
        false => media_type::docker_layer(oci).to_owned(),
    };
    Descriptor::new(&media_type, digest, size)
}

/// Compresses a layer, on as many cores as there are `workers`. The result is kept in the store: see
/// [`known`]. `watch` is told how many bytes of the tar have been read, and says whether to go on.
///
/// # Errors
/// When the layer is missing or corrupt, the store fails, or it was not to go on.
pub fn compress(
    store: &Store,
    layer: &Descriptor,
    diff_id: &Digest,
    compression: Compression,
    workers: NonZeroUsize,
    watch: impl FnMut(u64) -> bool,
) -> Result<Descriptor, ArchiveError> {
    let what = diff_id.to_string();
    let mut blob = store.blob_writer()?;
    let mut tar = Watched {
        tar: store.layer_tar(layer, diff_id)?,
        read: 0,
        watch,
        failed: false,
    };
    let written = match compression {
        Compression::None => copy(&mut tar, &mut blob),
        Compression::Gzip(level) => {
            let level = level.unwrap_or(GZIP_LEVEL);
            gzip::compress(&mut tar, &mut blob, level, workers)
        }
        Compression::Zstd(level) => {
            let level = level.unwrap_or(ZSTD_LEVEL);
            zstd(&mut tar, &mut blob, level, workers)
        }
    };
    match written {
        Err(_) if tar.is_stopped() => return Err(ArchiveError::Cancelled),
        Err(error) if tar.failed => return Err(read_error(&what)(error)),
        written => written.map_err(write_error(&what))?,
    }
    let (digest, size) = blob.finish()?;
    if compression != Compression::None {
        store.keep_compressed_form(diff_id, &compression.to_string(), digest, size)?;
    }
    Ok(descriptor(layer, compression, digest, size))
}

fn zstd(tar: &mut impl Read, out: impl Write, level: i32, workers: NonZeroUsize) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(out, level)?;
    // With at least one worker the bytes do not depend on how many there are.
    let workers = workers.get().min(MOST_ZSTD_WORKERS);
    encoder.multithread(workers as u32)?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
    encoder.include_checksum(true)?;
    copy(tar, &mut encoder)?;
    encoder.finish().map(drop)
}

fn copy(tar: &mut impl Read, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match tar.read(&mut buffer)? {
            0 => return Ok(()),
            count => out.write_all(&buffer[..count])?,
        }
    }
}

/// A tar that is read under somebody's eyes.
struct Watched<R, W> {
    tar: R,
    read: u64,
    watch: W,
    /// Whether what went wrong is the reading.
    failed: bool,
}

impl<R, W> Watched<R, W> {
    fn is_stopped(&self) -> bool {
        self.read == u64::MAX
    }
}

impl<R: Read, W: FnMut(u64) -> bool> Read for Watched<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.watch)(self.read) {
            self.read = u64::MAX;
            return Err(io::Error::other("cancelled"));
        }
        let read = self.tar.read(buffer);
        match &read {
            Ok(count) => self.read += *count as u64,
            Err(_) => self.failed = true,
        }
        read
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
    fn a_result_is_kept_as_long_as_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let diff_id = store.put_bytes(&[7; 3 << 20]).unwrap();
        let layer = Layer {
            diff_id,
            size: 3 << 20,
        };
        let layer = layer.descriptor();
        let mut config = ImageConfig::scratch(&Platform::host());
        config.rootfs.diff_ids.push(diff_id);
        let image = write_image(&store, &config, vec![layer.clone()]).unwrap();
        let name = "a:1".parse().unwrap();
        store.tag(&name, &image).unwrap();
        let gzip = Compression::Gzip(None);
        let known = || known(&store, &layer, &diff_id, gzip);
        assert_eq!(known(), None);
        let compress = |watch: &mut dyn FnMut(u64) -> bool| {
            compress(&store, &layer, &diff_id, gzip, NonZeroUsize::MIN, watch)
        };
        let stopped = compress(&mut |read| read < 2 << 20);
        assert!(matches!(stopped, Err(ArchiveError::Cancelled)));
        assert_eq!(known(), None);
        let made = compress(&mut |_| true).unwrap();
        assert_eq!(known(), Some(made.clone()));
        let collect = || {
            let collected = store.collect_garbage::<crate::layout::StoreError>(|| {
                Ok(crate::layout::Roots::default())
            });
            collected.unwrap().unwrap()
        };
        assert_eq!(collect().blobs, 0);
        assert!(store.blob_size(&made.digest).unwrap().is_some());
        store.remove("a:1").unwrap();
        assert_eq!(collect().blobs, 4);
        assert_eq!(known(), None);
    }

    #[test]
    fn zstd_is_the_same_on_any_number_of_cores() {
        let data: Vec<u8> = (0..1_500_000_u32)
            .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
            .collect();
        let pack = |workers| {
            let mut out = Vec::new();
            let workers = NonZeroUsize::new(workers).unwrap();
            zstd(&mut data.as_slice(), &mut out, ZSTD_LEVEL, workers).unwrap();
            out
        };
        let one = pack(1);
        assert!(pack(2) == one && pack(100) == one);
        assert!(zstd::decode_all(one.as_slice()).unwrap() == data);
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
