//! Snapshots of one layer each, joined by overlayfs.
//!
//! `<chain-id>/` holds what its topmost layer brings, with overlayfs' marks, so that a stack is its
//! chain IDs, and a command's upper directory becomes the next one by rename.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{
    Committed, Kind, LayerSource, OpenTar, Prepared, RootMount, SnapshotError, Snapshotter, chain,
    io_error, make_dir, origin, publish, targets, unpack, write_layer,
};
use crate::config::chain_id;
use crate::digest::Digest;
use crate::layer::Timestamp;
use crate::layer::apply::{Target, apply};
use crate::layer::pack::pack_upper;
use crate::layer::whiteout::XattrNamespace;
use crate::layout::Store;

/// What is below the first layer: overlayfs needs something there.
const EMPTY: &str = "empty";
/// What is below all layers where something is mounted: the places that every sandbox mounts on,
/// so that they need not be made in each upper directory, and removed again. No layer takes them
/// for its own, and where a layer hides them, they are made.
const PLACES: &str = "places";
const PLACE_DIRS: [&str; 4] = ["dev", "etc", "proc", "sys"];
const PLACE_FILES: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];
const UPPER: &str = "upper";
const WORK: &str = "work";

/// Snapshots that overlayfs joins.
pub struct Overlay {
    store: Store,
    dir: PathBuf,
    xattrs: XattrNamespace,
}

impl Overlay {
    /// The snapshots in this store that are this process's, in its user namespace.
    ///
    /// # Errors
    /// When their directory cannot be made.
    pub fn new(store: &Store) -> Result<Self, SnapshotError> {
        let dir = origin::dir(store.root(), Kind::Overlay)?;
        let overlay = Self {
            store: store.clone(),
            dir,
            xattrs: origin::xattrs()?,
        };
        make_dir(&overlay.dir)?;
        overlay.make_once(EMPTY, |_| Ok(()))?;
        overlay.make_once(PLACES, make_places)?;
        Ok(overlay)
    }

    /// Makes a root with what `fill` puts into it.
    fn make_once(
        &self,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let path = self.dir.join(name);
        publish::once(&path, || {
            let tmp = self.store.tmp_dir()?;
            let made = tmp.path().join(name);
            self.make_root(&made, &[])?;
            fill(&made)?;
            publish::publish(&made, &path)
        })
    }

    /// The names of the directories of a stack, topmost first.
    fn lowers(&self, stack: &[Digest]) -> Vec<PathBuf> {
        let names = chain::ids(stack).into_iter().rev();
        let lowers: Vec<_> = names.map(|id| PathBuf::from(id.hex())).collect();
        if lowers.is_empty() {
            vec![PathBuf::from(EMPTY)]
        } else {
            lowers
        }
    }

    fn lower_dirs(&self, stack: &[Digest]) -> Vec<PathBuf> {
        let names = self.lowers(stack).into_iter();
        names.map(|name| self.dir.join(name)).collect()
    }

    fn unpack_to(
        &self,
        below: &[Digest],
        diff_id: &Digest,
        tar: &mut OpenTar<'_>,
        to: &Path,
    ) -> Result<(), SnapshotError> {
        let tmp = self.store.tmp_dir()?;
        let dir = tmp.path().join(UPPER);
        make_dir(&dir)?;
        let target = Target::Overlay {
            lowers: &self.lower_dirs(below),
            xattrs: self.xattrs,
        };
        unpack(diff_id, tar, &dir, target)?;
        publish::publish(&dir, to)
    }

    /// Makes `dir` what an empty layer on top of these is: a root like the one below.
    fn make_root(&self, dir: &Path, lowers: &[PathBuf]) -> Result<(), SnapshotError> {
        make_dir(dir)?;
        let target = Target::Overlay {
            lowers,
            xattrs: self.xattrs,
        };
        apply(io::empty(), dir, target).map_err(|source| SnapshotError::Root {
            dir: dir.to_owned(),
            source,
        })
    }
}

/// Makes the places to mount on, with the modes that they have in images.
fn make_places(root: &Path) -> Result<(), SnapshotError> {
    let made = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_error("make", path))
    };
    for name in PLACE_DIRS {
        let path = root.join(name);
        make_dir(&path)?;
        made(&path, 0o755)?;
    }
    for name in PLACE_FILES {
        let path = root.join(name);
        File::create(&path).map_err(io_error("make", &path))?;
        made(&path, 0o644)?;
    }
    Ok(())
}

impl Snapshotter for Overlay {
    fn ensure(&self, layers: &[LayerSource]) -> Result<(), SnapshotError> {
        let stack: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        for (at, layer) in layers.iter().enumerate() {
            self.unpack(&stack[..at], &layer.diff_id, &mut || {
                self.store.layer_tar(&layer.blob, &layer.diff_id)
            })?;
        }
        Ok(())
    }

    fn unpack(
        &self,
        below: &[Digest],
        diff_id: &Digest,
        tar: &mut OpenTar<'_>,
    ) -> Result<(), SnapshotError> {
        let path = self.dir.join(chain::above(below, diff_id).hex());
        publish::once(&path, || self.unpack_to(below, diff_id, tar, &path))
    }

    fn prepare_in(&self, dir: &Path, stack: &[Digest]) -> Result<RootMount, SnapshotError> {
        let missing = |id: &Digest| !self.dir.join(id.hex()).exists();
        if let Some(id) = chain::ids(stack).into_iter().find(missing) {
            return Err(SnapshotError::NotUnpacked(id));
        }
        let lowers = self.lowers(stack);
        let (upper, work) = (dir.join(UPPER), dir.join(WORK));
        self.make_root(&upper, &self.lower_dirs(stack))?;
        make_dir(&work)?;
        Ok(RootMount::Overlay {
            base: self.dir.clone(),
            lowers,
            places: Some(PLACES.into()),
            upper,
            work,
            user_xattr: self.xattrs == XattrNamespace::User,
        })
    }

    fn prepare(&self, stack: &[Digest]) -> Result<Prepared, SnapshotError> {
        let dir = self.store.tmp_dir()?;
        Ok(Prepared {
            mount: self.prepare_in(dir.path(), stack)?,
            stack: stack.to_vec(),
            dir,
        })
    }

    fn commit(
        &self,
        prepared: Prepared,
        epoch: i64,
        leave_out: &[PathBuf],
    ) -> Result<Committed, SnapshotError> {
        let upper = prepared.dir().join(UPPER);
        targets::remove_untouched(&upper, leave_out)?;
        let lowers = self.lower_dirs(&prepared.stack);
        let epoch = Timestamp::from_secs(epoch);
        let layer = write_layer(&self.store, |out| {
            pack_upper(&upper, &lowers, self.xattrs, out, epoch).map(|packed| packed.is_some())
        })?;
        if let Some(layer) = layer {
            let stack = [prepared.stack.as_slice(), &[layer.diff_id]].concat();
            if let Some(id) = chain_id(&stack) {
                publish::publish(&upper, &self.dir.join(id.hex()))?;
            }
        }
        Ok(Committed { layer })
    }
}
