//! Images: a manifest and its config, read together and found by name or ID.

use std::collections::BTreeMap;

use super::index::name_of;
use super::{NotAnImage, Store, StoreError};
use crate::config::{ImageConfig, chain_id};
use crate::descriptor::{Descriptor, Platform};
use crate::digest::Digest;
use crate::manifest::{Index, Manifest};
use crate::media_type;
use crate::reference::Reference;

/// An index may list indexes, to this depth.
const DEEPEST: u32 = 4;
/// The fewest digits of an ID that stand for it.
const SHORTEST_ID: usize = 4;

/// An image in the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name it was found by.
    pub reference: Option<Reference>,
    /// What the store's index holds: of a manifest, or of an index of platforms.
    pub descriptor: Descriptor,
    /// The manifest for this machine.
    pub manifest: Manifest,
    /// The manifest's bytes, as stored.
    pub manifest_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
    /// The config's bytes, as stored.
    pub config_bytes: Vec<u8>,
}

impl Image {
    /// What docker calls the image's ID: the digest of its config.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.manifest.config.digest
    }

    /// The name of its stack of layers; `None` where it has none.
    #[must_use]
    pub fn chain_id(&self) -> Option<Digest> {
        chain_id(&self.config.rootfs.diff_ids)
    }

    /// The number of bytes of its layers, as stored.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.manifest
            .layers
            .iter()
            .fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

/// A layer that mkimg made: in the store as plain tar, so that its diff ID is also its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the tar.
    pub diff_id: Digest,
    /// The number of its bytes.
    pub size: u64,
}

impl Layer {
    /// The layer's descriptor.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(media_type::OCI_LAYER, self.diff_id, self.size)
    }
}

/// Stores config and manifest of an image whose layers are in the store. It is not yet durable,
/// nor in the index.
///
/// # Errors
/// When the file system fails, or config and layers do not fit.
pub fn write_image(
    store: &Store,
    config: &ImageConfig,
    layers: Vec<Descriptor>,
) -> Result<Descriptor, StoreError> {
    write_annotated(store, config, layers, BTreeMap::new())
}

/// As [`write_image`], with annotations in the manifest.
///
/// # Errors
/// As [`write_image`].
pub fn write_annotated(
    store: &Store,
    config: &ImageConfig,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
) -> Result<Descriptor, StoreError> {
    let bytes = serde_json::to_vec(config).map_err(|source| StoreError::Document {
        what: "the config".to_owned(),
        source,
    })?;
    write_image_of(store, &bytes, config, layers, annotations)
}

/// As [`write_annotated`], with the bytes of a config that must stay as they are.
pub(crate) fn write_image_of(
    store: &Store,
    config_bytes: &[u8],
    config: &ImageConfig,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
) -> Result<Descriptor, StoreError> {
    let manifest = Manifest {
        annotations,
        ..Manifest::new(Descriptor::of(media_type::OCI_CONFIG, config_bytes), layers)
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|source| StoreError::Document {
        what: "the manifest".to_owned(),
        source,
    })?;
    let descriptor = Descriptor::of(media_type::OCI_MANIFEST, &bytes);
    check_layers(descriptor.digest, &manifest, config)?;
    store.put_bytes(config_bytes)?;
    store.put_bytes(&bytes)?;
    Ok(descriptor)
}

fn check_layers(
    digest: Digest,
    manifest: &Manifest,
    config: &ImageConfig,
) -> Result<(), StoreError> {
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers == diff_ids {
        return Ok(());
    }
    Err(StoreError::NotAnImage {
        digest,
        reason: NotAnImage::Layers { layers, diff_ids },
    })
}

impl Store {
    /// Reads the image that a descriptor of a manifest or an index points at; of an index the one for this
    /// machine, or, where there is none here, one that was pulled for another.
    ///
    /// # Errors
    /// When a document is missing, corrupt or no image's.
    pub fn image(&self, descriptor: &Descriptor) -> Result<Image, StoreError> {
        self.image_for(descriptor, None)
    }

    /// As [`Store::image`], for a platform.
    ///
    /// # Errors
    /// As [`Store::image`], and [`NotAnImage::Platform`].
    pub fn image_for(
        &self,
        descriptor: &Descriptor,
        platform: Option<&Platform>,
    ) -> Result<Image, StoreError> {
        let (manifest_descriptor, manifest_bytes) = self.manifest_for(descriptor, platform)?;
        let digest = manifest_descriptor.digest;
        let document = |source| StoreError::Document {
            what: digest.to_string(),
            source,
        };
        let manifest: Manifest = serde_json::from_slice(&manifest_bytes).map_err(document)?;
        if !media_type::is_config(&manifest.config.media_type) {
            let reason = NotAnImage::Artifact(manifest.config.media_type);
            return Err(StoreError::NotAnImage { digest, reason });
        }
        let config_bytes = self.read_document(&manifest.config)?;
        let what = manifest.config.digest.to_string();
        let config = serde_json::from_slice(&config_bytes)
            .map_err(|source| StoreError::Document { what, source })?;
        check_layers(digest, &manifest, &config)?;
        Ok(Image {
            reference: name_of(descriptor),
            descriptor: descriptor.clone(),
            manifest,
            manifest_bytes,
            config,
            config_bytes,
        })
    }

