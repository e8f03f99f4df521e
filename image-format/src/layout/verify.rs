//! The check of a whole store: every byte that an image needs.

use std::collections::BTreeSet;
use std::io;

use super::blob::blob_error;
use super::{Image, Store, StoreError, VerifiedReader, io_error};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::reference::Reference;

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

    /// Checks a layer's stored bytes, and the tar within against its diff ID.
    fn verify_layer(&self, layer: &Descriptor, diff_id: &Digest) -> Result<(), StoreError> {
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
        let stored = self
            .blob_size(&digest)?
            .ok_or(StoreError::Missing(digest))?;
        if stored != layer.size {
            let (expected, found) = (layer.size, stored);
            return Err(StoreError::Size {
                digest,
                expected,
                found,
            });
        }
        let blob = self.open_blob(&digest)?;
        if digest == *diff_id {
            return Ok(Box::new(VerifiedReader::new(blob, digest, stored)));
        }
        let name = io_error("read", &self.blob_path(&digest));
        let tar = crate::layer::compression::decompress(blob).map_err(name)?;
        Ok(Box::new(VerifiedReader::of_unknown_size(tar, *diff_id)))
    }
}
