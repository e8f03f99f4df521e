//! A root file system, or an archive, that is not unpacked: what it holds, and the contents of its
//! files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use image_format::layer::tree::{Node, Place, Tree};
use image_format::layer::{Kind, LayerReader, Meta};
use image_format::layout::Store;
use image_format::snapshot::LayerSource;
use tempfile::NamedTempFile;

use crate::cache::layers;

use super::CopyError;
use super::resolve::Seen;
use super::source::{Content, SourceFile, SourceKind};

/// A root file system as a stack of layers, or the tree that is in an archive.
pub(super) struct Rootfs {
    tars: Tars,
    tree: Tree,
}

/// Where the contents are.
enum Tars {
    /// In layers of the store.
    Layers(Store, Vec<LayerSource>),
    /// In one tar, with what errors call it.
    Archive(NamedTempFile, String),
}

/// What is in a directory.
pub(super) struct Child {
    pub(super) name: Vec<u8>,
    pub(super) kind: SourceKind,
    pub(super) meta: Meta,
    /// Whether it is a directory that only what is in it speaks of.
    pub(super) implied: bool,
}

impl Rootfs {
    /// Reads what the layers hold, base first.
    ///
    /// # Errors
    /// When one is missing or not sound.
    pub(super) fn open(store: &Store, layers: &[LayerSource]) -> Result<Self, CopyError> {
        let indexes = layers.iter().map(|layer| layers::index(store, layer));
        Ok(Self {
            tars: Tars::Layers(store.clone(), layers.to_vec()),
            tree: Tree::new(indexes.collect::<Result<_, _>>()?)?,
        })
    }

    /// The tree that a plain tar makes; errors call the archive `name`.
    pub(super) fn of_archive(tar: NamedTempFile, tree: Tree, name: String) -> Self {
        let tars = Tars::Archive(tar, name);
        Self { tars, tree }
    }

    /// What is at a path without symbolic links on its way.
    fn node(&self, path: &[u8]) -> Option<Node> {
        // A path through too many links is none that anything could be found at.
        self.tree.lookup(Path::new(OsStr::from_bytes(path))).ok()?
    }

    /// What is at a path.
    pub(super) fn seen(&self, path: &[u8]) -> Option<Seen> {
        Some(match self.node(path)?.kind {
            Kind::Dir => Seen::Dir,
            Kind::Symlink(target) => Seen::Symlink(target),
            _ => Seen::Other,
        })
    }

    /// The metadata of what is at a path.
    pub(super) fn meta(&self, path: &[u8]) -> Option<Meta> {
        self.node(path).map(|node| node.meta)
    }

    /// What is at a path, to be copied.
    pub(super) fn entry(&self, path: &[u8]) -> Option<(SourceKind, Meta)> {
        self.node(path).map(to_copy)
    }

    /// The names in a directory, sorted, with what they stand for.
    pub(super) fn children(&self, path: &[u8]) -> Vec<Child> {
        let Some(dir) = self.node(path) else {
            return Vec::new();
        };
        let children = self.tree.children(&dir).map(|node| {
            let name = node.path.file_name().unwrap_or_default().to_owned();
            let implied = node.place.is_none();
            let (kind, meta) = to_copy(node);
            Child {
                name: name.into_vec(),
                kind,
                meta,
                implied,
            }
        });
        children.collect()
    }

    /// The regular file at a path.
    pub(super) fn file(&self, path: &[u8]) -> Option<Place> {
        let node = self.node(path)?;
        node.place
            .filter(|_| matches!(node.kind, Kind::File { .. }))
    }

    /// The tar of a layer, by its number; each time by a handle of its own.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn tar(&self, number: usize) -> Result<File, CopyError> {
        match &self.tars {
            Tars::Layers(store, layers) => {
                let layer = layers.get(number).ok_or(CopyError::Reader)?;
                Ok(layers::plain(store, layer)?)
            }
            Tars::Archive(tar, name) => tar.reopen().map_err(|source| CopyError::Layer {
                name: name.clone(),
                source,
            }),
        }
    }

    /// A reader of files' contents.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            rootfs: self,
            open: None,
        }
    }
}

fn to_copy(node: Node) -> (SourceKind, Meta) {
    let kind = match (node.kind, node.place) {
        (Kind::File { size }, Some(place)) => SourceKind::File(SourceFile {
            size,
            content: Content::Layer(place),
            inode: Some((0, u64::from(node.inode))),
        }),
        (Kind::Symlink(target), _) => SourceKind::Symlink(target),
        (Kind::Char(major, minor), _) => SourceKind::Char(major, minor),
        (Kind::Block(major, minor), _) => SourceKind::Block(major, minor),
        (Kind::Fifo, _) => SourceKind::Fifo,
        // A node is no hard link, and a file has its place.
        (Kind::Dir | Kind::Hardlink(_) | Kind::File { .. }, _) => SourceKind::Dir,
    };
    (kind, node.meta)
}

/// Reads contents; the layer of the last one stays open.
pub(super) struct Reader<'a> {
    rootfs: &'a Rootfs,
    open: Option<(usize, File)>,
}

impl Reader<'_> {
    /// Opens a file's content.
    ///
    /// # Errors
    /// When its layer cannot be read.
    pub(super) fn open(&mut self, place: Place) -> Result<StoredReader<'_>, CopyError> {
        let tars = &self.rootfs.tars;
        let failed = |source| CopyError::Layer {
            name: tars.name(place.layer),
            source,
        };
        let file = match self.open.take().filter(|(open, _)| *open == place.layer) {
            Some((_, file)) => file,
            None => self.rootfs.tar(place.layer)?,
        };
        let (layer, file) = self.open.insert((place.layer, file));
        let layer = *layer;
        file.seek(SeekFrom::Start(place.header_offset))
            .map_err(failed)?;
        let mut reader = LayerReader::new(&*file);
        reader.next_entry().map_err(|source| CopyError::Malformed {
            name: tars.name(layer),
            source,
        })?;
        Ok(StoredReader {
            reader,
            tars,
            layer,
        })
    }
}

impl Tars {
    /// What errors call one of them.
    fn name(&self, number: usize) -> String {
        match self {
            Self::Layers(_, layers) => layers.get(number).map_or_else(
                || format!("the layer {number}"),
                |layer| format!("the layer {}", layer.diff_id),
            ),
            Self::Archive(_, name) => name.clone(),
        }
    }
}

/// A file's content.
pub(super) struct StoredReader<'a> {
    reader: LayerReader<&'a File>,
    tars: &'a Tars,
    layer: usize,
}

impl StoredReader<'_> {
    /// Reads the next bytes, none at the end.
    ///
    /// # Errors
    /// When the layer cannot be read.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CopyError> {
        self.reader
            .read(buffer)
            .map_err(|source| self.failed(source))
    }

    /// Reads the rest, but no more than `most` bytes.
    ///
    /// # Errors
    /// When the layer cannot be read.
    pub(super) fn read_all(mut self, most: u64) -> Result<Vec<u8>, CopyError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(most).read_to_end(&mut bytes);
        read.map_err(|source| self.failed(source))?;
        Ok(bytes)
    }

    /// An error of the layer.
    pub(super) fn failed(&self, source: io::Error) -> CopyError {
        CopyError::Layer {
            name: self.tars.name(self.layer),
            source,
        }
    }
}
