//! What layers are when they are compressed: so that it happens once.
//!
//! ```text
//! cache/v1/compressed/<diff-id>-<how>     digest and size in bytes of the compressed blob
//! ```
//!
//! Such a blob stays as long as an image of the store has the layer.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Store, StoreError, io_error};
use crate::digest::Digest;

/// A digest, a space and a number.
const LARGEST: usize = 100;

impl Store {
    /// Digest and size of what a layer's tar was when it was compressed; the blob need not be there any
    /// more.
    #[must_use]
    pub fn compressed_form(&self, diff_id: &Digest, how: &str) -> Option<(Digest, u64)> {
        read(&self.compressed_forms().join(file_name(diff_id, how)))
    }

    /// Notes what a layer's tar is when it is compressed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_compressed_form(
        &self,
        diff_id: &Digest,
        how: &str,
        digest: Digest,
        size: u64,
    ) -> Result<(), StoreError> {
        if self.compressed_form(diff_id, how) == Some((digest, size)) {
            return Ok(());
        }
        let dir = self.compressed_forms();
        fs::create_dir_all(&dir).map_err(io_error("make", &dir))?;
        let path = dir.join(file_name(diff_id, how));
        let file = self.tmp_file()?;
        fs::write(file.path(), format!("{digest} {size}"))
            .map_err(io_error("write", file.path()))?;
        let kept = file.persist(&path);
        kept.map_err(|error| io_error("write", &path)(error.error))?;
        Ok(())
    }

    /// Adds the compressed forms of these layers to the blobs that are needed, and forgets all others.
    pub(super) fn mark_compressed_forms(
        &self,
        diff_ids: &BTreeSet<Digest>,
        blobs: &mut BTreeSet<Digest>,
    ) -> Result<(), StoreError> {
        let dir = self.compressed_forms();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error("read", &dir)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(io_error("read", &dir))?;
            let name = entry.file_name();
            let diff_id = name.to_str().and_then(|name| name.split_once('-'));
            let diff_id = diff_id.and_then(|(hex, _)| Digest::from_hex(hex).ok());
            match (diff_id, read(&entry.path())) {
                (Some(diff_id), Some((digest, _))) if diff_ids.contains(&diff_id) => {
                    blobs.insert(digest);
                }
                _ => fs::remove_file(entry.path()).map_err(io_error("remove", &entry.path()))?,
            }
        }
        Ok(())
    }

    fn compressed_forms(&self) -> PathBuf {
        self.root().join("cache/v1/compressed")
    }
}

fn file_name(diff_id: &Digest, how: &str) -> String {
    format!("{}-{how}", diff_id.hex())
}

/// What is torn is not there.
fn read(path: &std::path::Path) -> Option<(Digest, u64)> {
    let text = fs::read_to_string(path).ok()?;
    let (digest, size) = text.get(..text.len().min(LARGEST))?.split_once(' ')?;
    Some((digest.parse().ok()?, size.parse().ok()?))
}
