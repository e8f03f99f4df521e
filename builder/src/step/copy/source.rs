//! What a copy copies: entries of the context or of a root file system, in one form.

use image_format::digest::Digest;
use image_format::layer::tree::Place;
use image_format::layer::{Meta, Timestamp};

use crate::cache::files::FileId;
use crate::cache::key::FilePart;
use crate::context::{Found, FoundKind, Match};

/// One thing that a source names, and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its path as the instruction names it, wildcards filled in.
    pub(super) name: Vec<u8>,
    /// Its path where it lies, symbolic links followed.
    pub(super) at: Vec<u8>,
    /// Itself, and what is in it, sorted as in a layer.
    pub(super) entries: Vec<SourceEntry>,
    /// The number of its origin.
    pub(super) origin: usize,
    /// What a key says of it, where that is not each of its entries.
    pub(super) known: Option<FilePart>,
    /// What becomes of an archive.
    pub(super) unpacking: Unpacking,
    /// Where it goes.
    pub(super) role: Role,
}

/// Whether a source is taken for an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unpacking {
    /// It is copied, whatever it holds.
    #[default]
    No,
    /// It is to be unpacked if it is one.
    Wanted,
    /// It is one, and the entries are what is in it.
    Done,
}

/// Where a source goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To the destination.
    Asked,
    /// To the path it has: a link to what a program needs.
    Link,
    /// To the path it has: what a program needs.
    Needed {
        /// The path by which it is looked for.
        asked: Vec<u8>,
        /// The program that finds it by where the program itself lies, if one does.
        beside: Option<Vec<u8>>,
    },
}

/// An entry to be copied.
#[derive(Clone, Debug)]
pub(super) struct SourceEntry {
    /// Its path below the source; empty for the source itself.
    pub(super) below: Vec<u8>,
    /// What it is.
    pub(super) kind: SourceKind,
    /// Its metadata.
    pub(super) meta: Meta,
    /// Whether it is a directory that is there only for what is in it.
    pub(super) implied: bool,
}

/// What an entry is.
#[derive(Clone, Debug)]
pub(super) enum SourceKind {
    /// A directory.
    Dir,
    /// A regular file.
    File(SourceFile),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// A regular file to be copied.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Where its content is.
    pub(super) content: Content,
    /// For a file with several names: two that have the same are one.
    pub(super) inode: Option<(u64, u64)>,
}

/// Where the content of a file is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In the context, in this state.
    Context(FileId),
    /// In a layer, or an archive.
    Layer(Place),
    /// Here: a heredoc's text.
    Text(Vec<u8>),
}

impl Source {
    /// What was found in the context. Owners and times of the machine mean nothing in an image:
    /// all is root's and as old as the epoch. Nor do its extended attributes.
    pub(super) fn of_context(found: Match, origin: usize, epoch: Timestamp) -> Self {
        Self {
            origin,
            known: None,
            unpacking: Unpacking::No,
            name: found.name,
            at: found.at,
            entries: found
                .entries
                .into_iter()
                .map(|entry| SourceEntry::of_context(entry, epoch))
                .collect(),
            role: Role::Asked,
        }
    }

    /// A file that stands in the Dockerfile.
    pub(super) fn of_text(name: &str, text: &str, epoch: Timestamp) -> Self {
        let content = Digest::of(text.as_bytes());
        let file = SourceFile {
            size: text.len() as u64,
            content: Content::Text(text.as_bytes().to_vec()),
            inode: None,
        };
        let entry = SourceEntry {
            below: Vec::new(),
            kind: SourceKind::File(file),
            meta: Meta {
                mode: 0o644,
                mtime: epoch,
                ..Meta::default()
            },
            implied: false,
        };
        Self {
            name: name.as_bytes().to_vec(),
            at: Vec::new(),
            entries: vec![entry],
            origin: 0,
            known: Some(FilePart {
                path: format!("<<{name}"),
                content: format!("file {content}"),
            }),
            unpacking: Unpacking::No,
            role: Role::Asked,
        }
    }

    /// The path of one of its entries, where it lies.
    pub(super) fn path_of(&self, entry: &SourceEntry) -> Vec<u8> {
        join(&self.at, &entry.below)
    }
}

impl SourceEntry {
    /// What was found in the context, as it is in an image.
    pub(super) fn of_context(found: Found, epoch: Timestamp) -> Self {
        let kind = match found.kind {
            FoundKind::Dir => SourceKind::Dir,
            FoundKind::File { id, linked } => SourceKind::File(SourceFile {
                size: id.size,
                content: Content::Context(id),
                inode: linked.then_some((id.dev, id.ino)),
            }),
            FoundKind::Symlink(target) => SourceKind::Symlink(target),
            FoundKind::Char(major, minor) => SourceKind::Char(major, minor),
            FoundKind::Block(major, minor) => SourceKind::Block(major, minor),
            FoundKind::Fifo => SourceKind::Fifo,
        };
        Self {
            below: found.below,
            kind,
            meta: Meta {
                mode: found.mode,
                mtime: epoch,
                ..Meta::default()
            },
            implied: false,
        }
    }
}

/// A path and what is below it, either possibly empty.
pub(super) fn join(path: &[u8], below: &[u8]) -> Vec<u8> {
    match (path, below) {
        ([], below) => below.to_vec(),
        (path, []) => path.to_vec(),
        (path, below) => [path, b"/", below].concat(),
    }
}
