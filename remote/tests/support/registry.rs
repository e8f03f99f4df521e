//! What the tests of registries push and pull.

use std::io;

use bytes::Bytes;
use image_format::descriptor::Descriptor;
use remote::registry::{RegistryError, Repository, Source};

/// A source in memory.
pub struct Memory(Bytes);

impl Memory {
    pub fn new(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl Source for Memory {
    async fn read_at(&self, offset: u64) -> io::Result<Bytes> {
        let first = usize::try_from(offset).unwrap().min(self.0.len());
        let last = (first + 100_000).min(self.0.len());
        Ok(self.0.slice(first..last))
    }
}

/// Bytes without a pattern.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(size);
    bytes
}

/// A whole blob.
pub async fn fetch(
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, RegistryError> {
    let mut blob = repository.blob(descriptor);
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.next_chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
