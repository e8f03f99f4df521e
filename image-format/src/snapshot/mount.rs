//! What is to be mounted as the root of a sandbox.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a root file system is to be mounted; only a description, nothing is mounted here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootMount {
    /// A stack of layers joined by overlayfs.
    ///
    /// To be mounted with `redirect_dir=off,metacopy=off,index=off`, whatever the kernel's defaults
    /// are: with them on, the upper directory would not hold all that was written. With
    /// `userxattr`, the first two are off always, and the kernel refuses `redirect_dir=off`.
    Overlay {
        /// The directory that relative `lowers` start from.
        base: PathBuf,
        /// The read-only layers, topmost first; at least one.
        lowers: Vec<PathBuf>,
        /// A directory of places to mount on, from `base` if relative. Whoever mounts something in
        /// the root puts it below all layers, so that the places need not be made above them.
        places: Option<PathBuf>,
        /// The directory that takes what is written.
        upper: PathBuf,
        /// overlayfs's own scratch directory, empty, beside `upper`.
        work: PathBuf,
        /// Whether overlayfs keeps its marks in `user.overlay.*`, as it must in a user namespace.
        user_xattr: bool,
    },
    /// An ordinary directory.
    Bind {
        /// The directory.
        path: PathBuf,
    },
}
