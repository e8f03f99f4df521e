//! Which entries of an archive stand at its end, and where each starts.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::ImportError;
use crate::layer::{Entry, Kind};

/// The most symbolic links that are followed for one path, as the kernel has it.
const MOST_LINKS: u32 = 40;

/// A path's bytes with NUL for `/`, which sorts as a layer's entries are sorted.
type Key = Vec<u8>;

/// What stands at each path after all entries so far.
#[derive(Default)]
pub(super) struct Index(BTreeMap<Key, Node>);

struct Node {
    /// Where the entry starts that made it: hard links have the one of their target.
    offset: u64,
    kind: NodeKind,
}

enum NodeKind {
    Dir,
    Symlink(Vec<u8>),
    Other,
}

/// An entry of the layer, in its order.
pub(super) struct Place {
    /// Its path in the image.
    pub(super) path: PathBuf,
    /// Where in the archive its headers start.
    pub(super) offset: u64,
    /// The path that has the content, where it is another name of an earlier one.
    pub(super) link_to: Option<PathBuf>,
}

impl Index {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next entry, as if it were unpacked.
    pub(super) fn add(&mut self, entry: Entry, offset: u64) -> Result<(), ImportError> {
        let path = self.through_links(&entry.path)?;
        let node = match entry.kind {
            Kind::Hardlink(target) => {
                let found = self.0.get(&key(&self.through_links(&target)?));
                match found {
                    Some(Node { kind, offset }) if !matches!(kind, NodeKind::Dir) => Node {
                        offset: *offset,
                        kind: match kind {
                            NodeKind::Symlink(text) => NodeKind::Symlink(text.clone()),
                            _ => NodeKind::Other,
                        },
                    },
                    _ => {
                        return Err(ImportError::LinkTarget {
                            name: shown(&entry.path),
                            target: shown(&target),
                        });
                    }
                }
            }
            Kind::Dir => Node {
                offset,
                kind: NodeKind::Dir,
            },
            Kind::Symlink(text) => Node {
                offset,
                kind: NodeKind::Symlink(text),
            },
            _ => Node {
                offset,
                kind: NodeKind::Other,
            },
        };
        let key = key(&path);
        if !matches!(node.kind, NodeKind::Dir) {
            if key.is_empty() {
                return Err(ImportError::NotADirectory {
                    name: "/".to_owned(),
                    parent: "/".to_owned(),
                });
            }
            self.remove_below(&key);
        }
        self.0.insert(key, node);
        Ok(())
    }

    /// What was in a directory goes when something else takes its place.
    fn remove_below(&mut self, key: &Key) {
        let (first, end) = ([key, &[0][..]].concat(), [key, &[1][..]].concat());
        let below: Vec<Key> = self.0.range(first..end).map(|(k, _)| k.clone()).collect();
        for key in below {
            self.0.remove(&key);
        }
    }

    /// The path with the symbolic links above it followed, inside the image.
    fn through_links(&self, path: &Path) -> Result<PathBuf, ImportError> {
        let Some(name) = path.file_name() else {
            return Ok(PathBuf::new());
        };
        // What is still to be walked, last component first.
        let mut ahead: Vec<OsString> = Vec::new();
        let push = |ahead: &mut Vec<OsString>, path: &Path| {
            let parts = path.components().rev();
            ahead.extend(parts.map(|part| part.as_os_str().to_owned()));
        };
        push(&mut ahead, path.parent().unwrap_or(Path::new("")));
        let (mut at, mut links) = (PathBuf::new(), 0);
        while let Some(part) = ahead.pop() {
            match Path::new(&part).components().next() {
                Some(Component::RootDir) => at = PathBuf::new(),
                // Above the root is the root.
                Some(Component::ParentDir) => drop(at.pop()),
                Some(Component::Normal(part)) => at.push(part),
                _ => {}
            }
            match self.0.get(&key(&at)).map(|node| &node.kind) {
                Some(NodeKind::Symlink(target)) => {
                    links += 1;
                    if links > MOST_LINKS {
                        let name = shown(path);
                        return Err(ImportError::Links { name });
                    }
                    at.pop();
                    push(&mut ahead, Path::new(std::ffi::OsStr::from_bytes(target)));
                }
                Some(NodeKind::Other) => {
                    return Err(ImportError::NotADirectory {
                        name: shown(path),
                        parent: shown(&at),
                    });
                }
                Some(NodeKind::Dir) | None => {}
            }
        }
        at.push(name);
        Ok(at)
    }

    /// The entries in a layer's order: of several names of one file the first has the content.
    pub(super) fn places(self) -> impl Iterator<Item = Place> {
        let mut first_names: HashMap<u64, PathBuf> = HashMap::new();
        self.0.into_iter().map(move |(key, Node { offset, .. })| {
            let path = path(key);
            let link_to = first_names.get(&offset).cloned();
            if link_to.is_none() {
                first_names.insert(offset, path.clone());
            }
            Place {
                path,
                offset,
                link_to,
            }
        })
    }
}

fn key(path: &Path) -> Key {
    let separator = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    path.as_os_str().as_bytes().iter().map(separator).collect()
}

fn path(key: Key) -> PathBuf {
    let separator = |byte| if byte == 0 { b'/' } else { byte };
    OsString::from_vec(key.into_iter().map(separator).collect()).into()
}

fn shown(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes());
    text.escape_debug().to_string()
}
