//! Snapshots: unpacked layers, and places to write on top of them.
//!
//! ```text
//! ensure(layers) ── unpacks what is missing ──► snapshots/v1/<origin>/<chain-id>
//! prepare(stack) ──► Prepared { mount }     the runner mounts it and a command writes into it
//! commit(prepared) ──► a layer's blob, and the snapshot of the stack with that layer on top
//! ```
//!
//! Nothing is ever mounted here: a [`RootMount`] says what the runner has to mount.
//!
//! Every snapshot can be made again from the blobs. So none is forced to the disk, and none is
//! trusted after that could matter: `<origin>` stands for the boot of the machine, the mapping of
//! user IDs, the kind of snapshots and the very directory they lie in. A store that was copied, or
//! is used by root once and in a user namespace then, unpacks its layers again.

mod blob;
mod chain;
mod copy;
mod kind;
mod mount;
pub(crate) mod origin;
mod overlay;
mod publish;
mod targets;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use copy::Copies;
pub use kind::{Kind, detect};
pub use mount::RootMount;
pub use overlay::Overlay;

use blob::write_layer;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::layer::apply::{ApplyError, Target, apply};
use crate::layer::pack::PackError;
use crate::layout::{Layer, StoreError, TmpDir};

/// Unpacks layers and keeps what was unpacked.
///
/// Many processes and threads may use one store's snapshots at once: what several want, one makes,
/// and the others wait for it.
pub trait Snapshotter: Send + Sync {
    /// Unpacks what is missing of a stack of layers, base first.
    ///
    /// # Errors
    /// When a blob is missing or corrupt, a layer is hostile, or the disk is full. What was
    /// unpacked before stays.
    fn ensure(&self, layers: &[LayerSource]) -> Result<(), SnapshotError>;

    /// Unpacks one layer, given by its diff ID, on those below, which are unpacked. `tar` opens its tar, and
    /// is not called where the layer is unpacked already.
    ///
    /// The tar is read to its end, where its reader has to fail if it was not the right one: nothing is kept
    /// then.
    ///
    /// # Errors
    /// When the tar cannot be read, the layer is hostile, or the disk is full.
    fn unpack(
        &self,
        below: &[Digest],
        diff_id: &Digest,
        tar: &mut OpenTar<'_>,
    ) -> Result<(), SnapshotError>;

    /// Makes in the directory `dir`, which is empty and on the store's file system, what is needed
    /// to write on top of a stack of layers, given by their diff IDs, base first.
    ///
    /// The stack must be unpacked; it may be empty.
    ///
    /// # Errors
    /// [`SnapshotError::NotUnpacked`], or when the file system fails.
    fn prepare_in(&self, dir: &Path, stack: &[Digest]) -> Result<RootMount, SnapshotError>;

    /// As [`Snapshotter::prepare_in`], in a directory that is gone when the result is dropped.
    ///
    /// # Errors
    /// As there.
    fn prepare(&self, stack: &[Digest]) -> Result<Prepared, SnapshotError>;

    /// Makes a layer of what was written, and the snapshot that has it on top. Nothing may be
    /// mounted any more.
    ///
    /// No time in the layer is after `epoch`, in seconds after 1970-01-01, and the snapshot is put
    /// to what the layer says. The layer's blob is not yet durable.
    ///
    /// `leave_out` are the paths, absolute within the root and without links on the way, of what
    /// was made only for something to be mounted on it: what of it is still empty is in no layer.
    ///
    /// # Errors
    /// When something written cannot be in a layer, or the disk is full.
    fn commit(
        &self,
        prepared: Prepared,
        epoch: i64,
        leave_out: &[PathBuf],
    ) -> Result<Committed, SnapshotError>;
}

/// Opens a layer's tar.
pub type OpenTar<'a> = dyn FnMut() -> Result<Box<dyn Read + Send>, StoreError> + 'a;

/// A layer to unpack.
#[derive(Clone, Debug)]
pub struct LayerSource {
    /// The blob, as it is stored.
    pub blob: Descriptor,
    /// The digest of the tar within.
    pub diff_id: Digest,
}

impl LayerSource {
    /// The layers of an image, base first.
    #[must_use]
    pub fn of_image(image: &crate::layout::Image) -> Vec<Self> {
        let layers = image.manifest.layers.iter();
        let diff_ids = image.config.rootfs.diff_ids.iter();
        layers
            .zip(diff_ids)
            .map(|(blob, diff_id)| Self {
                blob: blob.clone(),
                diff_id: *diff_id,
            })
            .collect()
    }
}

impl From<Layer> for LayerSource {
    fn from(layer: Layer) -> Self {
        Self {
            blob: layer.descriptor(),
            diff_id: layer.diff_id,
        }
    }
}

/// A place to write on top of a stack of layers; gone when dropped.
pub struct Prepared {
    mount: RootMount,
    stack: Vec<Digest>,
    dir: TmpDir,
}

impl Prepared {
    /// A place in the directory `dir` above the layers `stack`, to be mounted so.
    #[must_use]
    pub fn new(mount: RootMount, stack: Vec<Digest>, dir: TmpDir) -> Self {
        Self { mount, stack, dir }
    }

    /// What is to be mounted.
    #[must_use]
    pub fn mount(&self) -> &RootMount {
        &self.mount
    }

    /// The diff IDs of the layers below, base first.
    #[must_use]
    pub fn stack(&self) -> &[Digest] {
        &self.stack
    }

    /// A directory for what belongs to this place and must not be in the layer.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// What came of a place that was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The layer; `None` where nothing was changed.
    pub layer: Option<Layer>,
}

/// What can go wrong with snapshots.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
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
    /// The stack of layers was not unpacked before.
    #[error("the layers {0} are not unpacked")]
    NotUnpacked(Digest),
    /// A layer cannot be unpacked.
    #[error("cannot unpack the layer {layer}")]
    Apply {
        /// The diff ID.
        layer: Digest,
        /// Why not.
        source: ApplyError,
    },
    /// A tree cannot be copied.
    #[error("cannot copy {}", from.display())]
    Copy {
        /// The tree.
        from: PathBuf,
        /// Why not.
        source: ApplyError,
    },
    /// The root directory of a tree cannot be made.
    #[error("cannot make the root of an image at {}", dir.display())]
    Root {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        source: ApplyError,
    },
    /// A layer is not in the store, and cannot be fetched.
    #[error("{}", .0)]
    Fetch(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was written cannot be a layer.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Names the file and the attempt in an I/O error.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError + use<> {
    let path = path.to_owned();
    move |source| SnapshotError::Io {
        action,
        path,
        source,
    }
}

/// Makes a directory that only its owner can look into, for files of any mode.
fn make_dir(dir: &Path) -> Result<(), SnapshotError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).map_err(io_error("make", dir))
}

/// Unpacks a layer; it is verified when that is done.
fn unpack(
    diff_id: &Digest,
    tar: &mut OpenTar<'_>,
    dir: &Path,
    target: Target<'_>,
) -> Result<(), SnapshotError> {
    // It reads to the end, where the digest is checked.
    apply(tar()?, dir, target).map_err(|source| SnapshotError::Apply {
        layer: *diff_id,
        source,
    })
}
