//! Pushing what was built.

use builder::cancel::Cancel;
use image_format::descriptor::Descriptor;
use image_format::layout::Store;
use image_format::reference::Reference;
use remote::Network;
use remote::push::{HearPushing, Packing, Push, PushError};

use super::{UsageError, WriteError};
use crate::commands::push::part;
use crate::error::Error;
use crate::progress::Pushes;

/// Pushes what a build made.
pub struct Pusher<'a> {
    /// The way to registries; `None` where there is to be none.
    pub network: Option<&'a Network>,
    /// Whether nothing is told.
    pub quiet: bool,
}

impl Pusher<'_> {
    /// Tries, before there is a build, whether it may be pushed.
    pub fn check(
        &self,
        store: &Store,
        pushes: &[(Reference, Packing)],
        cancel: &Cancel,
    ) -> Result<(), Error> {
        for (name, packing) in pushes {
            let checked = self.push_of(store, *packing, &|_| {}, cancel)?.check(name);
            checked.map_err(|source| failed(name, source, false))?;
        }
        Ok(())
    }

    /// Pushes an image to all its names; gives what it is in the registry of the first.
    pub fn push(
        &self,
        store: &Store,
        image: &Descriptor,
        pushes: &[(Reference, Packing)],
        cancel: &Cancel,
    ) -> Result<Option<Descriptor>, Error> {
        let mut first = None;
        let display = Pushes::new(self.quiet);
        for (name, packing) in pushes {
            display.note(&format!("pushing {}", name.familiar()));
            let hear = |what: remote::push::Pushing<'_>| display.hear(what);
            let pushed = self
                .push_of(store, *packing, &hear, cancel)?
                .push(image, name);
            let pushed = pushed.map_err(|source| {
                display.finish();
                failed(name, source, true)
            })?;
            if let Some(note) = part(&pushed) {
                display.note(&note);
            }
            let tag = name.tag().unwrap_or_default();
            let Descriptor { digest, size, .. } = pushed.descriptor;
            display.note(&format!("{tag}: digest: {digest} size: {size}"));
            first.get_or_insert(pushed.descriptor);
        }
        display.finish();
        Ok(first)
    }

    fn push_of<'a>(
        &'a self,
        store: &'a Store,
        packing: Packing,
        hear: HearPushing<'a>,
        cancel: &'a Cancel,
    ) -> Result<Push<'a>, Error> {
        let network = self.network.ok_or(UsageError::PushOffline)?;
        let registries = network.way().registries()?;
        Ok(Push {
            store,
            registries,
            packing,
            hear,
            cancel,
        })
    }
}

fn failed(name: &Reference, source: PushError, built: bool) -> Error {
    match source {
        PushError::Cancelled => WriteError::Cancelled.into(),
        source => Error::Push {
            name: name.familiar(),
            source: Box::new(source),
            built,
        },
    }
}
