//! What there is to be pushed: the documents and the blobs that they name.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use image_format::archive;
use image_format::config::ImageConfig;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::Store;
use image_format::manifest::{Index, Manifest};
use image_format::media_type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Packing, PushError};

/// An index may list indexes, to this depth.
const DEEPEST: u32 = 4;

/// A blob to be pushed.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// As it is in the store.
    pub blob: Descriptor,
    /// The diff ID of a layer that is to be compressed first.
    pub packed: Option<Digest>,
}

/// A manifest or an index to be pushed.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub descriptor: Descriptor,
    pub bytes: Bytes,
}

/// All that is to be pushed.
pub(super) struct Plan {
    root: Node,
    /// Each once: what needs no work first, then the largest.
    pub items: Vec<Item>,
}

/// Layers that are compressed, by their diff IDs.
pub(super) type Packed = BTreeMap<Digest, Descriptor>;

struct Node {
    /// As what is above it names it.
    entry: Descriptor,
    bytes: Vec<u8>,
    kind: Kind,
}

enum Kind {
    /// A manifest, and the diff IDs of its layers that are to be compressed.
    Image(Box<Manifest>, Vec<Option<Digest>>),
    Index(Box<Index>, Vec<Node>),
    /// Neither is known: nothing of it changes.
    Other,
}

impl Plan {
    /// Reads what is to be pushed of an image. Of an index it is all where the store has all, else the
    /// manifest for this machine.
    pub fn new(store: &Store, image: &Descriptor, packing: Packing) -> Result<Self, PushError> {
        let mut reader = Reader {
            store,
            packing,
            items: BTreeMap::new(),
        };
        let root = reader.read(image, DEEPEST)?;
        let mut items: Vec<Item> = reader.items.into_values().collect();
        items.sort_by_key(|item| (item.packed.is_some(), std::cmp::Reverse(item.blob.size)));
        Ok(Self { root, items })
    }

    /// Those layers that were compressed before. They may be gone.
    pub fn known(&self, store: &Store, packing: Packing) -> Packed {
        let known = |item: &Item| {
            let diff_id = item.packed?;
            let known = archive::known(store, &item.blob, &diff_id, packing.compression)?;
            Some((diff_id, known))
        };
        self.items.iter().filter_map(known).collect()
    }

    /// Whether nothing has to be compressed to know the documents.
    pub fn is_known(&self, packed: &Packed) -> bool {
        let mut wanted = self.items.iter().filter_map(|item| item.packed);
        wanted.all(|diff_id| packed.contains_key(&diff_id))
    }

    /// The documents, what is listed before what lists it: the image's own is the last.
    pub fn documents(&self, packed: &Packed) -> Result<Vec<Document>, PushError> {
        let mut documents = Vec::new();
        self.root.documents(packed, &mut documents)?;
        Ok(documents)
    }
}

impl Node {
    fn documents(
        &self,
        packed: &Packed,
        documents: &mut Vec<Document>,
    ) -> Result<Descriptor, PushError> {
        let digest = self.entry.digest;
        let changed = match &self.kind {
            Kind::Other => None,
            Kind::Image(manifest, diff_ids) => {
                let mut new = manifest.clone();
                for (layer, diff_id) in new.layers.iter_mut().zip(diff_ids) {
                    if let Some(packed) = diff_id.and_then(|diff_id| packed.get(&diff_id)) {
                        *layer = Descriptor {
                            media_type: packed.media_type.clone(),
                            digest: packed.digest,
                            size: packed.size,
                            ..layer.clone()
                        };
                    }
                }
                (new != *manifest).then(|| json(digest, &new)).transpose()?
            }
            Kind::Index(index, below) => {
                let mut new = index.clone();
                for (entry, node) in new.manifests.iter_mut().zip(below) {
                    *entry = node.documents(packed, documents)?;
                }
                (new != *index).then(|| json(digest, &new)).transpose()?
            }
        };
        let bytes = changed.unwrap_or_else(|| self.bytes.clone());
        let descriptor = Descriptor {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            ..self.entry.clone()
        };
        documents.push(Document {
            descriptor: descriptor.clone(),
            bytes: bytes.into(),
        });
        Ok(descriptor)
    }
}

