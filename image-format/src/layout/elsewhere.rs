//! Blobs that an image of the store has and the store does not: where they can be had, or what stands in
//! for them. A layer that nobody reads is never fetched, and one whose tar is here in another compression
//! need not be.
//!
//! `elsewhere/v1/<hex>` is a document for each manifest that was pulled without all of its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::garbage::digest_of_name;
use super::{Store, StoreError, io_error, replace};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::snapshot::LayerSource;

/// The most bytes of a document that are read.
const LARGEST: u64 = 4 << 20;

/// Fetches what a store does not have.
pub trait Supplier: Send + Sync {
    /// Brings a blob into the store from the repository that `from` names.
    ///
    /// # Errors
    /// When it cannot be had.
    fn supply(
        &self,
        store: &Store,
        layer: &LayerSource,
        from: &Reference,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Where the layers of an image can be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    /// The repository, with its registry.
    repository: String,
    layers: BTreeMap<Digest, Known>,
}

/// What is known of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    blob: Descriptor,
    diff_id: Digest,
    /// A blob of the store with the same tar in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stand_in: Option<Digest>,
}

/// A layer that is not in the store.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// The layer.
    pub layer: LayerSource,
    /// The repository that has it: a name without tag and digest.
    pub from: Reference,
    /// A blob of the store with the same tar in it.
    pub stand_in: Option<Digest>,
}

impl Store {
    fn elsewhere_dir(&self) -> PathBuf {
        self.root().join("elsewhere/v1")
    }

    /// Who fetches what the store does not have; the first one stays.
    pub fn set_supplier(&self, supplier: Arc<dyn Supplier>) {
        let _ = self.0.supplier.set(supplier);
    }

