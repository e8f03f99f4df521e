//! Saving: the files of an OCI image layout, and `manifest.json` beside them, which makes it an
//! archive that `docker load` reads; docker itself writes both since its version 25.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use super::docker::Item;
use super::oci::blob_name;
use super::{ArchiveError, write_error};
use crate::descriptor::{Descriptor, IMAGE_NAME, REF_NAME};
use crate::digest::Digest;
use crate::layout::{Image, LAYOUT_FILE, Store, VerifiedReader, io_error};
use crate::manifest::{Index, Manifest};
use crate::media_type;
use crate::reference::Reference;

/// An index may list indexes, to this depth.
const DEEPEST: u32 = 4;

/// The kind of a saved archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// For `docker load`, and an OCI image layout as well.
    Docker,
    /// An OCI image layout alone.
    Oci,
}

/// Writes images as one tar; what they are named as is [`Image::reference`]. The same images give
/// the same bytes.
///
/// # Errors
/// When a blob is missing or corrupt, or `out` fails; what was written then is no archive.
pub fn save_archive<W: Write>(
    store: &Store,
    images: &[Image],
    kind: ArchiveKind,
    out: W,
) -> Result<W, ArchiveError> {
    let files = files(store, images, kind)?;
    let mut tar = tar::Builder::new(out);
    for dir in ["blobs/", "blobs/sha256/"] {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        tar.append_data(&mut header, dir, io::empty())
            .map_err(write_error("the archive"))?;
    }
    for (name, content) in &files {
        let mut header = header(tar::EntryType::Regular, 0o644, content.size());
        tar.append_data(&mut header, name, content.open(store)?)
            .map_err(write_error("the archive"))?;
    }
    tar.into_inner().map_err(write_error("the archive"))
}

/// Writes images as an OCI image layout into the directory `dir`, which is empty.
///
/// # Errors
/// When a blob is missing or corrupt, or a file cannot be written.
pub fn save_directory(
    store: &Store,
    images: &[Image],
    kind: ArchiveKind,
    dir: &Path,
) -> Result<(), ArchiveError> {
    let files = files(store, images, kind)?;
    // One after the other: a directory that is taken away meanwhile is not made again.
    for below in ["blobs", "blobs/sha256"] {
        let path = dir.join(below);
        fs::create_dir(&path).map_err(io_error("make", &path))?;
    }
    for (name, content) in &files {
        let path = dir.join(name);
        let mut reader = content.open(store)?;
        let mut file = File::create(&path).map_err(io_error("write", &path))?;
        io::copy(&mut reader, &mut file).map_err(write_error(name))?;
    }
    Ok(())
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header
}

/// The content of a file to be saved.
enum Content {
    Blob(Digest, u64),
    Bytes(Vec<u8>),
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Self::Blob(_, size) => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    fn open<'a>(&'a self, store: &Store) -> Result<Box<dyn Read + 'a>, ArchiveError> {
        Ok(match self {
            Self::Blob(digest, size) => {
                let blob = store.open_blob(digest)?;
                Box::new(VerifiedReader::new(blob, *digest, *size))
            }
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
        })
    }
}

/// All files by name, in the order of their names.
fn files(
    store: &Store,
    images: &[Image],
    kind: ArchiveKind,
) -> Result<BTreeMap<String, Content>, ArchiveError> {
    let mut files = BTreeMap::new();
    let mut index = Index::default();
    let mut items: Vec<(Digest, Item)> = Vec::new();
    for image in images {
        add_all(store, &image.descriptor, DEEPEST, &mut files)?;
        let entry = named(&image.descriptor, image.reference.as_ref());
        if !index.manifests.contains(&entry) {
            index.manifests.push(entry);
        }
        add_item(image, &mut items);
    }
    let mut document = |name: &str, bytes| {
        files.insert(name.to_owned(), Content::Bytes(bytes));
    };
    document("oci-layout", LAYOUT_FILE.as_bytes().to_vec());
    document("index.json", json("index.json", &index)?);
    if kind == ArchiveKind::Docker {
        let items: Vec<Item> = items.into_iter().map(|(_, item)| item).collect();
        document("manifest.json", json("manifest.json", &items)?);
    }
    Ok(files)
}

fn json(what: &str, value: &impl serde::Serialize) -> Result<Vec<u8>, ArchiveError> {
    serde_json::to_vec(value).map_err(|source| ArchiveError::Document {
        what: what.to_owned(),
        source,
    })
}

