//! A closure as a layer.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Closure;
use crate::layer::entry::path_order;
use crate::layer::pack::PackError;
use crate::layer::{Entry, Kind, LayerWriter, Meta, Timestamp};

impl Closure {
    /// Packs the files and links with the directories they lie in. All belong to root, and none is
    /// newer than the epoch: what the layer is does not depend on when or by whom programs were
    /// installed.
    ///
    /// # Errors
    /// When a file cannot be read, or the layer cannot be written.
    pub fn pack<W: Write>(&self, out: W, epoch: Timestamp) -> Result<W, PackError> {
        let mut paths: Vec<&Path> = self.paths().collect();
        paths.sort_by(|a, b| path_order(a.as_os_str().as_bytes(), b.as_os_str().as_bytes()));
        let mut writer = LayerWriter::new(out, epoch);
        for path in paths {
            let entry_path = path.strip_prefix("/").unwrap_or(path);
            let io_error = |action, source| PackError::Io {
                action,
                path: entry_path.to_owned(),
                source,
            };
            let on_host = self.tree.on_host(path);
            let metadata = std::fs::symlink_metadata(&on_host);
            let metadata = metadata.map_err(|source| io_error("read", source))?;
            let kind = if metadata.is_dir() {
                Kind::Dir
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(&on_host);
                let target = target.map_err(|source| io_error("read", source))?;
                Kind::Symlink(target.as_os_str().as_bytes().to_vec())
            } else {
                Kind::File {
                    size: metadata.len(),
                }
            };
            let mode = match kind {
                Kind::Symlink(_) => 0o777,
                _ => metadata.mode() & 0o7777,
            };
            let meta = Meta {
                mode,
                mtime: epoch,
                ..Meta::default()
            };
            let is_file = matches!(kind, Kind::File { .. });
            let entry = Entry {
                path: entry_path.to_owned(),
                kind,
                meta,
            };
            if is_file {
                let file = self.tree.open(path);
                writer.append(&entry, file.map_err(|source| io_error("open", source))?)?;
            } else {
                writer.append(&entry, io::empty())?;
            }
        }
        Ok(writer.finish()?)
    }
}
