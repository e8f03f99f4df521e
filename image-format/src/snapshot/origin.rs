//! Where snapshots lie: a directory that stands for all that they depend on beside their layers.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Kind;
use crate::digest::Digest;
use crate::layer::whiteout::XattrNamespace;
use crate::layout::{StoreError, io_error};

/// The length of a digest's beginning that is enough here: nobody chooses what it is made of.
const DIGITS: usize = 16;

/// The directory of all origins in a store.
pub(crate) fn all(root: &Path) -> PathBuf {
    root.join("snapshots/v1")
}

/// What the names of all origins begin with whose snapshots can still be used: the boot of the
/// machine and the directory they lie in.
pub(crate) fn place(dir: &Path) -> Result<String, StoreError> {
    let boot = read(Path::new("/proc/sys/kernel/random/boot_id"))?;
    let metadata = fs::metadata(dir).map_err(io_error("read", dir))?;
    let text = format!("{boot} {} {}", metadata.dev(), metadata.ino());
    Ok(short(&text))
}

/// Whether an origin's snapshots, by its name, can still be used.
pub(crate) fn is_at(name: &OsStr, place: &str) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix(place));
    rest.is_some_and(|rest| rest.starts_with('-'))
}

/// The directory for this process's snapshots: `<place>-<kind>-<mapping of IDs>`. It need not be
/// there.
pub(super) fn dir(root: &Path, kind: Kind) -> Result<PathBuf, StoreError> {
    let all = all(root);
    let place = place(&all)?;
    let users = read(Path::new("/proc/self/uid_map"))?;
    let groups = read(Path::new("/proc/self/gid_map"))?;
    let kind = match (kind, xattrs()?) {
        (Kind::Copy, _) => "copy",
        (Kind::Overlay, XattrNamespace::Trusted) => "trusted",
        (Kind::Overlay, XattrNamespace::User) => "user",
    };
    let mapping = short(&format!("{users}\n{groups}"));
    Ok(all.join(format!("{place}-{kind}-{mapping}")))
}

/// Where overlayfs keeps its marks when this process mounts it.
pub(super) fn xattrs() -> Result<XattrNamespace, StoreError> {
    /// The kernel's PROC_USER_INIT_INO: the machine's own namespace, the same on all.
    const INITIAL: &str = "user:[4026531837]";
    let path = Path::new("/proc/self/ns/user");
    let namespace = fs::read_link(path).map_err(io_error("read", path))?;
    Ok(if namespace == Path::new(INITIAL) {
        XattrNamespace::Trusted
    } else {
        XattrNamespace::User
    })
}

fn read(path: &Path) -> Result<String, StoreError> {
    fs::read_to_string(path).map_err(io_error("read", path))
}

fn short(text: &str) -> String {
    let mut hex = Digest::of(text.as_bytes()).hex();
    hex.truncate(DIGITS);
    hex
}
