//! One maker for each snapshot, whoever else wants it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::{SnapshotError, io_error};

/// Makes what is to be at `path` unless it is there; who comes while another makes it, waits.
///
/// `make` does the whole work and ends with [`publish`]. A maker that dies lets its lock go, and
/// the next one makes it.
pub(super) fn once(
    path: &Path,
    make: impl FnOnce() -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    if path.exists() {
        return Ok(());
    }
    let lock_path = path.with_extension("lock");
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(io_error("open", &lock_path))?;
    lock.lock().map_err(io_error("lock", &lock_path))?;
    // It may have come since it was looked for, and its lock have gone.
    if !path.exists() {
        make()?;
    }
    // Whoever waits for it finds the snapshot. Should two ever make it, the first one's stays.
    let _ = fs::remove_file(&lock_path);
    Ok(())
}

/// Moves a finished directory to its place; where there is one already, it is as good.
pub(super) fn publish(made: &Path, path: &Path) -> Result<(), SnapshotError> {
    match rustix::fs::rename(made, path) {
        Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
        Err(error) => Err(io_error("make", path)(io::Error::from(error))),
    }
}
