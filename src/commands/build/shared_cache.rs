//! `--cache-from` and `--cache-to`: caches that machines share.

mod spec;

use std::sync::Arc;
use std::time::Duration;

use builder::Built;
use builder::cache::shared::{DEFAULT_TIMEOUT, Directory, Export, Import, Place};
use builder::cancel::Cancel;
use clap::Args;
use image_format::layout::Store;
use remote::Network;
use remote::shared_cache::RegistryCache;

use crate::diagnostic;
use crate::progress::Display;
use spec::{CacheFrom, CacheTo, Lies, Timeout, Where};

/// Flags of caches that machines share.
#[derive(Args)]
pub struct SharedCacheArgs {
    /// A cache that is looked into where the store lacks a step: in a registry, or a directory; may be given
    /// several times
    #[arg(long, value_name = "REF|type=registry,ref=REF|type=local,src=DIR")]
    cache_from: Vec<CacheFrom>,
    /// Where others find what is built: in a registry, a directory, or the image itself; mode=max takes the steps of
    /// all stages, scope=NAME keeps it apart from other branches. May be given several times
    #[arg(
        long,
        value_name = "REF|type=registry,ref=REF|type=local,dest=DIR|type=inline[,mode=min|max][,scope=NAME]"
    )]
    cache_to: Vec<CacheTo>,
    /// The longest that a build waits for the records of one cache, or for all of the export, as in 30s [default: 5m]
    #[arg(long, value_name = "TIME")]
    cache_timeout: Option<Timeout>,
}

/// What is exported, and how long that may take.
pub struct Exports {
    exports: Vec<Export>,
    timeout: Duration,
}

impl SharedCacheArgs {
    /// The caches that are looked into; without a network those in registries are not.
    pub fn imports(&self, network: Option<&Network>, display: &Display) -> Vec<Arc<Import>> {
        let caches = self.cache_from.iter().flat_map(|from| &from.0);
        let import = |lies: &Lies| {
            let place = place(lies, network, display)?;
            Some(Arc::new(Import::new(place, &lies.scope, self.timeout())))
        };
        caches.filter_map(import).collect()
    }

    /// Those that are written; the same.
    pub fn exports(&self, network: Option<&Network>, display: &Display) -> Exports {
        let caches = self.cache_to.iter().flat_map(|to| &to.caches);
        let export = |(lies, mode): &(Lies, _)| {
            Some(Export {
                place: place(lies, network, display)?,
                scope: lies.scope.clone(),
                mode: *mode,
            })
        };
        Exports {
            exports: caches.filter_map(export).collect(),
            timeout: self.timeout(),
        }
    }

    /// Whether the image itself is one of them.
    pub fn inline(&self) -> bool {
        self.cache_to.iter().any(|to| to.inline)
    }

    fn timeout(&self) -> Duration {
        self.cache_timeout.map_or(DEFAULT_TIMEOUT, |time| time.0)
    }
}

fn place(lies: &Lies, network: Option<&Network>, display: &Display) -> Option<Arc<dyn Place>> {
    Some(match &lies.place {
        Where::Directory { dir, entry } => Arc::new(Directory::new(dir, entry.clone())),
        Where::Registry(reference) => match network {
            Some(network) => Arc::new(RegistryCache::new(network.way(), reference)),
            None => {
                let why = "left out, for the build is --offline";
                display.note(&format!("cache {reference}: {why}"));
                return None;
            }
        },
    })
}

impl Exports {
    /// Writes them all, and says what became of it: none fails the build.
    pub fn run(&self, store: &Store, built: &Built, display: &Display, cancel: &Cancel) {
        let end = std::time::Instant::now() + self.timeout;
        for export in &self.exports {
            let name = export.place.name();
            display.note(&format!("exporting the cache to {name}"));
            let rest = end.saturating_duration_since(std::time::Instant::now());
            match export.run(store, &built.steps, rest, cancel) {
                Ok(new) => display.note(&format!("cache {name}: {}", records(new))),
                Err(_) if cancel.is_cancelled() => return,
                Err(error) => {
                    let why = diagnostic::chain(&error);
                    display.note(&format!(
                        "warning: the cache {name} was not exported: {why}"
                    ));
                }
            }
        }
    }
}

fn records(new: usize) -> String {
    match new {
        0 => "all of it is there".to_owned(),
        1 => "1 new record".to_owned(),
        new => format!("{new} new records"),
    }
}
