//! Whiteouts: the only file that knows how a layer and overlayfs spell "this is gone".
//!
//! Sources: OCI image specification, `layer.md`, "Whiteouts"; the kernel's
//! `Documentation/filesystems/overlayfs.rst`, "whiteouts and opaque directories".
//!
//! | | in a tar | in an upper directory |
//! |---|---|---|
//! | `x` is gone | an empty file `.wh.x` | a character device 0/0 named `x`, or an empty file with the attribute `overlay.whiteout` |
//! | all that was in `d` is gone | an empty file `d/.wh..wh..opq` | the attribute `overlay.opaque` = `y` on `d` |

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Before the name of what is gone.
pub const PREFIX: &[u8] = b".wh.";
/// The name of the marker of an opaque directory.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a name in a tar says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling<'a> {
    /// An entry of this name.
    Plain,
    /// The entry of this name, in the same directory, is gone from the layers below.
    Whiteout(&'a [u8]),
    /// All that the layers below have in the directory is gone.
    Opaque,
    /// The prefix, and then what can be no name, or names reserved for whiteouts.
    Malformed,
}

/// What the last component of a path in a tar says.
#[must_use]
pub fn classify(name: &[u8]) -> Spelling<'_> {
    match name.strip_prefix(PREFIX) {
        None => Spelling::Plain,
        Some(b".wh..opq") => Spelling::Opaque,
        Some(b"" | b"." | b"..") => Spelling::Malformed,
        Some(hidden) if hidden.starts_with(PREFIX) => Spelling::Malformed,
        Some(hidden) => Spelling::Whiteout(hidden),
    }
}

/// Where overlayfs keeps its attributes, which depends on who mounts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrNamespace {
    /// `trusted.overlay.`: mounted by root.
    Trusted,
    /// `user.overlay.`: mounted in a user namespace, with the option `userxattr`.
    User,
}

impl XattrNamespace {
    /// The attribute of an opaque directory.
    #[must_use]
    pub const fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    /// The attribute of an empty file that stands for a whiteout.
    #[must_use]
    pub const fn whiteout(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.whiteout",
            Self::User => "user.overlay.whiteout",
        }
    }

    /// The attributes that say an entry's name or content is elsewhere: upper directories that
    /// have them cannot be packed.
    #[must_use]
    pub const fn elsewhere(self) -> [&'static str; 2] {
        match self {
            Self::Trusted => ["trusted.overlay.redirect", "trusted.overlay.metacopy"],
            Self::User => ["user.overlay.redirect", "user.overlay.metacopy"],
        }
    }
}

/// Whether an extended attribute is part of an image.
///
/// Left out is what belongs to the machine: overlayfs' own bookkeeping, labels of its security
/// modules (SELinux, IMA, …), and `trusted.`, which only root of the machine can see.
#[must_use]
pub fn is_carried(xattr: &OsStr) -> bool {
    let name = xattr.as_bytes();
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_spellings_apart() {
        assert_eq!(classify(b"x"), Spelling::Plain);
        assert_eq!(classify(b".whx"), Spelling::Plain);
        assert_eq!(classify(b".wh.x"), Spelling::Whiteout(b"x"));
        assert_eq!(classify(b".wh..x"), Spelling::Whiteout(b".x"));
        assert_eq!(classify(b".wh..wh..opq"), Spelling::Opaque);
        for malformed in [".wh.", ".wh..", ".wh...", ".wh..wh.x", ".wh..wh..plnk"] {
            assert_eq!(classify(malformed.as_bytes()), Spelling::Malformed);
        }
    }
}
