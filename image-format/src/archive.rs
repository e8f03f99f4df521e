//! Images that come as files: OCI image layouts, as a directory or in a tar, and the
//! archives of `docker save`.

mod compress;
mod docker;
mod load;
mod oci;
mod save;
mod source;

use std::io;

pub use compress::{Compression, compress, compressed, known, store_manifest};
pub use load::{Loaded, Wanted, load, load_one};
pub use save::{ArchiveKind, save_archive, save_directory};
pub use source::Source;

use crate::digest::Digest;
use crate::layout::StoreError;

/// What can go wrong when images are loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive or directory cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// The archive, or the file within it.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The archive or a file of the layout cannot be written.
    #[error("cannot write {what}")]
    Write {
        /// The archive, or the file within it.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Neither of the known kinds.
    #[error(
        "this is neither an OCI image layout (index.json) nor a docker archive (manifest.json)"
    )]
    NoImages,
    /// A file that the archive's own list names is not in it.
    #[error("{0:?} is named in the archive and not in it")]
    Missing(String),
    /// A document is not valid.
    #[error("{what} is not valid JSON of its kind")]
    Document {
        /// Which one.
        what: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A document is larger than any sound one.
    #[error("{0:?} is larger than any sound document")]
    TooLarge(String),
    /// More entries than any sound archive has.
    #[error("the archive has more than {0} entries")]
    TooMany(usize),
    /// A layer's tar is not the one that the config names.
    #[error("the layer {layer} is not the one that the config names, {diff_id}")]
    DiffId {
        /// The layer as the archive names it.
        layer: String,
        /// What the config says.
        diff_id: Digest,
    },
    /// No image of the layout has the tag, and there are several.
    #[error("it has several images, and none with the tag {tag:?}: {}", names.join(", "))]
    NoSuchImage {
        /// The tag.
        tag: String,
        /// The names that its images have.
        names: Vec<String>,
    },
    /// It was not to go on.
    #[error("cancelled")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Names what was read in an I/O error.
fn read_error(what: &str) -> impl FnOnce(io::Error) -> ArchiveError + use<> {
    let what = what.to_owned();
    move |source| ArchiveError::Read { what, source }
}

/// Names what was written in an I/O error, unless it was a blob that could not be read.
fn write_error(what: &str) -> impl FnOnce(io::Error) -> ArchiveError + use<> {
    let what = what.to_owned();
    move |error| match error.downcast::<StoreError>() {
        Ok(store) => ArchiveError::Store(store),
        Err(source) => ArchiveError::Write { what, source },
    }
}
