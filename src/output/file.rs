//! Files and directories that appear whole or not at all: they are made beside their place, and moved there.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// How the names of unfinished ones begin.
const UNFINISHED: &str = ".mkimg-save-";

/// A new file that can be moved to `path`, with the permissions that everybody's new files have.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent(path))
}

/// A new directory that can be moved to `path`.
pub fn directory_beside(path: &Path) -> io::Result<TempDir> {
    let dir = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(parent(path))?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}

/// Whether something is there that is written to as it is: a device or a pipe.
pub fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Writes a small file.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if is_special(path) {
        return fs::write(path, content);
    }
    let mut file = beside(path)?;
    io::Write::write_all(&mut file, content)?;
    file.persist(path)?;
    Ok(())
}

/// The directory that a path is in.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
