//! The check of a whole store: every byte that an image needs.

use std::collections::BTreeSet;
use std::io;

use super::blob::blob_error;
use super::{Image, Store, StoreError, VerifiedReader, io_error};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::snapshot::LayerSource;

/// What is wrong with an image.
#[derive(Debug)]
pub struct Problem {
    /// The image, by its manifest.
    pub image: Digest,
    /// The name it has.
    pub name: Option<Reference>,
    /// What is wrong.
    pub error: StoreError,
}

impl Store {
    /// Reads all that the images name, and lists every mismatch, not the first one only.
    ///
    /// # Errors
    /// When the index itself cannot be read.
    pub fn verify(&self) -> Result<Vec<Problem>, StoreError> {
        let (mut problems, mut seen) = (Vec::new(), BTreeSet::new());
        for entry in &self.index()?.manifests {
            let name = super::index::name_of(entry);
            let mut report = |error| {
                problems.push(Problem {
                    image: entry.digest,
                    name: name.clone(),
                    error,
                });
            };
            let Image {
                manifest, config, ..
            } = match self.image(entry) {
                Ok(image) => image,
                Err(error) => {
                    report(error);
                    continue;
                }
            };
            for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
                if !seen.insert((layer.digest, *diff_id)) {
                    continue;
                }
                if let Err(error) = self.verify_layer(layer, diff_id) {
                    report(error);
                }
            }
        }
        Ok(problems)
    }

    /// Checks a layer's stored bytes, and the tar within against its diff ID. What was not fetched yet is
    /// checked when it comes.
    fn verify_layer(&self, layer: &Descriptor, diff_id: &Digest) -> Result<(), StoreError> {
        if self.stand_in(layer, diff_id)?.is_none() && self.elsewhere(&layer.digest)?.is_some() {
            return Ok(());
        }
        let mut tar = self.layer_tar(layer, diff_id)?;
        io::copy(&mut tar, &mut io::sink()).map_err(|error| {
            blob_error(error, || io_error("read", &self.blob_path(&layer.digest)))
        })?;
        Ok(())
    }

    /// The plain tar of a layer, verified against its diff ID by the time its end is read.
    ///
    /// # Errors
    /// When the blob is missing, or not of the size its descriptor says.
    pub fn layer_tar(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
    ) -> Result<Box<dyn io::Read + Send>, StoreError> {
        let digest = layer.digest;
        if self.blob_size(&digest)?.is_none()
            && let Some(other) = self.stand_in(layer, diff_id)?
        {
            return self.tar_in(&other, diff_id);
        }
        let blob = self.open_blob(&digest)?;
        let failed = io_error("read", &self.blob_path(&digest));
        let stored = blob.metadata().map_err(failed)?.len();
        if stored != layer.size {
            let (expected, found) = (layer.size, stored);
            return Err(StoreError::Size {
                digest,
                expected,
                found,
            });
        }
        self.tar_in(&digest, diff_id)
    }

    /// What has the tar of a layer that is not here.
    fn stand_in(&self, layer: &Descriptor, diff_id: &Digest) -> Result<Option<Digest>, StoreError> {
        self.standing_in(&LayerSource {
            blob: layer.clone(),
            diff_id: *diff_id,
        })
    }

    /// The plain tar in a blob.
    fn tar_in(
        &self,
        digest: &Digest,
        diff_id: &Digest,
    ) -> Result<Box<dyn io::Read + Send>, StoreError> {
        let blob = self.open_blob(digest)?;
        let failed = || io_error("read", &self.blob_path(digest));
        if digest == diff_id {
            let stored = blob.metadata().map_err(failed())?.len();
            return Ok(Box::new(VerifiedReader::new(blob, *digest, stored)));
        }
        let tar = crate::layer::compression::decompress(blob).map_err(failed())?;
        Ok(Box::new(VerifiedReader::of_unknown_size(tar, *diff_id)))
    }
}
