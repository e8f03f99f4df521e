//! A cache in a directory: an OCI image layout, in which other images may lie too.
//!
//! Source: OCI image specification, `image-layout.md`.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;

use image_format::descriptor::{Descriptor, REF_NAME};
use image_format::digest::Digest;
use image_format::layout::{LARGEST_DOCUMENT, Layer, Store, VerifiedReader};
use image_format::manifest::{Index, Manifest};
use image_format::media_type::{self, OCI_MANIFEST};
use rustix::fs::{Mode, OFlags};

use super::document::{ARTIFACT_TYPE, EMPTY};
use super::{MakeManifest, Place, PlaceError, TICK};
use crate::cancel::Cancel;

/// So many bytes are copied between two looks at whether to go on.
const CHUNK: usize = 256 << 10;

/// Which entry of the layout's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// That of this name.
    Tag(String),
    /// That of this digest, whatever its name.
    Digest(Digest),
}

/// A cache in a directory.
#[derive(Clone, Debug)]
pub struct Directory {
    dir: PathBuf,
    entry: Entry,
    name: String,
}

impl Directory {
    /// That entry of the layout in `dir`.
    #[must_use]
    pub fn new(dir: &Path, entry: Entry) -> Self {
        let which = match &entry {
            Entry::Tag(tag) => format!(":{tag}"),
            Entry::Digest(digest) => format!("@{digest}"),
        };
        // One directory is one place, however it is written.
        let whole = dir.canonicalize().or_else(|_| std::path::absolute(dir));
        let whole = whole.unwrap_or_else(|_| dir.to_owned());
        Self {
            name: format!("{}{which}", whole.display()),
            dir: dir.to_owned(),
            entry,
        }
    }

    fn index(&self) -> Result<Option<Index>, PlaceError> {
        let path = self.dir.join("index.json");
        let Some(file) = open(&path)? else {
            return Ok(None);
        };
        let bytes = whole(file, &path)?;
        let index = serde_json::from_slice(&bytes);
        let index = index.map_err(|source| PlaceError::Document { path, source })?;
        Ok(Some(index))
    }

    fn is_entry(&self, found: &Descriptor) -> bool {
        match &self.entry {
            Entry::Tag(tag) => found.annotations.get(REF_NAME) == Some(tag),
            Entry::Digest(digest) => found.digest == *digest,
        }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// A manifest, verified.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PlaceError> {
        let path = self.blob_path(&descriptor.digest);
        let file = open(&path)?.ok_or_else(|| missing(&path))?;
        let bytes = whole(file, &path)?;
        let mut verified = Vec::new();
        VerifiedReader::new(bytes.as_slice(), descriptor.digest, descriptor.size)
            .read_to_end(&mut verified)
            .map_err(io_error("read", &path))?;
        Ok(verified)
    }

    /// Makes the layout where there is none, and keeps all who would write to it waiting.
    fn lock(&self, cancel: &Cancel) -> Result<File, PlaceError> {
        let blobs = self.dir.join("blobs/sha256");
        let marker = self.dir.join("oci-layout");
        if !marker.exists() {
            let entries = match fs::read_dir(&self.dir) {
                Ok(mut entries) => entries.next().is_some(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(io_error("read", &self.dir)(error)),
            };
            // Another build may just have begun to make it.
            if entries && !blobs.exists() {
                return Err(PlaceError::NotALayout(self.dir.clone()));
            }
        }
        fs::create_dir_all(&blobs).map_err(io_error("make", &blobs))?;
        let lock = File::open(&self.dir).map_err(io_error("open", &self.dir))?;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if cancel.is_cancelled() => {
                    return Err(PlaceError::Cancelled);
                }
                Err(TryLockError::WouldBlock) => sleep(TICK),
                Err(TryLockError::Error(error)) => return Err(io_error("lock", &self.dir)(error)),
            }
        }
        if !marker.exists() {
            let mut layout: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
            self.write(&marker, &mut layout, cancel)?;
        }
        Ok(lock)
    }

    /// Writes a file that is there whole or not at all.
    fn write(
        &self,
        path: &Path,
        content: &mut dyn Read,
        cancel: &Cancel,
    ) -> Result<(), PlaceError> {
        let failed = || io_error("write", path);
        let mut builder = tempfile::Builder::new();
        let new = builder.prefix(".mkimg-").tempfile_in(&self.dir);
        let mut new = new.map_err(failed())?;
        let mut buffer = vec![0; CHUNK];
        loop {
            if cancel.is_cancelled() {
                return Err(PlaceError::Cancelled);
            }
            match content.read(&mut buffer).map_err(failed())? {
                0 => break,
                count => new.write_all(&buffer[..count]).map_err(failed())?,
            }
        }
        let readable = Mode::from_raw_mode(0o644);
        rustix::fs::fchmod(&new, readable).map_err(|error| failed()(error.into()))?;
        new.as_file().sync_all().map_err(failed())?;
        new.persist(path).map_err(|error| failed()(error.error))?;
        Ok(())
    }

    fn write_blob(
        &self,
        digest: &Digest,
        size: u64,
        content: &mut dyn Read,
        cancel: &Cancel,
    ) -> Result<(), PlaceError> {
        let path = self.blob_path(digest);
        // One that is damaged is mended so.
        if let Ok(Some(there)) = open(&path) {
            let mut there = VerifiedReader::new(there, *digest, size);
            if io::copy(&mut there, &mut io::sink()).is_ok() {
                return Ok(());
            }
        }
        self.write(&path, content, cancel)
    }

    /// Removes what only the manifest `before` named, which is in the list no more.
    fn tidy(&self, before: &[u8], index: &Index) -> Result<(), PlaceError> {
        let mut needed = BTreeSet::new();
        for entry in &index.manifests {
            if !media_type::is_manifest(&entry.media_type) {
                // What it names is not known here.
                return Ok(());
            }
            needed.insert(entry.digest);
            needed.extend(names(&self.document(entry)?));
        }
        let gone = names(before).into_iter().chain([Digest::of(before)]);
        for digest in gone.filter(|digest| !needed.contains(digest)) {
            let path = self.blob_path(&digest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(io_error("remove", &path))?,
            }
        }
        Ok(())
    }
}

