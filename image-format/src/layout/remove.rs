//! The removal of a tree that a container may have made: of any depth, with any mode.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, fchmod, openat, renameat, unlinkat,
};
use rustix::io::Errno;

/// Removes `path` and all below it, following no link.
///
/// Directories below are moved up until none has any within, so that neither the length of a path
/// nor the stack bounds the depth.
///
/// # Errors
/// When something cannot be removed; a path that is not there is no error.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let top = match open_dir(CWD, path) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(unlinkat(CWD, path, AtFlags::empty())?),
        Err(error) => return Err(error.into()),
    };
    let mut moved = 0_u64;
    loop {
        let (files, dirs) = entries(top.as_fd())?;
        for name in &files {
            unlinkat(&top, name, AtFlags::empty())?;
        }
        if dirs.is_empty() {
            return Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?);
        }
        for dir in &dirs {
            empty(top.as_fd(), dir, &mut moved)?;
            unlinkat(&top, dir, AtFlags::REMOVEDIR)?;
        }
    }
}

/// Removes the files of `top/dir` and moves its directories to `top`.
fn empty(top: BorrowedFd<'_>, dir: &CStr, moved: &mut u64) -> rustix::io::Result<()> {
    let dir = open_dir(top, dir)?;
    let (files, dirs) = entries(dir.as_fd())?;
    for name in &files {
        unlinkat(&dir, name, AtFlags::empty())?;
    }
    for name in &dirs {
        // Moving a directory writes its `..`, which takes the right to write.
        chmodat(&dir, name, Mode::RWXU, AtFlags::empty())?;
        loop {
            *moved += 1;
            match renameat(&dir, name, top, format!(".removed-{moved}")) {
                // An entry of that name that has something in it.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                result => break result?,
            }
        }
    }
    Ok(())
}

fn open_dir<P: rustix::path::Arg + Copy>(
    at: BorrowedFd<'_>,
    path: P,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(at, path, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(at, path, Mode::RWXU, AtFlags::empty())?;
            openat(at, path, flags, Mode::empty())
        }
        opened => {
            let dir = opened?;
            // Best tried: who may not change the mode may still be able to remove.
            let _ = fchmod(&dir, Mode::RWXU);
            Ok(dir)
        }
    }
}

type Names = Vec<std::ffi::CString>;

/// The names in a directory: what is no directory, and what is.
fn entries(dir: BorrowedFd<'_>) -> rustix::io::Result<(Names, Names)> {
    let (mut files, mut dirs) = (Names::new(), Names::new());
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        let list = if kind == FileType::Directory {
            &mut dirs
        } else {
            &mut files
        };
        list.push(name.to_owned());
    }
    Ok((files, dirs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn removes_any_mode_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (top, kept) = (dir.path().join("top"), dir.path().join("kept"));
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/file"), "x").unwrap();
        fs::write(&kept, "x").unwrap();
        symlink("..", top.join("a/link")).unwrap();
        fs::set_permissions(top.join("a"), fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&top).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists() && kept.exists());
    }

    #[test]
    fn removes_what_is_deeper_than_any_path() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        let mut at = open_dir(CWD, &top).unwrap();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open_dir(at.as_fd(), "d").unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
    }
}
