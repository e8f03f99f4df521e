//! An image's root file system as files: one tar, or a directory. Nothing is unpacked for it: what the
//! layers make together comes from their listings, and contents from where they lie.

mod contents;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use image_format::layer::apply::{ApplyError, Target, apply};
use image_format::layer::tree::{Node, Tree, TreeError};
use image_format::layer::{Entry, Kind, LayerWriter, Meta, ReadError, Timestamp, WriteError};
use image_format::layout::Store;
use image_format::snapshot::LayerSource;

use crate::cache::layers;
use crate::cache::layers::LayerError;
use crate::cancel::Cancel;

use contents::Contents;

/// Later than any file: what an image holds keeps its times.
const NO_EPOCH: Timestamp = Timestamp::from_secs(i64::MAX);

/// Why a root file system cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The layers make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A layer is malformed.
    #[error("cannot read {} in its layer", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// A layer cannot be read at a file.
    #[error("cannot read {} in its layer", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tar cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The directory cannot be written.
    #[error("cannot write to {}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What in it, and why not.
        source: ApplyError,
    },
    /// There is no way from the layers to the directory.
    #[error("cannot make a pipe")]
    Pipe(#[source] io::Error),
    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// A root file system that can be exported.
pub struct Export {
    store: Store,
    layers: Vec<LayerSource>,
    tree: Tree,
}

impl Export {
    /// What these layers make, base first.
    ///
    /// # Errors
    /// When a layer is missing or not sound.
    pub fn open(store: &Store, layers: &[LayerSource]) -> Result<Self, ExportError> {
        let indexes = layers.iter().map(|layer| layers::index(store, layer));
        let tree = Tree::new(indexes.collect::<Result<_, _>>()?)?;
        Ok(Self {
            store: store.clone(),
            layers: layers.to_vec(),
            tree,
        })
    }

    /// Writes all files as one tar, sorted, the same bytes each time. The root itself is not in it.
    ///
    /// # Errors
    /// When a layer cannot be read or `out` fails; what was written then is no archive.
    pub fn tar<W: Write>(&self, out: W, cancel: &Cancel) -> Result<W, ExportError> {
        self.write(out, None, cancel)
    }

    /// Writes all files into the directory `dir`, which is there, as this process's own: what has one of
    /// their names goes, except that a directory is filled; all else stays. Nothing is reached through a
    /// symbolic link in it. Devices are left out where the kernel lets this process make none.
    ///
    /// # Errors
    /// When a layer cannot be read, or the file system fails. What was written then stays.
    pub fn directory(&self, dir: &Path, cancel: &Cancel) -> Result<(), ExportError> {
        let owner = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let (reader, writer) = io::pipe().map_err(ExportError::Pipe)?;
        std::thread::scope(|scope| {
            let written = scope.spawn(move || self.write(writer, Some(owner), cancel).map(drop));
            let applied = apply(reader, dir, Target::InPlace);
            // A panic there is nothing that this could say more of.
            let written = written.join().unwrap_or(Err(ExportError::Cancelled));
            match (written, applied) {
                // Whoever reads no more makes the other fail, and knows why.
                (Err(ExportError::Write(WriteError::Write(_))) | Ok(()), Err(source)) => {
                    let dir = dir.to_owned();
                    Err(ExportError::Directory { dir, source })
                }
                (written, _) => written,
            }
        })
    }

    /// The content of the file that a path leads to, links followed, but no more than `most` bytes of it;
    /// `None` where there is no file.
    ///
    /// # Errors
    /// When its layer cannot be read, or the path leads through too many links.
    pub fn file(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, ExportError> {
        let Some(node) = self.tree.resolve(path)? else {
            return Ok(None);
        };
        let (Kind::File { .. }, Some(place)) = (&node.kind, node.place) else {
            return Ok(None);
        };
        let mut contents = Contents::new(&self.store, &self.layers);
        let mut bytes = Vec::new();
        let mut reader = contents.open(place, &node.path)?.take(most);
        let read = reader.read_to_end(&mut bytes);
        read.map_err(|source| ExportError::Read {
            path: node.path,
            source,
        })?;
        Ok(Some(bytes))
    }

    fn write<W: Write>(
        &self,
        out: W,
        owner: Option<(u32, u32)>,
        cancel: &Cancel,
    ) -> Result<W, ExportError> {
        let mut tar = LayerWriter::new(out, NO_EPOCH);
        let mut contents = Contents::new(&self.store, &self.layers);
        // The names of files that may have further ones.
        let mut firsts: HashMap<u32, PathBuf> = HashMap::new();
        let root = self.tree.lookup(Path::new(""))?;
        let mut open: Vec<Node> = root
            .into_iter()
            .flat_map(|root| self.below(&root))
            .collect();
        while let Some(node) = open.pop() {
            if cancel.is_cancelled() {
                return Err(ExportError::Cancelled);
            }
            open.extend(self.below(&node));
            let kind = match &node.kind {
                Kind::Dir => Kind::Dir,
                kind => match firsts.get(&node.inode) {
                    Some(first) => Kind::Hardlink(first.clone()),
                    None => {
                        firsts.insert(node.inode, node.path.clone());
                        kind.clone()
                    }
                },
            };
            let entry = Entry {
                path: node.path,
                kind,
                meta: match owner {
                    Some((uid, gid)) => Meta {
                        uid,
                        gid,
                        ..node.meta
                    },
                    None => node.meta,
                },
            };
            match (&entry.kind, node.place) {
                (Kind::File { size: 1.. }, Some(place)) => {
                    let content = contents.open(place, &entry.path)?;
                    tar.append(&entry, content)?;
                }
                _ => tar.append(&entry, io::empty())?,
            }
        }
        Ok(tar.finish()?)
    }

    /// What is in a directory, the last name first.
    fn below(&self, node: &Node) -> Vec<Node> {
        let mut below: Vec<Node> = match node.kind {
            Kind::Dir => self.tree.children(node).collect(),
            _ => Vec::new(),
        };
        below.reverse();
        below
    }
}

#[cfg(test)]
mod tests;
