//! One entry of a layer onto a tree.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Inode, Name, ROOT, Tree, Way, reversed};
use crate::layer::apply::Refusal;
use crate::layer::entry::{DEEPEST, Entry, Kind, MOST_SYMLINKS, split};
use crate::layer::whiteout::{self, Spelling};

impl Inode {
    pub(super) fn dir(listed: Option<(u32, u32)>) -> Self {
        Self {
            listed,
            names: Some(BTreeMap::new()),
        }
    }
}

impl Tree {
    /// Lets an entry, whose position in its layer's listing is given, act on the tree.
    pub(super) fn add(&mut self, layer: u32, position: u32, entry: &Entry) -> Result<(), Refusal> {
        let path = entry.path.as_os_str().as_bytes();
        let (parent, name) = split(path);
        let listed = Some((layer, position));
        match (whiteout::classify(name), &entry.kind) {
            (Spelling::Whiteout(hidden), _) => {
                if let Some(way) = self.enter(parent, None)? {
                    self.hide(way.end(), hidden, layer);
                }
            }
            (Spelling::Opaque, _) => {
                if let Some(way) = self.enter(parent, None)? {
                    self.hide_all(way.end(), layer);
                }
            }
            (Spelling::Malformed, _) => return Err(Refusal::Whiteout),
            (Spelling::Plain, Kind::Char(0, 0)) => return Err(Refusal::Device),
            (Spelling::Plain, Kind::Dir) if name.is_empty() => {
                self.inodes[ROOT as usize].listed = listed;
            }
            (Spelling::Plain, _) if name.is_empty() => return Err(Refusal::Root),
            (Spelling::Plain, Kind::Hardlink(target)) => {
                let inode = self.link_target(target)?;
                self.put(parent, name, inode, layer)?;
            }
            (Spelling::Plain, Kind::Dir) => {
                let way = self.enter(parent, Some(layer))?;
                if way.as_ref().is_some_and(|way| way.0.len() == DEEPEST) {
                    return Err(Refusal::Depth);
                }
                let there = way.and_then(|way| self.child(way.end(), name));
                let inode = match there {
                    Some(there) if self.is_dir(there.inode) => {
                        self.inodes[there.inode as usize].listed = listed;
                        there.inode
                    }
                    _ => self.new_inode(Inode::dir(listed)),
                };
                self.put(parent, name, inode, layer)?;
            }
            (Spelling::Plain, _) => {
                let names = None;
                let inode = self.new_inode(Inode { listed, names });
                self.put(parent, name, inode, layer)?;
            }
        }
        Ok(())
    }

    /// The way to a directory, links followed. What of it is missing is made for the layer `make`;
    /// without that, there is no way then.
    fn enter(&mut self, path: &[u8], make: Option<u32>) -> Result<Option<Way>, Refusal> {
        let mut way = Way::default();
        let mut ahead = reversed(path);
        let mut symlinks = 0;
        while let Some(name) = ahead.pop() {
            if *name == *b".." {
                way.0.pop();
                continue;
            }
            let inode = match (self.child(way.end(), &name), make) {
                (Some(there), _) if self.is_dir(there.inode) => there.inode,
                (Some(there), _) => match (self.target(there.inode), make) {
                    (Some(target), _) => {
                        symlinks += 1;
                        if symlinks > MOST_SYMLINKS {
                            return Err(Refusal::Symlinks);
                        }
                        way.follow(&target, &mut ahead);
                        continue;
                    }
                    (None, Some(_)) => return Err(Refusal::NotInDir),
                    (None, None) => return Ok(None),
                },
                (None, Some(layer)) => {
                    let inode = self.new_inode(Inode::dir(None));
                    self.set(way.end(), &name, Name { inode, layer });
                    inode
                }
                (None, None) => return Ok(None),
            };
            if way.0.len() == DEEPEST {
                return Err(Refusal::Depth);
            }
            way.0.push((name, inode));
        }
        Ok(Some(way))
    }

    /// Gives an inode a name; what had it before is gone.
    fn put(&mut self, parent: &[u8], name: &[u8], inode: u32, layer: u32) -> Result<(), Refusal> {
        let Some(way) = self.enter(parent, Some(layer))? else {
            return Ok(());
        };
        self.set(way.end(), name, Name { inode, layer });
        let mut dir = ROOT;
        for (name, inode) in way.0 {
            self.set(dir, &name, Name { inode, layer });
            dir = inode;
        }
        Ok(())
    }

    fn link_target(&mut self, target: &Path) -> Result<u32, Refusal> {
        let (parent, name) = split(target.as_os_str().as_bytes());
        if name.is_empty() {
            return Err(Refusal::LinkToDir);
        }
        let way = self.enter(parent, None)?.ok_or(Refusal::LinkTarget)?;
        let there = self.child(way.end(), name).ok_or(Refusal::LinkTarget)?;
        if self.is_dir(there.inode) {
            return Err(Refusal::LinkToDir);
        }
        Ok(there.inode)
    }

    /// What the layers below have at a name is gone.
    fn hide(&mut self, dir: u32, name: &[u8], layer: u32) {
        let Some(there) = self.child(dir, name) else {
            return;
        };
        if there.layer == layer {
            self.hide_all(there.inode, layer);
        } else if let Some(names) = &mut self.inodes[dir as usize].names {
            names.remove(name);
        }
    }

    /// All that the layers below have in a directory is gone.
    fn hide_all(&mut self, dir: u32, layer: u32) {
        let mut dirs = vec![dir];
        while let Some(dir) = dirs.pop() {
            if let Some(names) = &mut self.inodes[dir as usize].names {
                names.retain(|_, there| there.layer == layer);
                dirs.extend(names.values().map(|there| there.inode));
            }
        }
    }

    fn new_inode(&mut self, inode: Inode) -> u32 {
        // Listings are too small for more.
        let number = self.inodes.len() as u32;
        self.inodes.push(inode);
        number
    }

    fn set(&mut self, dir: u32, name: &[u8], there: Name) {
        let Some(names) = &mut self.inodes[dir as usize].names else {
            return;
        };
        match names.get_mut(name) {
            Some(old) => *old = there,
            None => {
                names.insert(name.into(), there);
            }
        }
    }
}