/// The entry of `index.json`: with this name, or none.
fn named(descriptor: &Descriptor, name: Option<&Reference>) -> Descriptor {
    let mut entry = descriptor.clone();
    entry.annotations.remove(REF_NAME);
    entry.annotations.remove(IMAGE_NAME);
    if let Some(name) = name {
        let annotations = &mut entry.annotations;
        annotations.insert(REF_NAME.to_owned(), name.familiar());
        annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
    }
    entry
}

/// Notes an image in `manifest.json`, where one that has several names stands once.
fn add_item(image: &Image, items: &mut Vec<(Digest, Item)>) {
    let at = items
        .iter()
        .position(|(id, _)| *id == image.id())
        .unwrap_or_else(|| {
            let layers = image.manifest.layers.iter();
            let item = Item {
                config: blob_name(&image.id()),
                repo_tags: None,
                layers: layers.map(|layer| blob_name(&layer.digest)).collect(),
            };
            items.push((image.id(), item));
            items.len() - 1
        });
    if let Some(name) = &image.reference {
        let tags = items[at].1.repo_tags.get_or_insert_default();
        let name = name.familiar();
        if !tags.contains(&name) {
            tags.push(name);
        }
    }
}

/// Adds what a descriptor points at, and all below it.
fn add_all(
    store: &Store,
    descriptor: &Descriptor,
    depth: u32,
    files: &mut BTreeMap<String, Content>,
) -> Result<(), ArchiveError> {
    let blob = |descriptor: &Descriptor| {
        let content = Content::Blob(descriptor.digest, descriptor.size);
        (blob_name(&descriptor.digest), content)
    };
    let document = |source| ArchiveError::Document {
        what: blob_name(&descriptor.digest),
        source,
    };
    files.extend([blob(descriptor)]);
    if media_type::is_manifest(&descriptor.media_type) {
        let bytes = store.read_document(descriptor)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(document)?;
        files.extend([blob(&manifest.config)]);
        files.extend(manifest.layers.iter().map(blob));
    } else if media_type::is_index(&descriptor.media_type) && depth > 0 {
        let bytes = store.read_document(descriptor)?;
        let index: Index = serde_json::from_slice(&bytes).map_err(document)?;
        for entry in &index.manifests {
            // Of an index of many platforms the store may have some only.
            if store.blob_size(&entry.digest)?.is_some() {
                add_all(store, entry, depth - 1, files)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Source, load};
    use crate::config::ImageConfig;
    use crate::descriptor::Platform;
    use crate::layout::{Layer, write_image};

    fn store_with_image(dir: &Path) -> Store {
        let store = Store::open(dir).unwrap();
        // An empty tar.
        let bytes = [0; 1024];
        let diff_id = store.put_bytes(&bytes).unwrap();
        let layer = Layer {
            diff_id,
            size: bytes.len() as u64,
        };
        let mut config = ImageConfig::scratch(&Platform::host());
        config.rootfs.diff_ids.push(diff_id);
        let image = write_image(&store, &config, vec![layer.descriptor()]).unwrap();
        for name in ["a", "localhost:5000/b:1"] {
            store.tag(&name.parse().unwrap(), &image).unwrap();
        }
        store
    }

    #[test]
    fn what_is_saved_is_loaded_with_its_names() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store_with_image(from.path());
        let images = store.images().unwrap();
        for kind in [ArchiveKind::Docker, ArchiveKind::Oci] {
            let tar = save_archive(&store, &images, kind, Vec::new()).unwrap();
            assert_eq!(
                tar,
                save_archive(&store, &images, kind, Vec::new()).unwrap()
            );
            let other = Store::open(&to.path().join(format!("{kind:?}"))).unwrap();
            let source = Source::Archive(Box::new(io::Cursor::new(tar)));
            let loaded = load(&other, source).unwrap();
            assert_eq!(loaded.len(), 1);
            assert_eq!(other.index().unwrap(), store.index().unwrap());
            assert_eq!(other.verify().unwrap().len(), 0);
        }
        let dir = to.path().join("layout");
        fs::create_dir(&dir).unwrap();
        save_directory(&store, &images, ArchiveKind::Oci, &dir).unwrap();
        let other = Store::open(&to.path().join("dir")).unwrap();
        load(&other, Source::Directory(dir)).unwrap();
        assert_eq!(other.index().unwrap(), store.index().unwrap());
    }

    #[test]
    fn a_corrupt_blob_is_not_saved() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_with_image(dir.path());
        let images = store.images().unwrap();
        let layer = store.blob_path(&images[0].manifest.layers[0].digest);
        fs::write(layer, [1; 1024]).unwrap();
        let saved = save_archive(&store, &images, ArchiveKind::Docker, Vec::new());
        assert!(matches!(
            saved,
            Err(ArchiveError::Store(
                crate::layout::StoreError::Corrupt { .. }
            ))
        ));
    }
}
