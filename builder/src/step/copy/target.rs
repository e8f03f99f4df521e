//! The tree that a copy makes on top of a root file system: docker's rules of where what goes.
//!
//! A file goes to the destination, or into it where it is a directory or written as one. Of a
//! directory the contents go, to the destination. Symbolic links of the destination's path are
//! followed, links below it are replaced. Directories and other things never replace each other.

use std::collections::{BTreeMap, BTreeSet};

use image_format::layer::{Meta, Timestamp};

use crate::dockerfile::Span;
use crate::dockerfile::mode::Mode;

use super::CopyError;
use super::resolve::{Seen, file_name, parent, resolve};
use super::rootfs::Rootfs;
use super::source::{Role, Source, SourceEntry, SourceKind, Unpacking, join};

/// What the instruction says of all that it copies.
#[derive(Clone, Debug)]
pub(super) struct Overrides {
    /// The owner and the group, by `--chown`.
    pub(super) owner: Option<(u32, u32)>,
    /// The permissions, by `--chmod`.
    pub(super) mode: Option<Mode>,
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
    pub(super) fn meta(&self, source: &Source, entry: &SourceEntry) -> Meta {
        let mut meta = entry.meta.clone();
        let unpacked = source.unpacking == Unpacking::Done;
        // As docker has it: nobody owns the directories that an archive does not speak of.
        if let Some((uid, gid)) = self.owner.filter(|_| !(unpacked && entry.implied)) {
            (meta.uid, meta.gid) = (uid, gid);
        }
        match (&entry.kind, &self.mode) {
            (SourceKind::Symlink(_), _) => meta.mode = 0o777,
            // Docker leaves what was in an archive its permissions.
            (kind, Some(mode)) if !unpacked => {
                meta.mode = mode.apply(meta.mode, matches!(kind, SourceKind::Dir));
            }
            _ => {}
        }
        meta
    }

    /// The metadata of a directory that is made on the way.
    fn made(&self) -> Meta {
        let (uid, gid) = self.owner.unwrap_or_default();
        // Of `--chmod` such a directory gets the permissions alone, and no changes.
        let mode = self.mode.as_ref().and_then(Mode::fixed);
        Meta {
            mode: mode.map_or(0o755, |mode| mode & 0o777),
            uid,
            gid,
            mtime: self.epoch,
            ..Meta::default()
        }
    }

    /// The metadata of a directory that nothing speaks of.
    fn nobodys(&self) -> Meta {
        Meta {
            mode: 0o755,
            mtime: self.epoch,
            ..Meta::default()
        }
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
    overrides: &'a Overrides,
    span: Span,
    sources: &'a [Source],
    /// By path with NUL for `/`, which sorts as a layer is sorted.
    entries: BTreeMap<Vec<u8>, Placed>,
    /// Where an archive put something in the place of what the base has: it has nothing there now.
    replaced: BTreeSet<Vec<u8>>,
}

impl<'a> Target<'a> {
    /// Nothing yet, on top of `base`. `span` is the destination's.
    pub(super) fn new(
        base: &'a Rootfs,
        overrides: &'a Overrides,
        sources: &'a [Source],
        span: Span,
    ) -> Self {
        Self {
            base,
            overrides,
            span,
            sources,
            entries: BTreeMap::new(),
            replaced: BTreeSet::new(),
        }
    }

