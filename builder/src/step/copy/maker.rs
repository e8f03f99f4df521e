//! Puts the pieces together: from sources and what the instruction says to the layer.

use image_format::digest::Digest;
use image_format::layer::Timestamp;
use image_format::layout::{Layer, Store};
use image_format::snapshot::LayerSource;

use crate::cancel::Cancel;
use crate::dockerfile::Span;

use super::find::Found;
use super::rootfs::Rootfs;
use super::target::{Overrides, Target};
use super::{CopyError, Words, layer, owner};

/// Makes layers on top of a stack.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    pub(super) store: &'a Store,
    pub(super) base: &'a [LayerSource],
    pub(super) epoch: Timestamp,
    pub(super) cancel: &'a Cancel,
}

impl<'a> Maker<'a> {
    /// On top of `base`, with no time after `epoch`, in seconds since 1970.
    pub(super) fn new(
        store: &'a Store,
        base: &'a [LayerSource],
        epoch: i64,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            store,
            base,
            epoch: Timestamp::from_secs(epoch),
            cancel,
        }
    }

    /// The layer of a copy; `digest` hears of each file that was read, by source and entry.
    pub(super) fn make(
        &self,
        found: &Found<'_>,
        words: &Words,
        progress: &mut dyn FnMut(u64, u64),
        digest: &mut dyn FnMut(usize, usize, Digest),
    ) -> Result<Layer, CopyError> {
        let base = if words.linked { &[] } else { self.base };
        let rootfs = Rootfs::open(self.store, base)?;
        let numbers = |(owner, span): &(_, Span)| {
            let numbers = owner::numbers(&rootfs, owner, *span);
            numbers.map_err(|error| if words.linked { error.linked() } else { error })
        };
        let overrides = Overrides {
            owner: words.owner.as_ref().map(numbers).transpose()?,
            mode: words.mode.clone(),
            keep_top: words.keep_top,
            epoch: self.epoch,
        };
        let Found { sources, origins } = found;
        let mut target = Target::new(&rootfs, &overrides, sources, words.destination_span);
        target.copy(words.destination.as_bytes())?;
        let tree = layer::Tree {
            sources,
            overrides: &overrides,
            entries: target.finish(),
            origins,
            span: words.span,
        };
        layer::write(self.store, tree, self.epoch, progress, self.cancel, digest)
    }

    /// The layer that makes a directory, and those above it.
    pub(super) fn directory(
        &self,
        path: &str,
        owner: (u32, u32),
        span: Span,
    ) -> Result<Layer, CopyError> {
        let rootfs = Rootfs::open(self.store, self.base)?;
        let overrides = Overrides {
            owner: Some(owner),
            ..Overrides::plain(self.epoch)
        };
        let mut target = Target::new(&rootfs, &overrides, &[], span);
        let path = target.resolve(path.as_bytes())?;
        target.make_dirs(&path)?;
        let tree = layer::Tree {
            sources: &[],
            overrides: &overrides,
            entries: target.finish(),
            origins: &[],
            span,
        };
        layer::write(
            self.store,
            tree,
            self.epoch,
            &mut |_, _| {},
            self.cancel,
            &mut |_, _, _| {},
        )
    }
}
