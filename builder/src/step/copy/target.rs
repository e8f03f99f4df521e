//! The tree that a copy makes on top of a root file system: docker's rules of where what goes.
//!
//! A file goes to the destination, or into it where it is a directory or written as one. Of a
//! directory the contents go, to the destination. Symbolic links of the destination's path are
//! followed, links below it are replaced. Directories and other things never replace each other.

use std::collections::BTreeMap;

use image_format::layer::{Meta, Timestamp};

use crate::dockerfile::Span;

use super::CopyError;
use super::resolve::{Seen, file_name, parent, resolve};
use super::rootfs::Rootfs;
use super::source::{Source, SourceEntry, SourceKind, join};

/// What the instruction says of all that it copies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overrides {
    /// The owner and the group, by `--chown`.
    pub(super) owner: Option<(u32, u32)>,
    /// The permissions, by `--chmod`.
    pub(super) mode: Option<u32>,
    /// Whether a directory whose contents are copied brings its own permissions too.
    pub(super) keep_top: bool,
    /// The time of what is made anew.
    pub(super) epoch: Timestamp,
}

impl Overrides {
    /// Nothing but the time.
    pub(super) fn plain(epoch: Timestamp) -> Self {
        Self {
            owner: None,
            mode: None,
            keep_top: false,
            epoch,
        }
    }

    /// The metadata of an entry as it is to be.
    pub(super) fn meta(&self, entry: &SourceEntry) -> Meta {
        let mut meta = entry.meta.clone();
        if let Some((uid, gid)) = self.owner {
            (meta.uid, meta.gid) = (uid, gid);
        }
        match (&entry.kind, self.mode) {
            (SourceKind::Symlink(_), _) => meta.mode = 0o777,
            (_, Some(mode)) => meta.mode = mode,
            _ => {}
        }
        meta
    }
}

/// An entry of the new layer. There can be very many.
#[derive(Debug)]
pub(super) enum Placed {
    /// A directory.
    Dir(Box<Meta>),
    /// That entry of that source, which is no directory.
    Copied {
        /// The number of the source.
        source: usize,
        /// The number of the entry in it.
        entry: usize,
    },
}

/// A layer in the making, as a tree.
pub(super) struct Target<'a> {
    base: &'a Rootfs,
    overrides: Overrides,
    span: Span,
    sources: &'a [Source],
    /// By path with NUL for `/`, which sorts as a layer is sorted.
    entries: BTreeMap<Vec<u8>, Placed>,
}

impl<'a> Target<'a> {
    /// Nothing yet, on top of `base`. `span` is the destination's.
    pub(super) fn new(
        base: &'a Rootfs,
        overrides: Overrides,
        sources: &'a [Source],
        span: Span,
    ) -> Self {
        Self {
            base,
            overrides,
            span,
            sources,
            entries: BTreeMap::new(),
        }
    }

    /// Copies all sources to `destination`: absolute, with `/` at its end where it is written as a
    /// directory.
    ///
    /// # Errors
    /// When something of another kind is in the way.
    pub(super) fn copy(&mut self, destination: &[u8]) -> Result<(), CopyError> {
        for (number, source) in self.sources.iter().enumerate() {
            self.copy_one(number, source, destination)?;
        }
        Ok(())
    }

    fn copy_one(
        &mut self,
        number: usize,
        source: &Source,
        destination: &[u8],
    ) -> Result<(), CopyError> {
        let Some(top) = source.entries.first() else {
            return Ok(());
        };
        let ensure = match destination.strip_suffix(b"/") {
            Some(directory) => directory,
            None => parent(destination),
        };
        let ensure = self.resolve(ensure)?;
        self.make_dirs(&ensure)?;
        let mut to = self.resolve(destination)?;
        let existing = self.seen(&to);
        if matches!(top.kind, SourceKind::Dir) {
            self.make_dirs(&to)?;
            if self.overrides.keep_top {
                self.place_dir(&to, top, Some(&Seen::Dir))?;
            }
        } else {
            // Where it is none, the last of several files wins, as docker has it.
            if existing == Some(Seen::Dir) {
                to = join(&to, file_name(&source.name));
            }
            self.make_dirs(parent(&to))?;
        }
        // Below a directory that this copy makes, nothing can be in the way.
        let mut fresh: Option<Vec<u8>> = None;
        for (place, entry) in source.entries.iter().enumerate() {
            let directory = matches!(entry.kind, SourceKind::Dir);
            if directory && entry.below.is_empty() {
                continue;
            }
            let path = join(&to, &entry.below);
            if fresh.as_ref().is_some_and(|dir| !is_below(&path, dir)) {
                fresh = None;
            }
            let known = match fresh {
                Some(_) => None,
                None => self.seen(&path),
            };
            if directory {
                self.place_dir(&path, entry, known.as_ref())?;
                if known.is_none() && fresh.is_none() {
                    fresh = Some(path);
                }
                continue;
            }
            if known == Some(Seen::Dir) {
                let (path, span) = (shown(&path), self.span);
                return Err(CopyError::DirectoryInTheWay { path, span });
            }
            let copied = Placed::Copied {
                source: number,
                entry: place,
            };
            self.entries.insert(key(&path), copied);
        }
        Ok(())
    }

