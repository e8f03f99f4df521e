//! What lies on other machines: images in registries, files over HTTP and git repositories, fetched into the
//! store with no helper program. It is what [`builder::remote::Remote`] is for a real build.
//!
//! For `ADD` a build is given a [`Network`]. A context that is fetched goes the same way, before the
//! build begins:
//!
//! ```no_run
//! # use builder::{cancel::Cancel, remote::{GitSource, Remote}};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = image_format::layout::Store::open("/tmp/store".as_ref())?;
//! let network = remote::Network::new(&store);
//! let archive = network.http("https://example.org/x.tar.gz", &mut |_, _| {}, &Cancel::new())?;
//! let repository = network.git(
//!     &GitSource {
//!         url: "https://example.org/x.git".to_owned(),
//!         reference: Some("main".to_owned()),
//!         directory: Some("app".to_owned()),
//!         keep_git_dir: false,
//!         submodules: true,
//!     },
//!     &Cancel::new(),
//! )?;
//! # drop((archive, repository));
//! # Ok(())
//! # }
//! ```
//!
//! What was fetched stays as it is as long as the [`Network`] lives, whatever other processes do: keep
//! it until the build has ended. A `Network` costs nothing until something is fetched: certificates are
//! read, and a runtime and its thread for looking up names are made, for each fetch that needs them.
//!
//! ```text
//! cache/v1/downloads/
//!   urls/<sha256 of the address>     what the server said of it, and which file it is
//!   files/<sha256>                   the files
//!   checkouts/<sha256 of what>/      a repository each, at one commit
//! ```

mod attempt;
pub mod broken;
mod cancellable;
pub mod client;
pub mod git;
pub mod http;
pub mod kept;
pub mod pull;
pub mod push;
pub mod registry;
pub mod settings;
pub mod shared_cache;
pub mod supply;

use std::sync::{Arc, OnceLock};

use builder::cancel::Cancel;
use builder::remote::{
    Checkout, Download, GitSource, HearPulling, ImageSource, Remote, RemoteError,
};
use image_format::layout::{Image, Store};
use image_format::snapshot::LayerSource;

use client::{Client, ClientError};
use git::Dated;
use git::login::Logins;
use kept::Kept;
use pull::{Layers, Pull, PullError};
use registry::{Settings, Unset};
use supply::Way;

/// The way to other machines.
pub struct Network {
    kept: Kept,
    client: OnceLock<Client>,
    logins: Logins,
    way: Arc<Way>,
}

impl Network {
    /// What is fetched goes into this store.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self {
            kept: Kept::new(store),
            client: OnceLock::new(),
            logins: Logins::default(),
            way: Arc::new(Way::new(Arc::new(Unset))),
        }
    }

    /// The same, with what is set for registries.
    #[must_use]
    pub fn with_settings(mut self, settings: Arc<dyn Settings>) -> Self {
        self.way = Arc::new(Way::new(settings));
        self
    }

    /// The same, with who fetches repositories.
    #[must_use]
    pub fn with_logins(mut self, logins: Logins) -> Self {
        self.logins = logins;
        self
    }

    /// The way to registries, which a store can be given: see [`Store::set_supplier`].
    #[must_use]
    pub fn way(&self) -> &Arc<Way> {
        &self.way
    }

    /// Checks out a repository, and says when its commit was made.
    ///
    /// # Errors
    /// When it cannot be had, or has no such reference or directory.
    pub fn dated(&self, source: &GitSource, cancel: &Cancel) -> Result<Dated, RemoteError> {
        let found = match self.client() {
            Ok(client) => git::check_out(client, &self.kept, &self.logins, source, cancel),
            Err(error) => Err(error.into()),
        };
        found.map_err(|error| error.at(&source.url))
    }

    fn client(&self) -> Result<&Client, ClientError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Two threads may both make one: they are the same.
        let client = Client::new()?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl Remote for Network {
    fn http(
        &self,
        url: &str,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &Cancel,
    ) -> Result<Download, RemoteError> {
        let fetched = match self.client() {
            Ok(client) => http::fetch(client, &self.kept, url, progress, cancel),
            Err(error) => Err(error.into()),
        };
        fetched.map_err(|error| error.at(url))
    }

    fn git(&self, source: &GitSource, cancel: &Cancel) -> Result<Checkout, RemoteError> {
        Ok(self.dated(source, cancel)?.checkout)
    }

    fn image(
        &self,
        wanted: &ImageSource<'_>,
        hear: HearPulling<'_>,
        cancel: &Cancel,
    ) -> Result<Image, RemoteError> {
        let pulled = self.way.registries().map_err(PullError::from);
        let pulled = pulled.and_then(|registries| {
            let pull = Pull {
                store: self.kept.store(),
                registries,
                layers: Layers::Later,
                hear,
                cancel,
            };
            pull.image(wanted)
        });
        let pulled = pulled.map_err(|error| error.of(wanted.reference))?;
        Ok(pulled.image)
    }

    fn layers(
        &self,
        layers: &[LayerSource],
        hear: HearPulling<'_>,
        cancel: &Cancel,
    ) -> Result<(), RemoteError> {
        self.way
            .layers(self.kept.store(), layers, None, hear, cancel)
    }

    fn alias(&self, name: &str) -> Result<Option<String>, RemoteError> {
        self.way
            .settings()
            .alias(name)
            .map_err(|error| RemoteError::Pull {
                name: name.to_owned(),
                hint: error.hint(),
                source: Box::new(error),
            })
    }
}
