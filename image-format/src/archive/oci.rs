//! OCI image layouts. Source: OCI image specification, `image-layout.md`.

use super::load::{Loaded, copy_layer};
use super::source::Files;
use super::{ArchiveError, Wanted};
use crate::config::ImageConfig;
use crate::descriptor::{Descriptor, REF_NAME};
use crate::digest::Digest;
use crate::layout::{Store, name_of};
use crate::manifest::{Index, Manifest};
use crate::media_type;

/// An index may list indexes, to this depth.
const DEEPEST: u32 = 4;

pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn load(
    store: &Store,
    files: &Files,
    durable: &mut Vec<Digest>,
) -> Result<Vec<Loaded>, ArchiveError> {
    let index: Index = parse("index.json", &files.document("index.json")?)?;
    let mut images: Vec<Loaded> = Vec::new();
    for descriptor in index.manifests {
        let mut copier = Copier {
            store,
            files,
            durable,
        };
        copier.copy_any(&descriptor, DEEPEST)?;
        let names = name_of(&descriptor);
        match images
            .iter_mut()
            .find(|image| image.descriptor.digest == descriptor.digest)
        {
            Some(image) => image.names.extend(names),
            None => images.push(Loaded {
                descriptor,
                names: names.into_iter().collect(),
            }),
        }
    }
    Ok(images)
}

/// Copies one image of a layout into the store.
pub(super) fn load_one(
    store: &Store,
    files: &Files,
    wanted: &Wanted,
    durable: &mut Vec<Digest>,
) -> Result<Descriptor, ArchiveError> {
    let index: Index = parse("index.json", &files.document("index.json")?)?;
    let found = index
        .manifests
        .iter()
        .find(|entry| is_wanted(entry, wanted));
    let descriptor = match (found, wanted, index.manifests.as_slice()) {
        (Some(found), ..) => found.clone(),
        (None, Wanted::Digest(digest), _) => unlisted(files, *digest)?,
        // Tools that write one image need not name it.
        (None, Wanted::Tag(_), [only]) => only.clone(),
        (None, Wanted::Tag(tag), all) => {
            let names = all.iter().filter_map(name_of);
            return Err(ArchiveError::NoSuchImage {
                tag: tag.clone(),
                names: names.map(|name| name.familiar()).collect(),
            });
        }
    };
    let mut copier = Copier {
        store,
        files,
        durable,
    };
    copier.copy_any(&descriptor, DEEPEST)?;
    Ok(descriptor)
}

fn is_wanted(entry: &Descriptor, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Digest(digest) => entry.digest == *digest,
        Wanted::Tag(tag) => {
            entry.annotations.get(REF_NAME) == Some(tag)
                || name_of(entry).is_some_and(|name| name.tag() == Some(tag.as_str()))
        }
    }
}

/// The descriptor of a manifest or index that the layout's list does not name, as those of the platforms
/// of an index.
fn unlisted(files: &Files, digest: Digest) -> Result<Descriptor, ArchiveError> {
    /// What tells them apart.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let name = blob_name(&digest);
    let bytes = files.document(&name)?;
    let document: Document = parse(&name, &bytes)?;
    let guess = match document.manifests {
        Some(_) => media_type::OCI_INDEX,
        None => media_type::OCI_MANIFEST,
    };
    let media_type = document.media_type.as_deref().unwrap_or(guess);
    Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|source| ArchiveError::Document {
        what: what.to_owned(),
        source,
    })
}

struct Copier<'a> {
    store: &'a Store,
    files: &'a Files,
    durable: &'a mut Vec<Digest>,
}

impl Copier<'_> {
    /// Copies what a descriptor points at, and all below it.
    fn copy_any(&mut self, descriptor: &Descriptor, depth: u32) -> Result<(), ArchiveError> {
        let what = blob_name(&descriptor.digest);
        if media_type::is_manifest(&descriptor.media_type) {
            let bytes = self.copy_document(descriptor)?;
            return self.copy_manifest(&parse(&what, &bytes)?);
        }
        if !media_type::is_index(&descriptor.media_type) || depth == 0 {
            // Of a kind that mkimg does not know: kept as it is.
            return self.copy_blob(descriptor);
        }
        let index: Index = parse(&what, &self.copy_document(descriptor)?)?;
        for entry in &index.manifests {
            // Tools copy the manifest of one platform and keep the whole index.
            if self.files.get(&blob_name(&entry.digest))?.is_some() {
                self.copy_any(entry, depth - 1)?;
            }
        }
        Ok(())
    }

    fn copy_manifest(&mut self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let config = self.copy_document(&manifest.config)?;
        if !media_type::is_config(&manifest.config.media_type) {
            return manifest
                .layers
                .iter()
                .try_for_each(|layer| self.copy_blob(layer));
        }
        let what = blob_name(&manifest.config.digest);
        let config: ImageConfig = parse(&what, &config)?;
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            let name = blob_name(&layer.digest);
            let file = self.files.need(&name)?;
            copy_layer(self.store, &name, file, Some(layer.digest), *diff_id)?;
            self.durable.push(layer.digest);
        }
        Ok(())
    }

    fn copy_document(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        let bytes = self.files.document(&blob_name(&descriptor.digest))?;
        self.copy_blob(descriptor)?;
        Ok(bytes)
    }

    fn copy_blob(&mut self, descriptor: &Descriptor) -> Result<(), ArchiveError> {
        let name = blob_name(&descriptor.digest);
        let mut file = self.files.need(&name)?;
        let mut writer = self.store.blob_writer()?;
        super::load::copy(&name, &mut file, &mut writer)?;
        writer.finish_as(descriptor.digest)?;
        self.durable.push(descriptor.digest);
        Ok(())
    }
}