struct Reader<'a> {
    store: &'a Store,
    packing: Packing,
    items: BTreeMap<Digest, Item>,
}

impl Reader<'_> {
    fn read(&mut self, entry: &Descriptor, depth: u32) -> Result<Node, PushError> {
        let digest = entry.digest;
        let bytes = self.store.read_document(entry)?;
        let kind = if media_type::is_manifest(&entry.media_type) {
            self.manifest(parse(digest, &bytes)?)?
        } else if media_type::is_index(&entry.media_type) {
            let depth = depth.checked_sub(1).ok_or(PushError::Nesting(digest))?;
            let index: Index = parse(digest, &bytes)?;
            let below = index.manifests.iter();
            let below = below.map(|entry| self.read(entry, depth));
            Kind::Index(Box::new(index.clone()), below.collect::<Result<_, _>>()?)
        } else {
            Kind::Other
        };
        Ok(Node {
            entry: entry.clone(),
            bytes,
            kind,
        })
    }

    fn manifest(&mut self, manifest: Manifest) -> Result<Kind, PushError> {
        let config = &manifest.config;
        self.add(config, None);
        let mut diff_ids = Vec::new();
        if media_type::is_config(&config.media_type) {
            let bytes = self.store.read_document(config)?;
            diff_ids = parse::<ImageConfig>(config.digest, &bytes)?.rootfs.diff_ids;
        }
        // What the config says another number of is left as it is.
        if diff_ids.len() != manifest.layers.len() {
            diff_ids.clear();
        }
        let mut diff_ids = diff_ids.into_iter().map(Some);
        let mut packed = Vec::new();
        for layer in &manifest.layers {
            let Packing { compression, force } = self.packing;
            let wanted = |diff_id: &Digest| compression.is_wanted(layer, diff_id, force);
            let diff_id = diff_ids.next().flatten().filter(wanted);
            packed.push(diff_id);
            if !self.is_elsewhere(layer)? {
                self.add(layer, diff_id);
            }
        }
        Ok(Kind::Image(Box::new(manifest), packed))
    }

    /// Whether a layer is not for registries: it has an address of its own, and is not here.
    fn is_elsewhere(&self, layer: &Descriptor) -> Result<bool, PushError> {
        let has_urls = layer.extra.contains_key("urls");
        Ok(has_urls && self.store.blob_size(&layer.digest)?.is_none())
    }

    fn add(&mut self, blob: &Descriptor, packed: Option<Digest>) {
        let item = Item {
            blob: blob.clone(),
            packed,
        };
        self.items.entry(blob.digest).or_insert(item);
    }
}

/// Whether the store has all the documents that an index names, to its ground.
pub(super) fn is_whole(store: &Store, entry: &Descriptor) -> Result<bool, PushError> {
    let (mut open, mut seen) = (vec![entry.clone()], BTreeSet::new());
    while let Some(entry) = open.pop() {
        if store.blob_size(&entry.digest)?.is_none() {
            return Ok(false);
        }
        if media_type::is_index(&entry.media_type) && seen.insert(entry.digest) {
            let index: Index = parse(entry.digest, &store.read_document(&entry)?)?;
            open.extend(index.manifests);
        }
    }
    Ok(true)
}

fn parse<T: DeserializeOwned>(digest: Digest, bytes: &[u8]) -> Result<T, PushError> {
    serde_json::from_slice(bytes).map_err(|source| PushError::Document { digest, source })
}

fn json(digest: Digest, value: &impl Serialize) -> Result<Vec<u8>, PushError> {
    serde_json::to_vec(value).map_err(|source| PushError::Document { digest, source })
}
