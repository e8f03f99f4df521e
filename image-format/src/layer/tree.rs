//! A stack of layers as the one tree they make, without unpacking any.
//!
//! Entries act on it in the order of their tars, just as [`super::apply`] lets them act on a file
//! system: links on the way are resolved with the image as the root, whiteouts are for the layers
//! below alone, a hard link is one more name of its file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::apply::Refusal;
use super::entry::{Kind, MOST_SYMLINKS, Meta};
use super::index::{self, LayerIndex, Listed};

mod add;

/// The merged view of a stack of layers.
pub struct Tree {
    /// Base first.
    layers: Vec<LayerIndex>,
    /// The root is the first.
    inodes: Vec<Inode>,
}

/// A file in a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The way to it without links, relative to the root of the image; empty for the root itself.
    pub path: PathBuf,
    /// What it is; never a hard link: that is one more name of a node of the same `inode`.
    pub kind: Kind,
    /// Its metadata.
    pub meta: Meta,
    /// Where it is in the layers; `None` for a directory that is only implied.
    pub place: Option<Place>,
    /// The same for two names of one file, and for no others of the tree.
    pub inode: u32,
}

/// Where an entry is: a [`super::LayerReader`] on the layer's tar from there on gives it, and the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The layer's number, the base being 0.
    pub layer: usize,
    /// Where its headers start in the layer's tar, in bytes.
    pub header_offset: u64,
}

/// Why layers make no tree, or a path leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// An entry cannot be in an image.
    #[error("{} in layer {layer}: {reason}", path.display())]
    Refused {
        /// The layer's number, the base being 0.
        layer: usize,
        /// The entry.
        path: PathBuf,
        /// Why not.
        reason: Refusal,
    },
    /// Symbolic links in a circle, or nearly so.
    #[error("{}: the way to it goes through more than {MOST_SYMLINKS} symbolic links", .0.display())]
    Symlinks(PathBuf),
}

struct Inode {
    /// The layer and the position in its listing; `None` for implied directories.
    listed: Option<(u32, u32)>,
    /// `None` for all but directories.
    names: Option<BTreeMap<Box<[u8]>, Name>>,
}

#[derive(Clone, Copy)]
struct Name {
    inode: u32,
    /// The last layer that has it, or something in it.
    layer: u32,
}

const ROOT: u32 = 0;

/// The directories from the root to one: names and inodes.
#[derive(Clone, Default)]
struct Way(Vec<(Box<[u8]>, u32)>);

impl Way {
    /// Puts the names of a link's target before those ahead, of which the next is last.
    fn follow(&mut self, target: &[u8], ahead: &mut Vec<Box<[u8]>>) {
        if target.starts_with(b"/") {
            self.0.clear();
        }
        ahead.extend(reversed(target));
    }

    fn end(&self) -> u32 {
        self.0.last().map_or(ROOT, |(_, inode)| *inode)
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        let mut path = Vec::new();
        for (name, _) in &self.0 {
            path.extend_from_slice(name);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if name.is_empty() {
            path.pop();
        }
        OsString::from_vec(path).into()
    }
}

impl Tree {
    /// The tree of a stack of layers, base first.
    ///
    /// # Errors
    /// When an entry cannot be in an image: the layers could not be unpacked, either.
    pub fn new(layers: Vec<LayerIndex>) -> Result<Self, TreeError> {
        let mut tree = Self {
            layers,
            inodes: vec![Inode::dir(None)],
        };
        for layer in 0..tree.layers.len() {
            let mut position = index::START;
            while let Some((listed, next)) = tree.layers[layer].at(position) {
                let added = tree.add(layer as u32, position, &listed.entry);
                added.map_err(|reason| TreeError::Refused {
                    layer,
                    path: listed.entry.path,
                    reason,
                })?;
                position = next;
            }
        }
        Ok(tree)
    }

    /// What has this path; links on the way are followed, one at its end is not.
    ///
    /// # Errors
    /// [`TreeError::Symlinks`].
    pub fn lookup(&self, path: &Path) -> Result<Option<Node>, TreeError> {
        self.find(path, false)
    }

    /// What this path leads to, all links followed.
    ///
    /// # Errors
    /// [`TreeError::Symlinks`].
    pub fn resolve(&self, path: &Path) -> Result<Option<Node>, TreeError> {
        self.find(path, true)
    }

    /// What is in a directory, sorted by name, bytewise; nothing for other nodes.
    pub fn children(&self, dir: &Node) -> impl Iterator<Item = Node> {
        let names = self.inodes[dir.inode as usize].names.iter().flatten();
        let dir = dir.path.clone();
        names.map(move |(name, there)| {
            let path = dir.join(OsStr::from_bytes(name));
            self.node(there.inode, path)
        })
    }

    fn find(&self, path: &Path, follow: bool) -> Result<Option<Node>, TreeError> {
        let looping = || TreeError::Symlinks(path.to_owned());
        let mut way = Way::default();
        let mut ahead = reversed(path.as_os_str().as_bytes());
        let mut symlinks = 0;
        while let Some(name) = ahead.pop() {
            if *name == *b".." {
                way.0.pop();
                continue;
            }
            let Some(there) = self.child(way.end(), &name) else {
                return Ok(None);
            };
            let is_last = ahead.is_empty();
            if self.is_dir(there.inode) {
                way.0.push((name, there.inode));
            } else if let Some(target) = self.target(there.inode).filter(|_| follow || !is_last) {
                symlinks += 1;
                if symlinks > MOST_SYMLINKS {
                    return Err(looping());
                }
                way.follow(&target, &mut ahead);
            } else if is_last {
                return Ok(Some(self.node(there.inode, way.path(&name))));
            } else {
                return Ok(None);
            }
        }
        Ok(Some(self.node(way.end(), way.path(b""))))
    }

