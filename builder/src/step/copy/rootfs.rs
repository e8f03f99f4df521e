//! A root file system that is not unpacked: what its layers hold, and the contents of its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use image_format::digest::Digest;
use image_format::layer::whiteout::{self, Spelling};
use image_format::layer::{Kind, LayerReader, Meta};
use image_format::layout::{Store, VerifiedReader};
use image_format::snapshot::LayerSource;

use super::CopyError;
use super::resolve::Seen;
use super::source::{Content, SourceFile, SourceKind};

/// A root file system as a stack of layers.
pub(super) struct Rootfs {
    store: Store,
    layers: Vec<LayerSource>,
    nodes: BTreeMap<Vec<u8>, Node>,
}

struct Node {
    kind: NodeKind,
    meta: Meta,
}

enum NodeKind {
    File(Stored),
    Other(Kind),
}

/// A file's content in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    layer: usize,
    offset: u64,
    size: u64,
}

impl Rootfs {
    /// Reads what the layers hold, base first.
    pub(super) fn open(store: &Store, layers: &[LayerSource]) -> Result<Self, CopyError> {
        let mut rootfs = Self {
            store: store.clone(),
            layers: layers.to_vec(),
            nodes: BTreeMap::new(),
        };
        for number in 0..layers.len() {
            rootfs.add(number)?;
        }
        Ok(rootfs)
    }

    fn add(&mut self, number: usize) -> Result<(), CopyError> {
        let layer = self.layers[number].diff_id;
        let malformed = |source| CopyError::Malformed { layer, source };
        let mut reader = LayerReader::new(io::BufReader::new(self.plain(number)?));
        let mut fresh: Vec<(Vec<u8>, Node)> = Vec::new();
        while let Some(entry) = reader.next_entry().map_err(malformed)? {
            let path = key(entry.path.as_os_str().as_bytes());
            let name = path.rsplit(|b| *b == 0).next().unwrap_or_default();
            let dir = &path[..path.len() - name.len()];
            match whiteout::classify(name) {
                Spelling::Whiteout(hidden) => {
                    let hidden = [dir, hidden].concat();
                    self.remove_below(&hidden);
                    self.nodes.remove(&hidden);
                    continue;
                }
                Spelling::Opaque => {
                    self.remove_below(dir.strip_suffix(&[0]).unwrap_or(dir));
                    continue;
                }
                Spelling::Plain | Spelling::Malformed => {}
            }
            let kind = match entry.kind {
                Kind::File { size } => NodeKind::File(Stored {
                    layer: number,
                    offset: reader.data_offset(),
                    size,
                }),
                kind => NodeKind::Other(kind),
            };
            let meta = entry.meta;
            fresh.push((path, Node { kind, meta }));
        }
        for (path, mut node) in fresh {
            if let NodeKind::Other(Kind::Hardlink(target)) = &node.kind {
                let target = self.nodes.get(&key(target.as_os_str().as_bytes()));
                let Some((NodeKind::File(stored), meta)) = target.map(|t| (&t.kind, &t.meta))
                else {
                    continue;
                };
                (node.kind, node.meta) = (NodeKind::File(*stored), meta.clone());
            }
            if !matches!(node.kind, NodeKind::Other(Kind::Dir)) {
                self.remove_below(&path);
            }
            self.nodes.insert(path, node);
        }
        Ok(())
    }

    fn remove_below(&mut self, key: &[u8]) {
        let gone: Vec<_> = self.below(key).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }

    fn below(&self, key: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        let prefix = match key {
            [] => Vec::new(),
            key => [key, &[0]].concat(),
        };
        self.nodes
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
    }

    fn plain(&self, number: usize) -> Result<File, CopyError> {
        let LayerSource { blob, diff_id } = &self.layers[number];
        if self.store.blob_size(diff_id)?.is_some() {
            return Ok(self.store.open_blob(diff_id)?);
        }
        let failed = |source| CopyError::Layer {
            layer: *diff_id,
            source,
        };
        let packed =
            VerifiedReader::new(self.store.open_blob(&blob.digest)?, blob.digest, blob.size);
        let mut tar = image_format::layer::compression::decompress(packed).map_err(failed)?;
        let mut writer = self.store.blob_writer()?;
        io::copy(&mut tar, &mut writer).map_err(failed)?;
        writer.finish_as(*diff_id)?;
        Ok(self.store.open_blob(diff_id)?)
    }

    fn node(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(&key(path))
    }

    /// What is at a path.
    pub(super) fn seen(&self, path: &[u8]) -> Option<Seen> {
        if path.is_empty() {
            return Some(Seen::Dir);
        }
        Some(match &self.node(path)?.kind {
            NodeKind::Other(Kind::Dir) => Seen::Dir,
            NodeKind::Other(Kind::Symlink(target)) => Seen::Symlink(target.clone()),
            _ => Seen::Other,
        })
    }

    /// The metadata of what is at a path.
    pub(super) fn meta(&self, path: &[u8]) -> Option<Meta> {
        self.node(path).map(|node| node.meta.clone())
    }

    /// What is at a path, to be copied.
    pub(super) fn entry(&self, path: &[u8]) -> Option<(SourceKind, Meta)> {
        let node = self.node(path)?;
        let kind = match &node.kind {
            NodeKind::File(stored) => SourceKind::File(SourceFile {
                size: stored.size,
                content: Content::Layer(*stored),
                inode: Some((stored.layer as u64, stored.offset)),
            }),
            NodeKind::Other(kind) => match kind {
                Kind::Symlink(target) => SourceKind::Symlink(target.clone()),
                Kind::Char(major, minor) => SourceKind::Char(*major, *minor),
                Kind::Block(major, minor) => SourceKind::Block(*major, *minor),
                Kind::Fifo => SourceKind::Fifo,
                _ => SourceKind::Dir,
            },
        };
        Some((kind, node.meta.clone()))
    }

    /// The names in a directory, sorted.
    pub(super) fn names(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let path = key(path);
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        self.below(&path)
            .map(|(path, _)| path[skip..].to_vec())
            .filter(|name| !name.contains(&0) && !name.is_empty())
            .collect()
    }

    /// The regular file at a path.
    pub(super) fn file(&self, path: &[u8]) -> Option<Stored> {
        match self.node(path)?.kind {
            NodeKind::File(stored) => Some(stored),
            NodeKind::Other(_) => None,
        }
    }

    /// A reader of files' contents.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            rootfs: self,
            open: None,
        }
    }

    /// The layer that holds a file's content.
    pub(super) fn layer_of(&self, stored: &Stored) -> Digest {
        self.layers[stored.layer].diff_id
    }
}

/// Reads contents; the layer of the last one stays open.
pub(super) struct Reader<'a> {
    rootfs: &'a Rootfs,
    open: Option<(usize, File)>,
}

impl Reader<'_> {
    /// Opens a file's content.
    pub(super) fn open(&mut self, stored: &Stored) -> Result<StoredReader<'_>, CopyError> {
        if self
            .open
            .as_ref()
            .is_none_or(|(layer, _)| *layer != stored.layer)
        {
            self.open = Some((stored.layer, self.rootfs.plain(stored.layer)?));
        }
        let (_, file) = self.open.as_ref().ok_or(CopyError::Reader)?;
        Ok(StoredReader {
            file,
            offset: stored.offset,
            left: stored.size,
        })
    }
}

/// A file's content.
pub(super) struct StoredReader<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for StoredReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|b| if *b == b'/' { 0 } else { *b })
        .collect()
}