    fn place_dir(
        &mut self,
        path: &[u8],
        entry: &SourceEntry,
        known: Option<&Seen>,
    ) -> Result<(), CopyError> {
        let mut meta = self.overrides.meta(entry);
        match known {
            None => {}
            Some(Seen::Dir) => {
                // As docker has it: the attributes of the directory that is there stay.
                let there = match self.entries.get(&key(path)) {
                    Some(Placed::Dir(meta)) => Some(meta.xattrs.clone()),
                    Some(Placed::Copied { .. }) => None,
                    None => self.base.meta(path).map(|meta| meta.xattrs),
                };
                let mut xattrs = there.unwrap_or_default();
                xattrs.append(&mut meta.xattrs);
                meta.xattrs = xattrs;
            }
            Some(_) => return Err(self.not_a_directory(path)),
        }
        self.entries.insert(key(path), Placed::Dir(Box::new(meta)));
        Ok(())
    }

    /// Makes a directory and those above it, where they are missing.
    ///
    /// # Errors
    /// When something else is there.
    pub(super) fn make_dirs(&mut self, path: &[u8]) -> Result<(), CopyError> {
        let ends = path.iter().enumerate();
        let ends = ends.filter_map(|(at, byte)| (*byte == b'/').then_some(at));
        for end in ends.chain([path.len()]).filter(|end| *end > 0) {
            let path = &path[..end];
            match self.seen(path) {
                Some(Seen::Dir) => {}
                Some(_) => return Err(self.not_a_directory(path)),
                None => {
                    let (uid, gid) = self.overrides.owner.unwrap_or_default();
                    // Of `--chmod` such a directory gets the permissions alone.
                    let mode = self.overrides.mode.map_or(0o755, |mode| mode & 0o777);
                    let meta = Meta {
                        mode,
                        uid,
                        gid,
                        mtime: self.overrides.epoch,
                        ..Meta::default()
                    };
                    self.entries.insert(key(path), Placed::Dir(Box::new(meta)));
                }
            }
        }
        Ok(())
    }

    /// The path that a path of the new tree leads to.
    ///
    /// # Errors
    /// When it leads through too many links.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, CopyError> {
        resolve(path, |path| self.seen(path)).map_err(|_| CopyError::Loop {
            path: shown(path),
            span: self.span,
        })
    }

    /// What is at a path of the new tree.
    pub(super) fn seen(&self, path: &[u8]) -> Option<Seen> {
        if path.is_empty() {
            return Some(Seen::Dir);
        }
        let Some(placed) = self.entries.get(&key(path)) else {
            return self.base.seen(path);
        };
        let Placed::Copied { source, entry } = placed else {
            return Some(Seen::Dir);
        };
        let entry = self.sources.get(*source)?.entries.get(*entry)?;
        Some(match &entry.kind {
            SourceKind::Symlink(target) => Seen::Symlink(target.clone()),
            _ => Seen::Other,
        })
    }

    /// The entries of the layer, sorted by [`key`]. The directories above them are among them, as
    /// the base has them, so that whoever unpacks the layer does not make them up.
    pub(super) fn finish(mut self) -> BTreeMap<Vec<u8>, Placed> {
        let mut above: BTreeMap<Vec<u8>, Placed> = BTreeMap::new();
        let mut last = &[][..];
        for path in self.entries.keys() {
            let mut path = path.as_slice();
            while let Some(end) = path.iter().rposition(|byte| *byte == 0) {
                path = &path[..end];
                if path == last || self.entries.contains_key(path) || above.contains_key(path) {
                    break;
                }
                let meta = self.base.meta(&unkey(path)).unwrap_or_else(|| Meta {
                    mode: 0o755,
                    mtime: self.overrides.epoch,
                    ..Meta::default()
                });
                above.insert(path.to_vec(), Placed::Dir(Box::new(meta)));
            }
            // Most have the same directory as the one before.
            last = path;
        }
        self.entries.extend(above);
        self.entries
    }

    fn not_a_directory(&self, path: &[u8]) -> CopyError {
        CopyError::NotADirectory {
            path: shown(path),
            span: self.span,
        }
    }
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

/// A path as a key that sorts by component.
fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'/' { 0 } else { *byte })
        .collect()
}

/// The path of a key.
pub(super) fn unkey(key: &[u8]) -> Vec<u8> {
    key.iter()
        .map(|byte| if *byte == 0 { b'/' } else { *byte })
        .collect()
}

/// An absolute path, for messages.
fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path).trim_start_matches('/'))
}
