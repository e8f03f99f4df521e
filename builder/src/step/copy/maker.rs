//! Puts the pieces together: from sources and what the instruction says to the layer.

use image_format::digest::Digest;
use image_format::layer::Timestamp;
use image_format::layout::{Layer, Store};
use image_format::snapshot::LayerSource;

use crate::cancel::Cancel;
use crate::context::Context;
use crate::dockerfile::{Span, Word};

use super::contents::Origin;
use super::rootfs::Rootfs;
use super::source::Source;
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

    /// What the sources name in the context.
    pub(super) fn find(&self, context: &Context, words: &[Word]) -> Result<Vec<Source>, CopyError> {
        let mut sources = Vec::new();
        for word in words {
            let found = context.find(&word.text, self.cancel);
            let found = found.map_err(|error| CopyError::context(error, word.span))?;
            let of_context = |found| Source::of_context(found, self.epoch);
            sources.extend(found.into_iter().map(of_context));
        }
        Ok(sources)
    }

    /// The layer of a copy; `digest` hears of each file that was read, by source and entry.
    pub(super) fn make(
        &self,
        sources: &[Source],
        origin: Origin<'_>,
        words: &Words,
        progress: &mut dyn FnMut(u64, u64),
        digest: &mut dyn FnMut(usize, usize, Digest),
    ) -> Result<Layer, CopyError> {
        let rootfs = Rootfs::open(self.store, self.base)?;
        let numbers = |(owner, span): &(_, Span)| owner::numbers(&rootfs, owner, *span);
        let overrides = Overrides {
            owner: words.owner.as_ref().map(numbers).transpose()?,
            mode: words.mode,
            keep_top: words.keep_top,
            epoch: self.epoch,
        };
        let mut target = Target::new(&rootfs, overrides, sources, words.destination_span);
        target.copy(words.destination.as_bytes())?;
        let tree = layer::Tree {
            sources,
            overrides,
            entries: target.finish(),
            origin,
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
        let mut target = Target::new(&rootfs, overrides, &[], span);
        let path = target.resolve(path.as_bytes())?;
        target.make_dirs(&path)?;
        let tree = layer::Tree {
            sources: &[],
            overrides,
            entries: target.finish(),
            origin: Origin::Rootfs(&rootfs),
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