    /// What suits this machine; else, of what was pulled for another on purpose, the first that is here.
    fn choose_here<'a>(&self, index: &'a Index) -> Option<&'a Descriptor> {
        let chosen = index.choose(&Platform::host());
        let is_here = |entry: &&Descriptor| {
            let runnable = entry.platform.as_ref();
            runnable.is_some_and(|platform| platform.os != "unknown")
                && self.blob_path(&entry.digest).exists()
        };
        chosen
            .filter(is_here)
            .or_else(|| index.manifests.iter().find(is_here))
            .or(chosen)
    }

    fn manifest_for(
        &self,
        start: &Descriptor,
        wanted: Option<&Platform>,
    ) -> Result<(Descriptor, Vec<u8>), StoreError> {
        let mut descriptor = start.clone();
        for _ in 0..DEEPEST {
            let digest = descriptor.digest;
            let not = |reason| Err(StoreError::NotAnImage { digest, reason });
            let bytes = self.read_document(&descriptor)?;
            if media_type::is_manifest(&descriptor.media_type) {
                return Ok((descriptor, bytes));
            }
            if !media_type::is_index(&descriptor.media_type) {
                return not(NotAnImage::MediaType(descriptor.media_type));
            }
            let index: Index =
                serde_json::from_slice(&bytes).map_err(|source| StoreError::Document {
                    what: digest.to_string(),
                    source,
                })?;
            let chosen = match wanted {
                Some(platform) => index.choose(platform),
                None => self.choose_here(&index),
            };
            match chosen {
                Some(found) => descriptor = found.clone(),
                None => {
                    let wanted = wanted.cloned().unwrap_or_else(Platform::host);
                    return not(NotAnImage::Platform {
                        wanted: wanted.to_string(),
                        there: index.platforms(),
                    });
                }
            }
        }
        Err(StoreError::NotAnImage {
            digest: start.digest,
            reason: NotAnImage::Nesting,
        })
    }

    /// Finds an image by its name, or by its ID or the beginning of that.
    ///
    /// # Errors
    /// [`StoreError::NoImage`] with the nearest name, or [`StoreError::Ambiguous`].
    pub fn resolve(&self, name: &str) -> Result<Image, StoreError> {
        self.find(name, None)
    }

    /// As [`Store::resolve`], and of a name that stands for images of several platforms the one of this.
    ///
    /// # Errors
    /// As [`Store::resolve`], and [`NotAnImage::Platform`].
    pub fn resolve_for(&self, name: &str, platform: &Platform) -> Result<Image, StoreError> {
        self.find(name, Some(platform))
    }

    fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Image, StoreError> {
        let index = self.index()?;
        let wanted = name
            .parse::<Reference>()
            .ok()
            .map(Reference::with_default_tag);
        if let Some(wanted) = &wanted {
            let found = index.manifests.iter().find(|entry| {
                name_of(entry).is_some_and(|found| {
                    found == *wanted
                        || wanted.digest() == Some(entry.digest)
                            && found.registry() == wanted.registry()
                            && found.repository() == wanted.repository()
                })
            });
            if let Some(entry) = found {
                return self.image_for(entry, platform);
            }
        }
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        if let Some(image) = self.resolve_id(&index, digits)? {
            return Ok(image);
        }
        let names = index
            .manifests
            .iter()
            .filter_map(name_of)
            .map(|name| name.familiar());
        let asked = wanted.map_or_else(|| name.to_owned(), |wanted| wanted.familiar());
        let nearest = crate::nearest::nearest(&asked, names);
        Err(StoreError::NoImage {
            name: name.to_owned(),
            nearest,
        })
    }

    fn resolve_id(&self, index: &Index, digits: &str) -> Result<Option<Image>, StoreError> {
        let is_hex = digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || !(SHORTEST_ID..=64).contains(&digits.len()) {
            return Ok(None);
        }
        let mut found: Option<Image> = None;
        for entry in &index.manifests {
            let image = self.image(entry)?;
            if !image.id().hex().starts_with(digits) {
                continue;
            }
            if found.as_ref().is_some_and(|other| other.id() != image.id()) {
                return Err(StoreError::Ambiguous(digits.to_owned()));
            }
            found = Some(Image {
                reference: None,
                ..image
            });
        }
        Ok(found)
    }
}
