//! The way of a build: plan, stages side by side, image.

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::snapshot::Snapshotter;

use crate::error::BuildError;
use crate::executor::Executor;
use crate::progress::Progress;
use crate::request::BuildRequest;

/// Who does the work, and who hears of it.
#[derive(Clone, Copy)]
pub struct Backend<'a> {
    /// Unpacks layers and makes new ones of what commands wrote.
    pub snapshotter: &'a dyn Snapshotter,
    /// Runs commands.
    pub executor: &'a dyn Executor,
    /// Hears what happens.
    pub progress: &'a dyn Progress,
}

/// An image that was built; durable, and tagged as the request has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its ID: the digest of its config.
    pub id: Digest,
}

/// Builds an image.
///
/// # Errors
/// When anything of it fails. The store is as it was then, but for the cache of what was done.
pub fn build(request: &BuildRequest, backend: Backend<'_>) -> Result<Built, BuildError> {
    let _ = (request, backend);
    Err(BuildError::Cancelled)
}
