//! The store: an OCI image layout with what mkimg needs beside it, in one relocatable tree.
//!
//! ```text
//! oci-layout  index.json  blobs/sha256/<hex>   the image layout, which other tools read as it is
//! snapshots/v1/<origin>/<chain-id>/            unpacked layers
//! cache/v1/                                    step records, file digests
//! containers/v1/<id>/                          containers
//! elsewhere/v1/                                where layers are that were not fetched
//! tmp/<random>/                                one directory a process, swept when it is dead
//! version  lock  index.lock                    the store's version, and two files to lock
//! ```
//!
//! Many processes use a store at once. Each holds a shared lock on `lock`; who deletes what others
//! could be about to use holds it exclusively. Blobs appear by rename and never change; so does
//! `index.json`, whose changes are serialised by `index.lock`.
//!
//! Source: OCI image specification, `image-layout.md`.

mod blob;
mod compressed;
mod elsewhere;
mod fill;
mod flush;
mod follow;
mod garbage;
mod image;
mod index;
mod origin;
mod remove;
mod remover;
#[cfg(test)]
mod tests;
mod tmp;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

pub use blob::{BlobWriter, LARGEST_DOCUMENT, VerifiedReader};
pub use elsewhere::{Elsewhere, Supplier};
pub use follow::Follower;
pub use garbage::{Freed, Roots};
pub(crate) use image::write_image_of;
pub use image::{Image, Layer, write_annotated, write_image};
pub use index::{Removed, name_of};
pub use remove::remove_tree;
pub use tmp::TmpDir;
pub use verify::Problem;

use crate::digest::Digest;

/// What this binary writes in the file `version`; a store with a higher number is refused.
const VERSION: u32 = 1;
/// What the file `oci-layout` holds.
pub(crate) const LAYOUT_FILE: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A store, open and locked against the collection of garbage by others.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    root: PathBuf,
    lock: File,
    tmp: tmp::ProcessTmp,
    /// The blobs that this process itself has put into the store.
    written: Mutex<BTreeSet<Digest>>,
    /// Those of them that are on their way to the disk.
    flushing: Mutex<BTreeMap<Digest, JoinHandle<io::Result<()>>>>,
    supplier: OnceLock<Arc<dyn Supplier>>,
    /// Held while a blob is fetched because it is read.
    fetching: Mutex<()>,
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A newer mkimg made the store.
    #[error("the store {} has version {found}, and this mkimg reads up to {VERSION}", root.display())]
    NewerVersion {
        /// The store.
        root: PathBuf,
        /// The version it has.
        found: String,
    },
    /// Somebody else's store: its files would end up with two owners.
    #[error("the store {} belongs to user {owner}, and mkimg runs as user {user}", root.display())]
    ForeignOwner {
        /// The store.
        root: PathBuf,
        /// Its owner's user ID.
        owner: u32,
        /// The own user ID.
        user: u32,
    },
    /// The directory holds something, and not a store.
    #[error("{} is not empty and not a store of mkimg", .0.display())]
    NotAStore(PathBuf),
    /// A document does not read as what it should be.
    #[error("{what} is not valid JSON of its kind")]
    Document {
        /// Which document.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The bytes of a blob are not those that its digest names.
    #[error("the blob {expected} is corrupt: its {size} bytes have the digest {found}")]
    Corrupt {
        /// The blob.
        expected: Digest,
        /// What its bytes hash to.
        found: Digest,
        /// The number of its bytes.
        size: u64,
    },
    /// A blob has not as many bytes as its descriptor says.
    #[error("the blob {digest} has {found} bytes, and {expected} were expected")]
    Size {
        /// The blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A blob is not there.
    #[error("the blob {0} is missing")]
    Missing(Digest),
    /// A blob was not fetched when its image was pulled, and cannot be now.
    #[error("the blob {digest} was not fetched from {from} yet{}", if source.is_some() { ", and cannot be" } else { "" })]
    Elsewhere {
        /// The blob.
        digest: Digest,
        /// The repository that has it.
        from: String,
        /// Why it cannot be had; `None` where nothing is to be fetched.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A document is larger than any sound one.
    #[error("the document {digest} has {size} bytes, and {limit} is the most that is read")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The most bytes that are read.
        limit: u64,
    },
    /// No image has this name or ID.
    #[error("no image {name:?} in the store")]
    NoImage {
        /// What was asked for.
        name: String,
        /// The name in the store that is nearest to it.
        nearest: Option<String>,
    },
    /// An ID's beginning fits more than one image.
    #[error("{0:?} is the beginning of more than one image ID")]
    Ambiguous(String),
    /// The manifest names something that is no image, or does not fit its config.
    #[error("{digest} is not an image that can be used here: {reason}")]
    NotAnImage {
        /// The manifest or index.
        digest: Digest,
        /// Why not.
        reason: NotAnImage,
    },
}

/// Why a manifest is not an image that can be used here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAnImage {
    /// The config is of another media type.
    #[error("its config is {0:?}, an artifact's")]
    Artifact(String),
    /// Neither a manifest nor an index.
    #[error("its media type is {0:?}")]
    MediaType(String),
    /// An index without a manifest for the platform.
    #[error("none of its manifests is for {wanted}: there are {}", .there.join(", "))]
    Platform {
        /// The platform.
        wanted: String,
        /// Those that it has.
        there: Vec<String>,
    },
    /// The config lists another number of layers than the manifest.
    #[error("its manifest has {layers} layers and its config {diff_ids}")]
    Layers {
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// A list of lists of lists.
    #[error("its indexes are nested too deep")]
    Nesting,
}

/// Names the file and the attempt in an I/O error.
pub(crate) fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

impl Store {
    /// Opens the store at `root`, and makes it where there is none.
    ///
    /// # Errors
    /// When the directory cannot be made or locked, is somebody else's, holds other things than a
    /// store, or holds one of a newer version.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(root)
            .map_err(io_error("make the store", root))?;
        let root = &root
            .canonicalize()
            .map_err(io_error("open the store", root))?;
        refuse_foreign(root)?;
        let fresh = match is_complete(root)? {
            true => None,
            false => begin(root, &builder)?,
        };
        let lock_path = root.join("lock");
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path);
        let lock = lock.map_err(io_error("open", &lock_path))?;
        lock.lock_shared().map_err(io_error("lock", &lock_path))?;
        let tmp = tmp::ProcessTmp::new(root)?;
        if let Some(_others_wait) = fresh {
            complete(root, tmp.path()?)?;
        }
        Ok(Self(Arc::new(Inner {
            root: root.clone(),
            lock,
            tmp,
            written: Mutex::default(),
            flushing: Mutex::default(),
            supplier: OnceLock::new(),
            fetching: Mutex::default(),
        })))
    }

    /// The directory of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }
}

