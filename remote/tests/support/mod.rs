//! A store to fetch into, and the servers to fetch from.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../tests/servers/mod.rs"]
pub mod servers;

pub mod faulty;
pub mod registry;

use std::path::Path;

use builder::cancel::Cancel;
use builder::remote::{Download, Remote, RemoteError};
use image_format::layout::Store;
use remote::Network;

/// A store, with the way to other machines.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub network: Network,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let network = Network::new(&store);
        Self {
            dir,
            store,
            network,
        }
    }

    pub fn fetch(&self, url: &str) -> Result<Download, RemoteError> {
        self.network.http(url, &mut |_, _| {}, &Cancel::new())
    }

    /// The files that are kept.
    pub fn kept(&self) -> usize {
        let files = self.store.root().join("cache/v1/downloads/files");
        std::fs::read_dir(files).map_or(0, Iterator::count)
    }
}

/// The words of an error, its causes', and what to do.
pub fn words(error: &RemoteError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if let RemoteError::Fetch {
        hint: Some(hint), ..
    } = error
    {
        text.push_str(&format!(" [{hint}]"));
    }
    text
}

/// The content of a file.
pub fn content(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
