//! Blobs on their way to a registry.

use std::io;

use bytes::Bytes;

/// What is uploaded: bytes that can be read again from any place, as long as the upload lasts.
pub trait Source: Sync {
    /// Some bytes at this offset, as many as are at hand up to some hundred KiB; none at the end. It
    /// waits where they are still in the making.
    fn read_at(&self, offset: u64) -> impl Future<Output = io::Result<Bytes>> + Send;
}
