//! What a sandbox had to make to mount something on it, and what no layer shall have.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat, unlinkat,
};
use rustix::io::Errno;

use super::{SnapshotError, io_error};

/// Removes the files and directories among `targets`, absolute within `root`, that are still empty.
/// Those that were filled or replaced since are somebody's work, and stay.
pub(super) fn remove_untouched(root: &Path, targets: &[PathBuf]) -> Result<(), SnapshotError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(CWD, root, flags, Mode::empty())
        .map_err(|error| io_error("open", root)(error.into()))?;
    let mut targets: Vec<_> = targets.iter().collect();
    // What is in a directory goes before it.
    targets.sort_unstable_by(|a, b| b.cmp(a));
    for target in targets {
        remove(&dir, target).map_err(|error| io_error("remove", target)(io::Error::from(error)))?;
    }
    Ok(())
}

fn remove(root: &OwnedFd, target: &Path) -> rustix::io::Result<()> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Ok(());
    };
    let parent = Path::new(".").join(parent.strip_prefix("/").unwrap_or(parent));
    // The tree is somebody else's: no link of it is followed.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match openat2(root, parent, flags, Mode::empty(), resolve) {
        Ok(parent) => parent,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(()),
        Err(error) => return Err(error),
    };
    let stat = match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    };
    let flags = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile if stat.st_size == 0 && stat.st_nlink == 1 => AtFlags::empty(),
        _ => return Ok(()),
    };
    match unlinkat(&parent, name, flags) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn removes_what_is_empty_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("made/deep")).unwrap();
        fs::create_dir_all(root.join("etc/kept")).unwrap();
        fs::create_dir(&outside).unwrap();
        for file in ["root/made/deep/file", "root/etc/kept/own", "outside/file"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        fs::write(root.join("etc/filled"), "x").unwrap();
        symlink(&outside, root.join("out")).unwrap();
        let targets = [
            "/made",
            "/made/deep",
            "/made/deep/file",
            "/etc/kept",
            "/etc/filled",
            "/out/file",
            "/../outside/file",
            "/out",
            "/never/made",
            "/",
        ];
        remove_untouched(&root, &targets.map(PathBuf::from)).unwrap();
        assert!(!root.join("made").exists());
        assert!(root.join("etc/kept/own").exists() && root.join("etc/filled").exists());
        assert!(outside.join("file").exists() && root.join("out").is_symlink());
    }
}
