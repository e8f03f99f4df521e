//! The binary, run again as one of its own stages.
//!
//! What runs is never the file that was installed, but a clone that nothing inside a container can
//! write to, whatever it gets hold of through `/proc/<pid>/exe` (CVE-2019-5736).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags};

use crate::sandbox::{self, SandboxError};
use crate::sys;

/// The stage that makes a sandbox.
pub const SANDBOX: &str = "mkimg-sandbox";

/// This process's own binary, the clone where it is one.
const SELF: &str = "/proc/self/exe";

/// Becomes a stage if this process was started as one, and does not return then. To be called
/// first of all in `main`, before there is any thread.
pub fn dispatch() {
    // What the caller left open is for nobody that this process starts (CVE-2024-21626). A kernel
    // that does not know the call cannot run a payload either, and says so then.
    let _ = sys::close_on_exec_from(3);
    if std::env::args_os().next().as_deref() == Some(OsStr::new(SANDBOX)) {
        sandbox::run_stage();
    }
}

/// A stage to be started: the command and the clone it runs, which must stay open until then.
pub(crate) struct Stage {
    pub command: Command,
    pub clone: OwnedFd,
}

/// A command that runs a clone of this binary, which no container can write to, as the stage; its
/// environment is empty.
pub(crate) fn command(stage: &str) -> Result<Stage, SandboxError> {
    let clone = own_mount()
        .map_err(io::Error::from)
        .or_else(|_| sealed_copy())
        .map_err(SandboxError::SelfBinary)?;
    let mut command = Command::new(format!("/proc/self/fd/{}", clone.as_raw_fd()));
    command.arg0(stage).env_clear();
    Ok(Stage { command, clone })
}

/// A clone of this binary by its path. `/proc/self/exe` itself leads into the mount namespace that
/// the process started in, of which nothing can be cloned once it has entered another.
fn own_mount() -> Result<OwnedFd, Errno> {
    let path = rustix::fs::readlinkat(CWD, SELF, Vec::new())?;
    let mount = read_only_mount(Path::new(OsStr::from_bytes(path.as_bytes())))?;
    let (there, own) = (rustix::fs::fstat(&mount)?, rustix::fs::stat(SELF)?);
    if (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino) {
        // Replaced by another version meanwhile.
        return Err(Errno::STALE);
    }
    Ok(mount)
}

/// The file itself under a read-only mount that is attached nowhere: costs two system calls, but
/// takes root, and a kernel of 5.12 or later.
fn read_only_mount(file: &Path) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, file, flags)?;
    sys::mount_setattr(
        mount.as_fd(),
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID,
        false,
    )?;
    Ok(mount)
}

/// A copy in memory that the kernel lets nobody change.
fn sealed_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag, and need none.
    let copy = match rustix::fs::memfd_create("mkimg", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create("mkimg", flags)?,
        made => made?,
    };
    let mut copy = File::from(copy);
    io::copy(&mut File::open(SELF)?, &mut copy)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    // What is open for writing cannot be executed.
    let readable = File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))?;
    Ok(readable.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writable(clone: impl AsFd) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", clone.as_fd().as_raw_fd());
        File::options().write(true).open(path)
    }

    #[test]
    fn no_clone_can_be_written_to() {
        // Not this program, which nobody can write to while it runs.
        let file = tempfile::NamedTempFile::new().unwrap();
        let mount = read_only_mount(file.path()).unwrap();
        assert_eq!(
            writable(&mount).unwrap_err().kind(),
            io::ErrorKind::ReadOnlyFilesystem
        );
        let copy = sealed_copy().unwrap();
        let whole = std::fs::metadata(SELF).unwrap().len();
        assert_eq!(
            File::from(copy.try_clone().unwrap())
                .metadata()
                .unwrap()
                .len(),
            whole
        );
        let copy = writable(&copy).unwrap();
        assert_eq!(rustix::io::pwrite(&copy, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&copy, 0), Err(Errno::PERM));
    }

    #[test]
    fn every_clone_can_be_executed() {
        let whole = File::open(SELF).unwrap().metadata().unwrap().len();
        for clone in [own_mount().unwrap(), sealed_copy().unwrap()] {
            let path = format!("/proc/self/fd/{}", clone.as_raw_fd());
            assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
            let listed = Command::new(path).arg("--list").output().unwrap();
            assert!(listed.status.success());
        }
    }
}
