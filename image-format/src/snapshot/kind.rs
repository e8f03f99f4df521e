//! Which snapshots a store can have.

use rustix::fs::statfs;

use super::{Copies, Overlay, SnapshotError, Snapshotter, io_error};
use crate::layout::Store;

/// A kind of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One directory a layer, joined by overlayfs: the price follows what changes.
    Overlay,
    /// One tree a stack, copied for each step: slow, and works on every file system.
    Copy,
}

impl Kind {
    /// The best kind that the store's file system can carry.
    ///
    /// Nothing is mounted to find out. overlayfs takes no upper directory on itself, and network and
    /// FUSE file systems lack what it needs there: whiteouts, attributes, or `d_type`
    /// (the kernel's `overlayfs.rst`, "Upper and Lower").
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn of(store: &Store) -> Result<Self, SnapshotError> {
        // linux/magic.h; the last two are in the file systems' own sources.
        const OVERLAY: u64 = 0x794c_7630;
        const NFS: u64 = 0x6969;
        const FUSE: u64 = 0x6573_5546;
        const V9FS: u64 = 0x0102_1997;
        const ECRYPTFS: u64 = 0xf15f;
        const CIFS: u64 = 0xff53_4d42;
        const SMB2: u64 = 0xfe53_4d42;
        const VFAT: u64 = 0x4d44;
        let root = store.root();
        let stat = statfs(root).map_err(|error| io_error("read", root)(error.into()))?;
        // The type of the number depends on the architecture, and only 32 bits are used.
        let magic = u64::from(stat.f_type as u32);
        Ok(match magic {
            OVERLAY | NFS | FUSE | V9FS | ECRYPTFS | CIFS | SMB2 | VFAT => Self::Copy,
            _ => Self::Overlay,
        })
    }
}

/// The snapshots of a store: of the kind that is asked for, else of the best that works there.
///
/// # Errors
/// When their directory cannot be made.
pub fn detect(store: &Store, kind: Option<Kind>) -> Result<Box<dyn Snapshotter>, SnapshotError> {
    let kind = match kind {
        Some(kind) => kind,
        None => Kind::of(store)?,
    };
    Ok(match kind {
        Kind::Overlay => Box::new(Overlay::new(store)?),
        Kind::Copy => Box::new(Copies::new(store)?),
    })
}