impl Place for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    fn manifest(&self, _: &Cancel) -> Result<Option<Vec<u8>>, PlaceError> {
        let index = self.index()?.unwrap_or_default();
        let found = index.manifests.iter().find(|entry| self.is_entry(entry));
        match (found, &self.entry) {
            (Some(found), _) => self.document(found).map(Some),
            (None, Entry::Tag(_)) => Ok(None),
            (None, Entry::Digest(digest)) => Err(missing(&self.blob_path(digest))),
        }
    }

    fn blob(&self, blob: &Descriptor, _: &Cancel) -> Result<Box<dyn Read + Send>, PlaceError> {
        let path = self.blob_path(&blob.digest);
        let file = open(&path)?.ok_or_else(|| missing(&path))?;
        Ok(Box::new(file))
    }

    fn publish(
        &self,
        store: &Store,
        layers: &[Layer],
        make: &MakeManifest<'_>,
        cancel: &Cancel,
    ) -> Result<(), PlaceError> {
        let _lock = self.lock(cancel)?;
        let mut blobs = Vec::with_capacity(layers.len());
        for layer in layers {
            let blob = layer.descriptor();
            let mut tar = store.layer_tar(&blob, &layer.diff_id)?;
            self.write_blob(&blob.digest, blob.size, &mut tar, cancel)?;
            blobs.push(blob);
        }
        let mut index = self.index()?.unwrap_or_default();
        let at = index
            .manifests
            .iter()
            .position(|found| self.is_entry(found));
        // One that is damaged is overwritten.
        let before = at.and_then(|at| self.document(&index.manifests[at]).ok());
        let manifest = make(&blobs, before.as_deref());
        for mut bytes in [EMPTY, manifest.as_slice()] {
            let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
            self.write_blob(&digest, size, &mut bytes, cancel)?;
        }
        let mut entry = Descriptor::of(OCI_MANIFEST, &manifest);
        let artifact = ARTIFACT_TYPE.into();
        entry.extra.insert("artifactType".to_owned(), artifact);
        if let Entry::Tag(tag) = &self.entry {
            entry.annotations.insert(REF_NAME.to_owned(), tag.clone());
        }
        match at {
            Some(at) => index.manifests[at] = entry,
            None => index.manifests.push(entry),
        }
        let path = self.dir.join("index.json");
        let bytes = serde_json::to_vec(&index).map_err(|source| PlaceError::Document {
            path: path.clone(),
            source,
        })?;
        self.write(&path, &mut bytes.as_slice(), cancel)?;
        match before {
            Some(before) => self.tidy(&before, &index),
            None => Ok(()),
        }
    }
}

/// What a manifest names.
fn names(manifest: &[u8]) -> Vec<Digest> {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(manifest) else {
        return Vec::new();
    };
    let all = manifest.layers.iter().chain([&manifest.config]);
    all.map(|blob| blob.digest).collect()
}

/// Opens a file, and nothing that it could be waited at; `None` where there is nothing.
fn open(path: &Path) -> Result<Option<File>, PlaceError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) if error == rustix::io::Errno::NOENT => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error.into())),
    };
    let metadata = file.metadata().map_err(io_error("read", path))?;
    match metadata.is_file() {
        true => Ok(Some(file)),
        false => Err(PlaceError::NotAFile(path.to_owned())),
    }
}

/// All of a document.
fn whole(file: File, path: &Path) -> Result<Vec<u8>, PlaceError> {
    let mut bytes = Vec::new();
    let mut file = file.take(LARGEST_DOCUMENT + 1);
    file.read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    match bytes.len() as u64 > LARGEST_DOCUMENT {
        true => Err(PlaceError::NotAFile(path.to_owned())),
        false => Ok(bytes),
    }
}

fn missing(path: &Path) -> PlaceError {
    io_error("open", path)(io::ErrorKind::NotFound.into())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError + use<> {
    let path = path.to_owned();
    move |source| PlaceError::Io {
        action,
        path,
        source,
    }
}