fn refuse_foreign(root: &Path) -> Result<(), StoreError> {
    let owner = fs::metadata(root)
        .map_err(io_error("open the store", root))?
        .uid();
    let user = rustix::process::geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    Err(StoreError::ForeignOwner {
        root: root.to_owned(),
        owner,
        user,
    })
}

fn refuse_newer(root: &Path, version: &str) -> Result<(), StoreError> {
    match version.trim().parse::<u32>() {
        Ok(found) if found <= VERSION => Ok(()),
        _ => Err(StoreError::NewerVersion {
            root: root.to_owned(),
            found: version.trim().chars().take(20).collect(),
        }),
    }
}

/// Whether there is a store that was made to its end, of a version that can be used.
fn is_complete(root: &Path) -> Result<bool, StoreError> {
    let version = root.join("version");
    match fs::read_to_string(&version) {
        Ok(text) => refuse_newer(root, &text).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("read", &version)(error)),
    }
}

/// Makes the directories of a store. What is given back keeps all others waiting until the store is
/// complete; `None` where another process has completed it meanwhile.
fn begin(root: &Path, builder: &fs::DirBuilder) -> Result<Option<File>, StoreError> {
    let others_wait = File::open(root).map_err(io_error("open", root))?;
    others_wait.lock().map_err(io_error("lock", root))?;
    if is_complete(root)? {
        return Ok(None);
    }
    let known = |name: &std::ffi::OsStr| {
        let names = [
            "oci-layout",
            "index.json",
            "blobs",
            "snapshots",
            "cache",
            "containers",
            "elsewhere",
            "tmp",
            "lock",
        ];
        names.iter().any(|known| name == *known)
    };
    for entry in fs::read_dir(root).map_err(io_error("read", root))? {
        if !known(&entry.map_err(io_error("read", root))?.file_name()) {
            return Err(StoreError::NotAStore(root.to_owned()));
        }
    }
    for dir in [
        "blobs/sha256",
        "snapshots/v1",
        "cache/v1",
        "containers/v1",
        "tmp",
    ] {
        let path = root.join(dir);
        builder.create(&path).map_err(io_error("make", &path))?;
    }
    Ok(Some(others_wait))
}

/// Writes the files of a store, `version` last: what was cut off is made again.
fn complete(root: &Path, tmp: &Path) -> Result<(), StoreError> {
    index::initialise(root, tmp)?;
    replace(root, "oci-layout", LAYOUT_FILE.as_bytes(), tmp)?;
    replace(root, "version", format!("{VERSION}\n").as_bytes(), tmp)
}

/// Writes a small file so that after a crash either the old or the new one is there, whole. Until
/// then it lies in `tmp`, on the same file system, where it is swept if this process dies.
fn replace(dir: &Path, name: &str, bytes: &[u8], tmp: &Path) -> Result<(), StoreError> {
    let path = dir.join(name);
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(tmp)?;
        io::Write::write_all(&mut file, bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(io_error("write", &path))
}