    fn node(&self, inode: u32, path: PathBuf) -> Node {
        let listed = self.listed(inode);
        let place = listed.as_ref().map(|(layer, listed)| Place {
            layer: *layer,
            header_offset: listed.header_offset,
        });
        let (kind, meta) = match listed {
            Some((_, listed)) if inode == ROOT => (Kind::Dir, Meta::root(listed.entry.meta.mtime)),
            Some((_, listed)) => (listed.entry.kind, listed.entry.meta),
            None => (Kind::Dir, Meta::implied_dir()),
        };
        Node {
            path,
            kind,
            meta,
            place,
            inode,
        }
    }

    fn listed(&self, inode: u32) -> Option<(usize, Listed)> {
        let (layer, position) = self.inodes[inode as usize].listed?;
        let layer = layer as usize;
        Some((layer, self.layers[layer].at(position)?.0))
    }

    fn child(&self, dir: u32, name: &[u8]) -> Option<Name> {
        let names = self.inodes[dir as usize].names.as_ref()?;
        names.get(name).copied()
    }

    fn is_dir(&self, inode: u32) -> bool {
        self.inodes[inode as usize].names.is_some()
    }

    fn target(&self, inode: u32) -> Option<Vec<u8>> {
        match self.listed(inode)?.1.entry.kind {
            Kind::Symlink(target) => Some(target),
            _ => None,
        }
    }
}

/// The names of a path, the last one first, `..` among them.
fn reversed(path: &[u8]) -> Vec<Box<[u8]>> {
    let names = path.rsplit(|byte| *byte == b'/');
    let names = names.filter(|name| !matches!(*name, b"" | b"."));
    names.map(Box::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::LayerWriter;
    use crate::layer::entry::{Entry, Timestamp};

    fn layer(entries: &[(&str, Kind)]) -> LayerIndex {
        let mut writer = LayerWriter::new(Vec::new(), Timestamp::DEFAULT_EPOCH);
        for (path, kind) in entries {
            let entry = Entry {
                path: path.into(),
                kind: kind.clone(),
                meta: Meta::default(),
            };
            writer.append(&entry, std::io::empty()).unwrap();
        }
        LayerIndex::read(writer.finish().unwrap().as_slice()).unwrap()
    }

    fn symlink(target: &str) -> Kind {
        Kind::Symlink(target.as_bytes().to_vec())
    }

    fn tree() -> Tree {
        let file = || Kind::File { size: 0 };
        let base = layer(&[
            ("a", symlink("/../usr/./lib/")),
            ("loop", symlink("loop/x")),
            ("usr", Kind::Dir),
            ("usr/lib", Kind::Dir),
            ("usr/lib/f", file()),
            ("usr/lib/out", symlink("../../../..")),
            ("usr/lib/to", symlink("f")),
        ]);
        let upper = layer(&[("g", Kind::Hardlink("a/f".into())), ("new/h", file())]);
        Tree::new(vec![base, upper]).unwrap()
    }

    #[test]
    fn follows_links_inside_the_image() {
        let tree = tree();
        let path = |found: Result<Option<Node>, TreeError>| found.unwrap().map(|node| node.path);
        let resolve = |text: &str| path(tree.resolve(Path::new(text)));
        let lookup = |text: &str| path(tree.lookup(Path::new(text)));
        assert_eq!(resolve("/a/to"), Some("usr/lib/f".into()));
        assert_eq!(lookup("a/to"), Some("usr/lib/to".into()));
        assert_eq!(lookup("a"), Some("a".into()));
        assert_eq!(resolve("a"), Some("usr/lib".into()));
        assert_eq!(resolve("a/out/../a/f"), Some("usr/lib/f".into()));
        for root in ["", "/", ".", "..", "a/out"] {
            assert_eq!(resolve(root), Some("".into()), "{root}");
        }
        for nothing in ["x", "a/x", "a/f/x", "g/.."] {
            assert_eq!(resolve(nothing), None, "{nothing}");
        }
        assert!(tree.resolve(Path::new("loop")).is_err());
        assert_eq!(lookup("loop"), Some("loop".into()));
    }

    #[test]
    fn a_hard_link_leads_to_the_layer_with_the_content() {
        let tree = tree();
        let g = tree.lookup(Path::new("g")).unwrap().unwrap();
        let f = tree.lookup(Path::new("usr/lib/f")).unwrap().unwrap();
        assert_eq!((g.inode, &g.kind, g.place), (f.inode, &f.kind, f.place));
        assert_eq!(g.place.map(|place| place.layer), Some(0));
        let new = tree.lookup(Path::new("new")).unwrap().unwrap();
        assert_eq!((new.place, new.meta), (None, Meta::implied_dir()));
    }

    #[test]
    fn children_are_sorted() {
        let tree = tree();
        let root = tree.lookup(Path::new("")).unwrap().unwrap();
        let names = tree.children(&root).map(|node| node.path);
        let expected = ["a", "g", "loop", "new", "usr"].map(PathBuf::from);
        assert_eq!(names.collect::<Vec<_>>(), expected);
        let g = tree.lookup(Path::new("g")).unwrap().unwrap();
        assert_eq!(tree.children(&g).count(), 0);
    }
}