    /// Copies all sources to `destination`: absolute, with `/` at its end where it is written as a
    /// directory.
    ///
    /// # Errors
    /// When something of another kind is in the way.
    pub(super) fn copy(&mut self, destination: &[u8]) -> Result<(), CopyError> {
        for (number, source) in self.sources.iter().enumerate() {
            match &source.role {
                Role::Asked if source.unpacking == Unpacking::Done => {
                    self.unpack(number, source, destination)?;
                }
                Role::Asked => self.copy_one(number, source, destination)?,
                Role::Link => self.copy_link(number, source)?,
                Role::Needed { asked, beside } => {
                    self.copy_needed(number, source, asked)?;
                    if let Some(program) = beside {
                        self.check_beside(program, &source.at)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies a link to the path it has, where nothing is there: what is, others count on.
    fn copy_link(&mut self, number: usize, source: &Source) -> Result<(), CopyError> {
        let directory = self.resolve(parent(&source.at))?;
        let to = join(&directory, file_name(&source.at));
        match self.seen(&to) {
            Some(_) => Ok(()),
            None => self.copy_file(number, &to),
        }
    }

    /// Copies what a program needs to the path it has, and to where the links that are there lead
    /// whoever looks for it.
    fn copy_needed(
        &mut self,
        number: usize,
        source: &Source,
        asked: &[u8],
    ) -> Result<(), CopyError> {
        let to = self.resolve(&source.at)?;
        self.copy_file(number, &to)?;
        let found = self.resolve(asked)?;
        if found != to {
            self.copy_file(number, &found)?;
        }
        Ok(())
    }

    fn copy_file(&mut self, number: usize, to: &[u8]) -> Result<(), CopyError> {
        self.make_dirs(parent(to))?;
        if self.seen(to) == Some(Seen::Dir) {
            let (path, span) = (shown(to), self.span);
            return Err(CopyError::DirectoryInTheWay { path, span });
        }
        let copied = Placed::Copied {
            source: number,
            entry: 0,
        };
        self.entries.insert(key(to), copied);
        Ok(())
    }

    /// A program that finds a library by where it lies itself has to stay there, or be copied with
    /// the library.
    fn check_beside(&self, program: &[u8], library: &[u8]) -> Result<(), CopyError> {
        let stays = self.entries.contains_key(&key(&self.resolve(program)?));
        let holds_both = |source: &Source| {
            let mut both = [program, library].into_iter();
            source.role == Role::Asked && both.all(|path| is_in(path, &source.at))
        };
        if stays || self.sources.iter().any(holds_both) {
            return Ok(());
        }
        Err(CopyError::Beside {
            program: shown(program),
            library: shown(library),
            span: self.span,
        })
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
                self.place_dir(&to, source, top, Some(&Seen::Dir))?;
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
                self.place_dir(&path, source, entry, known.as_ref())?;
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

    pub(super) fn place_dir(
        &mut self,
        path: &[u8],
        source: &Source,
        entry: &SourceEntry,
        known: Option<&Seen>,
    ) -> Result<(), CopyError> {
        let mut meta = self.overrides.meta(source, entry);
        match known {
            None => {}
            Some(Seen::Dir) => {
                let there = self.meta_at(path).unwrap_or_default();
                if entry.implied {
                    // As docker has it: of what is not copied itself, the permissions are.
                    let mode = entry.meta.mode;
                    meta = Meta { mode, ..there };
                } else {
                    // As docker has it: the attributes of the directory that is there stay.
                    let mut xattrs = there.xattrs;
                    xattrs.append(&mut meta.xattrs);
                    meta.xattrs = xattrs;
                }
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
        self.make_dirs_like(path, &self.overrides.made())
    }

    fn make_dirs_like(&mut self, path: &[u8], made: &Meta) -> Result<(), CopyError> {
        let ends = path.iter().enumerate();
        let ends = ends.filter_map(|(at, byte)| (*byte == b'/').then_some(at));
        for end in ends.chain([path.len()]).filter(|end| *end > 0) {
            let path = &path[..end];
            match self.seen(path) {
                Some(Seen::Dir) => {}
                Some(_) => return Err(self.not_a_directory(path)),
                None => {
                    let meta = Box::new(made.clone());
                    self.entries.insert(key(path), Placed::Dir(meta));
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
        resolve(path, |path| self.seen(path)).map_err(|_| self.looping(path))
    }

    /// Makes the directory that an archive is unpacked in: `--chmod` is not for it.
    pub(super) fn make_root(&mut self, path: &[u8]) -> Result<(), CopyError> {
        let plain = Meta {
            mode: 0o755,
            ..self.overrides.made()
        };
        self.make_dirs_like(path, &plain)
    }

    /// Puts an entry at a path.
    pub(super) fn place(&mut self, path: &[u8], placed: Placed) {
        self.entries.insert(key(path), placed);
    }

    /// Forgets what the base has at a path.
    pub(super) fn replace(&mut self, path: &[u8]) {
        // Nothing else could have anything below it.
        if let Some(Seen::Dir | Seen::Symlink(_)) = self.base.seen(path) {
            self.replaced.insert(path.to_vec());
        }
    }

    /// Takes away what this layer has in a directory.
    pub(super) fn remove_below(&mut self, path: &[u8]) {
        let (mut first, mut after) = (key(path), key(path));
        first.push(0);
        after.push(1);
        let inside = self.entries.range(first..after);
        let inside: Vec<Vec<u8>> = inside.map(|(at, _)| at.clone()).collect();
        for at in inside {
            self.entries.remove(&at);
        }
    }

    /// What is at a path of the new tree.
    pub(super) fn seen(&self, path: &[u8]) -> Option<Seen> {
        if path.is_empty() {
            return Some(Seen::Dir);
        }
        let Some(placed) = self.entries.get(&key(path)) else {
            return self.base_has(path).then(|| self.base.seen(path))?;
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

    /// Whether what the base has at a path is still there.
    fn base_has(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate();
        let ends = ends.filter_map(|(at, byte)| (*byte == b'/').then_some(at));
        let mut ends = ends.chain([path.len()]);
        self.replaced.is_empty() || !ends.any(|end| self.replaced.contains(&path[..end]))
    }

    /// The metadata of the directory at a path.
    fn meta_at(&self, path: &[u8]) -> Option<Meta> {
        match self.entries.get(&key(path)) {
            Some(Placed::Dir(meta)) => Some(Meta::clone(meta)),
            Some(Placed::Copied { .. }) => None,
            None => self.base_has(path).then(|| self.base.meta(path))?,
        }
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
                let meta = self.meta_at(&unkey(path));
                let meta = meta.unwrap_or_else(|| self.overrides.nobodys());
                above.insert(path.to_vec(), Placed::Dir(Box::new(meta)));
            }
            // Most have the same directory as the one before.
            last = path;
        }
        self.entries.extend(above);
        self.entries
    }

    pub(super) fn looping(&self, path: &[u8]) -> CopyError {
        CopyError::Loop {
            path: shown(path),
            span: self.span,
        }
    }

    pub(super) fn not_a_directory(&self, path: &[u8]) -> CopyError {
        CopyError::NotADirectory {
            path: shown(path),
            span: self.span,
        }
    }
}

pub(super) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

/// Whether a path is that of a directory, or below it.
fn is_in(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path == dir || is_below(path, dir)
}

/// A path as a key that sorts by component.
pub(super) fn key(path: &[u8]) -> Vec<u8> {
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
