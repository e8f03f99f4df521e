//! Loading: all that an archive's images name is copied into the store and verified, and only
//! then are they named.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::source::Files;
use super::{ArchiveError, Source, docker, oci, read_error, write_error};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::layout::{Image, Store};
use crate::media_type;
use crate::reference::Reference;

/// An image that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// The names it was given.
    pub names: Vec<Reference>,
}

/// Loads every image of `source` into the store.
///
/// # Errors
/// When the source cannot be read or anything in it is missing, corrupt or does not fit. No image
/// is in the store's index then.
pub fn load(store: &Store, source: Source) -> Result<Vec<Loaded>, ArchiveError> {
    let files = Files::open(store, source)?;
    let mut durable = Vec::new();
    // Docker 25 wrote both, and its index may be empty.
    let mut images = Vec::new();
    if files.get("index.json")?.is_some() {
        images = oci::load(store, &files, &mut durable)?;
    }
    if images.is_empty() && files.get("manifest.json")?.is_some() {
        images = docker::load(store, &files, &mut durable)?;
    }
    if images.is_empty() {
        return Err(ArchiveError::NoImages);
    }
    // Read as images before they are named: what a manifest says of its config must be true.
    for image in &images {
        if media_type::is_manifest(&image.descriptor.media_type) {
            store.image(&image.descriptor)?;
        }
    }
    store.sync(&durable)?;
    for image in &images {
        if image.names.is_empty() {
            store.keep(&image.descriptor)?;
        }
        for name in &image.names {
            store.tag(name, &image.descriptor)?;
        }
    }
    Ok(images)
}

/// Which image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By its tag; where no image of the layout has it, and there is only one, that one.
    Tag(String),
    /// By the digest of its manifest or index.
    Digest(Digest),
}

/// Loads one image of the OCI image layout in the directory `dir` into the store, without a name: it is
/// there as long as something that is built on it, or this process.
///
/// # Errors
/// When there is no such image, or it cannot be read, or is missing something.
pub fn load_one(store: &Store, dir: &Path, wanted: &Wanted) -> Result<Image, ArchiveError> {
    let files = Files::open(store, Source::Directory(dir.to_owned()))?;
    let mut durable = Vec::new();
    let descriptor = oci::load_one(store, &files, wanted, &mut durable)?;
    let image = store.image(&descriptor)?;
    store.sync(&durable)?;
    Ok(image)
}

/// Copies a layer into the store and checks that its tar is the one the config names.
pub(super) fn copy_layer(
    store: &Store,
    name: &str,
    mut file: File,
    digest: Option<Digest>,
    diff_id: Digest,
) -> Result<(Digest, u64), ArchiveError> {
    let mut writer = store.blob_writer()?;
    copy(name, &mut file, &mut writer)?;
    let (digest, size) = match digest {
        Some(expected) => (expected, writer.finish_as(expected)?),
        None => writer.finish()?,
    };
    let tar = store.layer_tar(
        &Descriptor::new(media_type::OCI_LAYER, digest, size),
        &diff_id,
    );
    if digest != diff_id && io::copy(&mut tar?, &mut io::sink()).is_err() {
        return Err(ArchiveError::DiffId {
            layer: name.to_owned(),
            diff_id,
        });
    }
    Ok((digest, size))
}

/// Copies the file `name` into the store, in pieces large enough that zeros become holes.
pub(super) fn copy(
    name: &str,
    reader: &mut impl Read,
    writer: &mut impl io::Write,
) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = reader.read(&mut buffer).map_err(read_error(name))?;
        if read == 0 {
            return Ok(());
        }
        writer
            .write_all(&buffer[..read])
            .map_err(write_error(name))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// The archives that other tools wrote; `None`, and a word, where they are not at hand.
    fn corpus(name: &str) -> Option<PathBuf> {
        let dir = std::env::var("MKIMG_CORPORA").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora").to_owned()
        });
        let path = PathBuf::from(dir).join("archives").join(name);
        if path.exists() {
            return Some(path);
        }
        println!("{} is not there: not run", path.display());
        None
    }

    fn load_one(path: PathBuf) -> Result<(Store, Vec<Loaded>, tempfile::TempDir), ArchiveError> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let source = if path.is_dir() {
            Source::Directory(path)
        } else {
            Source::Archive(Box::new(File::open(path).unwrap()))
        };
        let loaded = load(&store, source);
        assert_eq!(loaded.is_err(), store.index().unwrap().manifests.is_empty());
        Ok((store, loaded?, dir))
    }

    #[test]
    fn reads_what_other_tools_wrote() {
        let Some(dir) = corpus("ggcr-tarball-testdata") else {
            return;
        };
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "tar") {
                println!("{}", path.display());
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let loaded = load_one(path);
                if ["content", "no_manifest", "null_manifest"].contains(&name.as_str()) {
                    assert!(matches!(loaded, Err(ArchiveError::NoImages)));
                } else {
                    assert_eq!(loaded.unwrap().0.verify().unwrap().len(), 0);
                }
                seen += 1;
            }
        }
        assert!(seen > 0);
    }

    #[test]
    fn refuses_what_is_no_archive() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = load_one(dir.path().to_owned()).err().unwrap();
        assert!(matches!(wrong, ArchiveError::NoImages), "{wrong}");
    }
}
