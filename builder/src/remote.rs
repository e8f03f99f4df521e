//! What lies on other machines: images, and the files and repositories that `ADD` and contexts name by their
//! address.

use std::path::PathBuf;

use image_format::descriptor::{Descriptor, Platform};
use image_format::digest::Digest;
use image_format::layout::{Image, StoreError};
use image_format::reference::Reference;
use image_format::snapshot::LayerSource;

use crate::cancel::Cancel;

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Where it lies, in the store; it stays as it is while the build runs.
    pub path: PathBuf,
    /// The digest of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The name that the server gives it, else the last one of the address; empty where there is
    /// none. It has no slash.
    pub name: String,
    /// When the server says that it was changed, in seconds since 1970.
    pub modified: Option<i64>,
}

/// A git repository, or a directory in it, at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// Where it is.
    pub url: String,
    /// The branch, tag or commit; its `HEAD` where absent.
    pub reference: Option<String>,
    /// The directory in it that is wanted, relative.
    pub directory: Option<String>,
    /// Whether `.git` comes along.
    pub keep_git_dir: bool,
    /// Whether its submodules come along; else their directories are empty.
    pub submodules: bool,
}

/// A repository that was checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The wanted directory, in the store; it stays as it is while the build runs.
    pub path: PathBuf,
    /// The commit, in hexadecimal digits.
    pub commit: String,
}

/// An image that is wanted of a registry.
#[derive(Clone, Copy, Debug)]
pub struct ImageSource<'a> {
    /// Its name.
    pub reference: &'a Reference,
    /// What the name stood for when it was resolved before: its tag may name something else by now.
    pub pinned: Option<Digest>,
    /// The machine it is for; this one where absent.
    pub platform: Option<&'a Platform>,
}

/// What happens while an image comes. Layers are numbered from 0, base first.
#[derive(Clone, Copy, Debug)]
pub enum Pulling<'a> {
    /// Its manifest is there: it has these layers.
    Layers(&'a [Descriptor]),
    /// A layer needs not come: the store has it.
    Present {
        /// Which.
        layer: usize,
    },
    /// So much of a layer has come.
    Bytes {
        /// Which.
        layer: usize,
        /// The bytes that have come since it was last said.
        bytes: u64,
    },
    /// A layer is here.
    Fetched {
        /// Which.
        layer: usize,
    },
    /// A layer is here, checked and, where that was asked for, unpacked.
    Done {
        /// Which.
        layer: usize,
    },
}

/// Hears what happens while an image comes, from several threads.
pub type HearPulling<'a> = &'a (dyn Fn(Pulling<'_>) + Sync);

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// Nothing is fetched here.
    #[error("cannot fetch {url}: this build has no way to other machines")]
    NoWay {
        /// The address.
        url: String,
    },
    /// The registry has no image of this name, or does not show it.
    #[error("there is no image {name} at {registry}")]
    NoImage {
        /// The image, as people write it.
        name: String,
        /// Where it was asked for.
        registry: String,
        /// What to do, where something is known.
        hint: Option<String>,
        /// What the registry said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The image could not be pulled.
    #[error("cannot pull {name}")]
    Pull {
        /// The image, as people write it.
        name: String,
        /// What to do, where something is known.
        hint: Option<String>,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It could not be fetched.
    #[error("cannot fetch {url}")]
    Fetch {
        /// The address, without a password.
        url: String,
        /// What to do, where something is known.
        hint: Option<String>,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RemoteError {
    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch { hint, .. } | Self::NoImage { hint, .. } | Self::Pull { hint, .. } => {
                hint.clone()
            }
            Self::Cancelled | Self::NoWay { .. } | Self::Store(_) => None,
        }
    }
}

/// Fetches from other machines. The builder itself speaks no protocol.
pub trait Remote: Send + Sync {
    /// Fetches a file over HTTP; what was fetched before and has not changed is not fetched again.
    /// `progress` gets the bytes so far, and all of them where that is known (else 0).
    ///
    /// # Errors
    /// When it cannot be had.
    fn http(
        &self,
        url: &str,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &Cancel,
    ) -> Result<Download, RemoteError>;

    /// Checks out a repository.
    ///
    /// # Errors
    /// When it cannot be had, or has no such reference or directory.
    fn git(&self, source: &GitSource, cancel: &Cancel) -> Result<Checkout, RemoteError>;

    /// Brings what a name stands for in its registry into the store, under that name. What the store has of
    /// it is not fetched, and its layers only when something reads them.
    ///
    /// # Errors
    /// [`RemoteError::NoImage`] where the registry has none, and others when it cannot be had.
    fn image(
        &self,
        wanted: &ImageSource<'_>,
        hear: HearPulling<'_>,
        cancel: &Cancel,
    ) -> Result<Image, RemoteError>;

    /// Brings those of these layers that were not fetched with their image, side by side.
    ///
    /// # Errors
    /// When one cannot be had. Where nothing is fetched, that is no error: reading one is.
    fn layers(
        &self,
        layers: &[LayerSource],
        hear: HearPulling<'_>,
        cancel: &Cancel,
    ) -> Result<(), RemoteError>;

    /// What a short name stands for that the store does not have; `None` where docker's rule stands.
    ///
    /// # Errors
    /// When what is set for names cannot be read.
    fn alias(&self, _name: &str) -> Result<Option<String>, RemoteError> {
        Ok(None)
    }
}

/// Fetches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Remote for Offline {
    fn http(
        &self,
        url: &str,
        _: &mut dyn FnMut(u64, u64),
        _: &Cancel,
    ) -> Result<Download, RemoteError> {
        let url = url.to_owned();
        Err(RemoteError::NoWay { url })
    }

    fn git(&self, source: &GitSource, _: &Cancel) -> Result<Checkout, RemoteError> {
        let url = source.url.clone();
        Err(RemoteError::NoWay { url })
    }

    fn image(
        &self,
        wanted: &ImageSource<'_>,
        _: HearPulling<'_>,
        _: &Cancel,
    ) -> Result<Image, RemoteError> {
        let url = wanted.reference.to_string();
        Err(RemoteError::NoWay { url })
    }

    fn layers(&self, _: &[LayerSource], _: HearPulling<'_>, _: &Cancel) -> Result<(), RemoteError> {
        Ok(())
    }
}

/// Fetches nothing, and knows what another knows of names.
pub struct Unreached<'a>(pub &'a dyn Remote);

impl Remote for Unreached<'_> {
    fn http(
        &self,
        url: &str,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &Cancel,
    ) -> Result<Download, RemoteError> {
        Offline.http(url, progress, cancel)
    }

    fn git(&self, source: &GitSource, cancel: &Cancel) -> Result<Checkout, RemoteError> {
        Offline.git(source, cancel)
    }

    fn image(
        &self,
        wanted: &ImageSource<'_>,
        hear: HearPulling<'_>,
        cancel: &Cancel,
    ) -> Result<Image, RemoteError> {
        Offline.image(wanted, hear, cancel)
    }

    fn layers(
        &self,
        layers: &[LayerSource],
        hear: HearPulling<'_>,
        cancel: &Cancel,
    ) -> Result<(), RemoteError> {
        Offline.layers(layers, hear, cancel)
    }

    fn alias(&self, name: &str) -> Result<Option<String>, RemoteError> {
        self.0.alias(name)
    }
}
