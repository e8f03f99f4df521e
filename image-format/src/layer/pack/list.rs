//! The names in a directory, in the order in which a layer has them.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, RawDir};

use super::inode;
use crate::layer::whiteout;

/// What is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// An entry of this type.
    Entry(FileType),
    /// What is below is gone.
    Gone(Instead),
    /// All that is below the directory is gone.
    Opaque,
}

/// What lies at the name of what is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// Nothing.
    Nothing,
    /// A whiteout.
    Whiteout,
    /// A socket: no layer can hold one, and docker leaves them out too.
    Socket,
}

/// A name in a directory.
pub(super) struct Item {
    /// The name as the layer spells it, with the prefix of a whiteout.
    spelled: Vec<u8>,
    pub is: Is,
}

impl Item {
    fn entry(name: &[u8], kind: FileType) -> Self {
        Self {
            spelled: name.to_vec(),
            is: Is::Entry(kind),
        }
    }

    pub fn gone(name: &[u8], instead: Instead) -> Self {
        Self {
            spelled: [whiteout::PREFIX, name].concat(),
            is: Is::Gone(instead),
        }
    }

    pub fn opaque() -> Self {
        Self {
            spelled: whiteout::OPAQUE.to_vec(),
            is: Is::Opaque,
        }
    }

    /// The name in the directory.
    pub fn name(&self) -> &OsStr {
        let name = match self.is {
            Is::Gone(_) => &self.spelled[whiteout::PREFIX.len()..],
            _ => &self.spelled,
        };
        OsStr::from_bytes(name)
    }
}

/// Puts names into the order of a layer.
pub(super) fn sort(items: &mut [Item]) {
    items.sort_unstable_by(|a, b| a.spelled.cmp(&b.spelled));
}

/// The names in a directory, unsorted; in an upper directory its whiteouts are told.
pub(super) fn list(dir: BorrowedFd<'_>, is_upper: bool) -> io::Result<Vec<Item>> {
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut items = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let path = Path::new(OsStr::from_bytes(name));
        let kind = match entry.file_type() {
            FileType::Unknown => inode::file_type(&inode::stat(dir, path)?),
            known => known,
        };
        let hides = is_upper && kind == FileType::CharacterDevice;
        items.push(if kind == FileType::Socket {
            Item::gone(name, Instead::Socket)
        } else if hides && inode::is_whiteout(&inode::stat(dir, path)?) {
            Item::gone(name, Instead::Whiteout)
        } else {
            Item::entry(name, kind)
        });
    }
    Ok(items)
}
