//! Removes what is in the way, however deep it goes.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::dirs::open_dir;
use super::error::{Fault, failed};

/// Removes a name with all that is in it; that it is not there is no error.
pub(super) fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Fault> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(gone(error)),
    }
    let mut here = open_dir(dir, name).map_err(gone)?;
    // The directories on the way, each with what is left to remove in it. One handle will do.
    let mut ways = vec![empty(here.as_fd())?];
    let mut names: Vec<Vec<u8>> = Vec::new();
    while let Some(rest) = ways.last_mut() {
        if let Some(name) = rest.pop() {
            match rustix::fs::unlinkat(&here, name.as_slice(), AtFlags::REMOVEDIR) {
                Ok(()) => continue,
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return Err(gone(error)),
            }
            here = open_dir(here.as_fd(), &name).map_err(gone)?;
            ways.push(empty(here.as_fd())?);
            names.push(name);
        } else {
            ways.pop();
            if let Some(name) = names.pop() {
                // Nobody moves directories here meanwhile, so this is where it came from.
                here = open_dir(here.as_fd(), b"..").map_err(gone)?;
                rustix::fs::unlinkat(&here, name, AtFlags::REMOVEDIR).map_err(gone)?;
            }
        }
    }
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).map_err(gone)
}

/// The names in a directory, and whether each is a directory.
pub(super) fn list(dir: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, bool)>, Fault> {
    let mut all = Vec::new();
    for entry in Dir::read_from(dir).map_err(failed("list"))? {
        let entry = entry.map_err(failed("list"))?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let mut file_type = entry.file_type();
        if file_type == FileType::Unknown {
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
            file_type = FileType::from_raw_mode(stat.map_err(failed("read"))?.st_mode);
        }
        all.push((name.to_vec(), file_type.is_dir()));
    }
    Ok(all)
}

/// Removes all but the directories in a directory, and gives those.
fn empty(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    let mut dirs = Vec::new();
    for (name, is_dir) in list(dir)? {
        if is_dir {
            dirs.push(name);
        } else {
            rustix::fs::unlinkat(dir, name, AtFlags::empty()).map_err(gone)?;
        }
    }
    Ok(dirs)
}

fn gone(error: Errno) -> Fault {
    failed("remove what was there before")(error)
}