    /// Notes where the layers of a manifest are that the store does not have, each with the blob of the
    /// store that stands in for it. It is durable then.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn note_elsewhere(
        &self,
        manifest: &Digest,
        from: &Reference,
        layers: &[(LayerSource, Option<Digest>)],
    ) -> Result<(), StoreError> {
        let known = layers.iter().map(|(layer, stand_in)| {
            let known = Known {
                blob: layer.blob.clone(),
                diff_id: layer.diff_id,
                stand_in: *stand_in,
            };
            (layer.blob.digest, known)
        });
        let document = Document {
            repository: format!("{}/{}", from.registry(), from.repository()),
            layers: known.collect(),
        };
        let bytes = serde_json::to_vec(&document).map_err(|source| StoreError::Document {
            what: "where layers are".to_owned(),
            source,
        })?;
        let dir = self.elsewhere_dir();
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&dir).map_err(io_error("make", &dir))?;
        replace(&dir, &manifest.hex(), &bytes, self.0.tmp.path()?)
    }

    /// Where a blob is that the store does not have.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn elsewhere(&self, blob: &Digest) -> Result<Option<Elsewhere>, StoreError> {
        let all = self.documents()?;
        let mut found: Option<Elsewhere> = None;
        for document in all.into_values() {
            let Some(known) = document.layers.get(blob) else {
                continue;
            };
            let Ok(from) = document.repository.parse() else {
                continue;
            };
            let is_here = |digest: &Digest| self.blob_path(digest).exists();
            let stand_in = known.stand_in.filter(is_here);
            if found.is_none() || stand_in.is_some() {
                found = Some(Elsewhere {
                    layer: LayerSource {
                        blob: known.blob.clone(),
                        diff_id: known.diff_id,
                    },
                    from,
                    stand_in,
                });
            }
        }
        Ok(found)
    }

    /// Opens a blob; fetches it where it is known to be elsewhere.
    pub(super) fn fetch(&self, digest: &Digest) -> Result<File, StoreError> {
        let Some(elsewhere) = self.elsewhere(digest)? else {
            return Err(StoreError::Missing(*digest));
        };
        let Elsewhere { layer, from, .. } = elsewhere;
        let failed = |source| StoreError::Elsewhere {
            digest: *digest,
            from: from.familiar_name(),
            source,
        };
        let Some(supplier) = self.0.supplier.get() else {
            return Err(failed(None));
        };
        let _one_at_a_time = self.0.fetching.lock();
        let _one_at_a_time = _one_at_a_time.unwrap_or_else(PoisonError::into_inner);
        let path = self.blob_path(digest);
        if !path.exists() {
            let supplied = supplier.supply(self, &layer, &from);
            supplied.map_err(|error| failed(Some(error)))?;
        }
        File::open(&path).map_err(io_error("open", &path))
    }

    /// The blob of the store that has a layer's tar: its own, or one that stands in for it.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn standing_in(&self, layer: &LayerSource) -> Result<Option<Digest>, StoreError> {
        let is_here = |digest: &Digest| self.blob_path(digest).exists();
        if let Some(own) = [layer.blob.digest, layer.diff_id]
            .iter()
            .find(|d| is_here(d))
        {
            return Ok(Some(*own));
        }
        let elsewhere = self.elsewhere(&layer.blob.digest)?;
        Ok(elsewhere.and_then(|elsewhere| elsewhere.stand_in))
    }

    /// The blobs of images in the store by the tars that are in them.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn blobs_by_diff_id(&self) -> Result<BTreeMap<Digest, Digest>, StoreError> {
        let mut all = BTreeMap::new();
        for entry in &self.index()?.manifests {
            // What is wrong with another image is no matter here.
            let Ok(image) = self.image(entry) else {
                continue;
            };
            for layer in LayerSource::of_image(&image) {
                if self.blob_size(&layer.blob.digest)? == Some(layer.blob.size) {
                    all.insert(layer.diff_id, layer.blob.digest);
                }
            }
        }
        Ok(all)
    }

    /// Those that stand in for layers that are needed; documents that tell of no such layer go. Who builds
    /// on an image needs its layers, and not its manifest.
    pub(super) fn keep_elsewhere(
        &self,
        needed: &BTreeSet<Digest>,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let mut stand_ins = BTreeSet::new();
        for (manifest, document) in self.documents()? {
            let is_needed = |layer: &Digest| needed.contains(layer);
            if document.layers.keys().any(is_needed) {
                let known = document.layers.into_iter();
                let known = known.filter(|(layer, _)| is_needed(layer));
                stand_ins.extend(known.filter_map(|(_, known)| known.stand_in));
                continue;
            }
            let path = self.elsewhere_dir().join(manifest.hex());
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(stand_ins)
    }

    /// All documents by their manifests. One that does not read is as good as none.
    fn documents(&self) -> Result<BTreeMap<Digest, Document>, StoreError> {
        let dir = self.elsewhere_dir();
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(io_error("read", &dir))?,
        };
        let mut all = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(io_error("read", &dir))?;
            let Some(manifest) = digest_of_name(&entry.file_name()) else {
                continue;
            };
            let small = entry.metadata().is_ok_and(|found| found.len() <= LARGEST);
            let Some(bytes) = small.then(|| fs::read(entry.path()).ok()).flatten() else {
                continue;
            };
            if let Ok(document) = serde_json::from_slice(&bytes) {
                all.insert(manifest, document);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::ImageConfig;
    use crate::descriptor::Platform;
    use crate::layout::{Roots, write_image};
    use crate::media_type;

    struct Fake(Vec<u8>, AtomicUsize);

    impl Supplier for Fake {
        fn supply(
            &self,
            store: &Store,
            _: &LayerSource,
            from: &Reference,
        ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            assert_eq!(from.to_string(), "localhost:5000/x");
            self.1.fetch_add(1, Ordering::SeqCst);
            store.put_bytes(&self.0)?;
            Ok(())
        }
    }

    /// A store with an image whose only layer, an empty tar in gzip, it does not have.
    fn store(dir: &std::path::Path, stand_in: Option<Digest>) -> (Store, LayerSource, Vec<u8>) {
        let store = Store::open(dir).unwrap();
        let tar = vec![0; 1024];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        io::Write::write_all(&mut gzip, &tar).unwrap();
        let packed = gzip.finish().unwrap();
        let layer = LayerSource {
            blob: Descriptor::of(media_type::OCI_LAYER_GZIP, &packed),
            diff_id: Digest::of(&tar),
        };
        let mut config = ImageConfig::scratch(&Platform::host());
        config.rootfs.diff_ids.push(layer.diff_id);
        let image = write_image(&store, &config, vec![layer.blob.clone()]).unwrap();
        let from = "localhost:5000/x:1".parse().unwrap();
        let layers = [(layer.clone(), stand_in)];
        store.note_elsewhere(&image.digest, &from, &layers).unwrap();
        store.tag(&from, &image).unwrap();
        (store, layer, packed)
    }

    fn read(store: &Store, layer: &LayerSource) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        let mut tar = store.layer_tar(&layer.blob, &layer.diff_id)?;
        io::Read::read_to_end(&mut tar, &mut bytes).unwrap();
        Ok(bytes)
    }

    #[test]
    fn a_layer_is_fetched_when_it_is_read_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let (store, layer, packed) = store(dir.path(), None);
        let error = read(&store, &layer).unwrap_err();
        assert!(matches!(error, StoreError::Elsewhere { .. }), "{error}");
        assert!(store.verify().unwrap().is_empty());
        let fake = Arc::new(Fake(packed, AtomicUsize::new(0)));
        store.set_supplier(fake.clone());
        for _ in 0..2 {
            assert_eq!(read(&store, &layer).unwrap(), vec![0; 1024]);
        }
        assert_eq!(fake.1.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_stands_in_for_a_layer_is_kept_as_long_as_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let zstd = zstd::encode_all([0; 1024].as_slice(), 3).unwrap();
        let (store, layer, _) = store(dir.path(), Some(Digest::of(&zstd)));
        let other = store.put_bytes(&zstd).unwrap();
        assert_eq!(store.standing_in(&layer).unwrap(), Some(other));
        assert_eq!(read(&store, &layer).unwrap(), vec![0; 1024]);
        let collect = || {
            let freed = store.collect_garbage(|| Ok::<_, StoreError>(Roots::default()));
            freed.unwrap().unwrap().blobs
        };
        assert_eq!(collect(), 0);
        assert_eq!(read(&store, &layer).unwrap(), vec![0; 1024]);
        // An image on top of it has its layers, and not its manifest.
        let image = store.resolve("localhost:5000/x:1").unwrap();
        let mut config = image.config.clone();
        config.author = Some("x".to_owned());
        let above = write_image(&store, &config, image.manifest.layers).unwrap();
        store.tag(&"above".parse().unwrap(), &above).unwrap();
        store.remove("localhost:5000/x:1").unwrap();
        assert_eq!(collect(), 2);
        assert_eq!(read(&store, &layer).unwrap(), vec![0; 1024]);
        store.remove("above").unwrap();
        assert_eq!(collect(), 3);
        assert!(store.elsewhere(&layer.blob.digest).unwrap().is_none());
    }
}
