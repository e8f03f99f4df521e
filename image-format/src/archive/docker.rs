//! The archives of `docker save`. Source: moby's image specification, v1.2, "Combined Image JSON +
//! Filesystem Changeset Format", and `manifest.json` as docker has written it since 1.10.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use super::load::{Loaded, copy_layer};
use super::source::Files;
use super::{ArchiveError, read_error};
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::layout::{Store, write_image_of};
use crate::media_type;
use crate::reference::Reference;

/// One image of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    /// The config's file.
    pub(super) config: String,
    /// Names as in `debian:12`; absent or null where there are none.
    pub(super) repo_tags: Option<Vec<String>>,
    /// The layers' files, base first.
    pub(super) layers: Vec<String>,
}

pub(super) fn load(
    store: &Store,
    files: &Files,
    durable: &mut Vec<Digest>,
) -> Result<Vec<Loaded>, ArchiveError> {
    let document = |what: &str| {
        let what = what.to_owned();
        move |source| ArchiveError::Document { what, source }
    };
    let items: Option<Vec<Item>> = serde_json::from_slice(&files.document("manifest.json")?)
        .map_err(document("manifest.json"))?;
    let mut images = Vec::new();
    for item in items.unwrap_or_default() {
        let bytes = files.document(&item.config)?;
        let config: ImageConfig = serde_json::from_slice(&bytes).map_err(document(&item.config))?;
        let mut layers = Vec::new();
        for (name, diff_id) in item.layers.iter().zip(&config.rootfs.diff_ids) {
            layers.push(load_layer(store, files, name, *diff_id)?);
        }
        let descriptor = write_image_of(store, &bytes, &config, layers, BTreeMap::new())?;
        durable.extend([descriptor.digest, Digest::of(&bytes)]);
        let tags = item.repo_tags.unwrap_or_default();
        let names = tags
            .iter()
            .filter_map(|tag| tag.parse::<Reference>().ok())
            .collect();
        images.push(Loaded { descriptor, names });
    }
    for image in &images {
        let layers = store.image(&image.descriptor)?.manifest.layers;
        durable.extend(layers.iter().map(|layer| layer.digest));
    }
    Ok(images)
}

fn load_layer(
    store: &Store,
    files: &Files,
    name: &str,
    diff_id: Digest,
) -> Result<Descriptor, ArchiveError> {
    let mut file = files.need(name)?;
    let mut magic = [0; 4];
    let read = file.read(&mut magic).map_err(read_error(name))?;
    file.seek(SeekFrom::Start(0)).map_err(read_error(name))?;
    let media_type = match &magic[..read] {
        [0x1f, 0x8b, ..] => media_type::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media_type::OCI_LAYER_ZSTD,
        _ => media_type::OCI_LAYER,
    };
    let (digest, size) = copy_layer(store, name, file, None, diff_id)?;
    Ok(Descriptor::new(media_type, digest, size))
}
