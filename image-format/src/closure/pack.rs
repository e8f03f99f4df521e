//! A closure as a layer.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Closure, Looked};
use crate::layer::entry::path_order;
use crate::layer::pack::PackError;
use crate::layer::{Entry, Kind, LayerWriter, Meta, Timestamp};

impl Closure<'_> {
    /// Packs the files and links with the directories they lie in. All belong to root, and none is
    /// newer than the epoch: what the layer is does not depend on when or by whom programs were
    /// installed.
    ///
    /// # Errors
    /// When a file cannot be read, or the layer cannot be written.
    pub fn pack<W: Write>(&self, out: W, epoch: Timestamp) -> Result<W, PackError> {
        let mut paths: Vec<PathBuf> = self.paths().into_iter().collect();
        paths.sort_by(|a, b| path_order(a.as_os_str().as_bytes(), b.as_os_str().as_bytes()));
        let mut writer = LayerWriter::new(out, epoch);
        for path in &paths {
            let entry_path = path.strip_prefix("/").unwrap_or(path);
            let io_error = |action, source| PackError::Io {
                action,
                path: entry_path.to_owned(),
                source,
            };
            let looked = self.tree.files().look(path);
            let looked = looked.and_then(|looked| looked.ok_or(io::ErrorKind::NotFound.into()));
            let Looked { kind, mode } = looked.map_err(|source| io_error("read", source))?;
            let mode = match kind {
                Kind::Symlink(_) => 0o777,
                _ => mode,
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
