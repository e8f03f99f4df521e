//! The walk of a tree that is packed: sorted, by directory handles, of any depth.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, openat, statx, unlinkat};

use super::PackError;
use super::below::{Below, Dirs, Found};
use super::content::Content;
use super::inode::{self, Id, Inode};
use super::list::{self, Instead, Is, Item};
use super::settle;
use crate::layer::entry::{Entry, Kind, Meta, Timestamp};
use crate::layer::whiteout::XattrNamespace;
use crate::layer::write::LayerWriter;

/// What tree is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// One with nothing below: packed whole.
    Whole,
    /// The new one of two: what is only in the old one is gone.
    New {
        /// Whether the tree is put to what the layer says.
        settle: bool,
    },
    /// An overlay's upper directory, which is put to what the layer says. An entry that says what
    /// is below already is removed.
    Upper(XattrNamespace),
}

/// A directory that the walk is in.
struct Level {
    id: Id,
    items: std::vec::IntoIter<Item>,
    /// The trees below that have it.
    below: Dirs,
    /// Its own entry, as long as nothing in it differs from what is below.
    pending: Option<Entry>,
    /// The time that it has if it is not in the layer: that of the directory below.
    below_mtime: Option<Timestamp>,
    /// The time that it has if it is in the layer; `None` if it is not.
    mtime: Option<Timestamp>,
}

/// Walks one tree.
pub(super) struct Walk<'a, W: Write> {
    source: Source,
    below: &'a Below,
    epoch: Timestamp,
    writer: LayerWriter<W>,
    /// The directory that the walk is in, and its path.
    dir: OwnedFd,
    path: PathBuf,
    levels: Vec<Level>,
    /// The first names of files with several, in the tree and below.
    links: HashMap<Id, PathBuf>,
    links_below: HashMap<Id, PathBuf>,
}

impl<'a, W: Write> Walk<'a, W> {
    pub fn new(
        root: &Path,
        source: Source,
        below: &'a Below,
        out: W,
        epoch: Timestamp,
    ) -> Result<Self, PackError> {
        let writer = LayerWriter::new(out, epoch);
        Self::under(PathBuf::new(), root, source, below, writer, epoch)
    }

    /// Walks a tree that lies at `path` in the layer.
    pub fn under(
        path: PathBuf,
        root: &Path,
        source: Source,
        below: &'a Below,
        writer: LayerWriter<W>,
        epoch: Timestamp,
    ) -> Result<Self, PackError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, root, flags, Mode::empty());
        let dir = dir.map_err(|source| PackError::Io {
            action: "open",
            path: root.to_owned(),
            source: source.into(),
        })?;
        Ok(Self {
            source,
            below,
            epoch,
            writer,
            dir,
            path,
            levels: Vec::new(),
            links: HashMap::new(),
            links_below: HashMap::new(),
        })
    }

    /// Walks to the end; `None` where nothing was written.
    pub fn run(mut self) -> Result<Option<W>, PackError> {
        self.walk()?;
        if self.writer.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.writer.finish()?))
    }

    /// Walks to the end of a tree with nothing below; the layer goes on.
    pub fn run_whole(mut self) -> Result<LayerWriter<W>, PackError> {
        self.walk()?;
        Ok(self.writer)
    }

    fn walk(&mut self) -> Result<(), PackError> {
        let read = || Inode::read(self.dir.as_fd(), Path::new("."), FileType::Directory);
        let mut root = read().map_err(self.failed("read"))?;
        if self.settles() {
            settle::reset_root(&root).map_err(self.failed("set the metadata of"))?;
            root = read().map_err(self.failed("read"))?;
        }
        let all = self.below.all();
        let found = self.below.find(&all, Path::new(""));
        let found = found.map_err(self.failed("read below"))?;
        self.enter(root, found)?;
        while let Some(level) = self.levels.last_mut() {
            let Some(item) = level.items.next() else {
                self.leave()?;
                continue;
            };
            if item.is == Is::Opaque {
                // Its directory is in the layer already.
                self.writer.opaque(&self.path)?;
                continue;
            }
            self.path.push(item.name());
            match item.is {
                Is::Entry(kind) if kind == FileType::Directory => {
                    let inode = self.read(&item, kind)?;
                    let found = self.find()?;
                    self.enter(inode, found)?;
                    continue;
                }
                Is::Entry(kind) => self.file(&item, kind)?,
                Is::Gone(instead) => self.gone(&item, instead)?,
                Is::Opaque => {}
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Goes into a directory, the root included.
    fn enter(&mut self, mut inode: Inode, found: Option<Found>) -> Result<(), PackError> {
        let found = found.filter(|found| !found.dirs.is_empty());
        let (is_same, is_opaque) = match self.source {
            Source::Whole => (false, false),
            Source::New { .. } => (self.is_same(&found, &inode)?, false),
            Source::Upper(namespace) => {
                self.refuse_elsewhere(&inode, namespace)?;
                let is_opaque = inode.is_opaque(namespace).map_err(self.failed("read"))?;
                (!is_opaque && self.is_same(&found, &inode)?, is_opaque)
            }
        };
        let Some(dir) = inode.file.take() else {
            return Ok(());
        };
        let is_upper = matches!(self.source, Source::Upper(_));
        let mut items = list::list(dir.as_fd(), is_upper).map_err(self.failed("read"))?;
        let below_mtime = found.as_ref().map(|found| inode::mtime(&found.stat));
        let mut below = found.map(|found| found.dirs).unwrap_or_default();
        if is_opaque && !below.is_empty() {
            items.push(Item::opaque());
            below.clear();
        }
        if let (Source::New { .. }, Some(root)) = (self.source, below.first()) {
            self.add_gone(&mut items, *root)?;
        }
        list::sort(&mut items);
        let is_root = self.levels.is_empty();
        let entry = Entry {
            path: self.path.clone(),
            kind: Kind::Dir,
            meta: match is_root {
                true => Meta::root(inode.meta().mtime),
                false => inode.meta(),
            },
        };
        self.levels.push(Level {
            id: inode::id(&inode.stat),
            items: items.into_iter(),
            below,
            // The root is no parent that has to be listed.
            pending: Some(entry).filter(|_| !is_root || !is_same),
            below_mtime,
            mtime: None,
        });
        self.dir = dir;
        if is_same { Ok(()) } else { self.flush() }
    }

    /// Adds what only the old tree has.
    fn add_gone(&self, items: &mut Vec<Item>, root: usize) -> Result<(), PackError> {
        let old = self.below.open_dir(root, &self.path);
        let old = old
            .and_then(|old| list::list(old.as_fd(), false))
            .map_err(self.failed("read below"))?;
        let mut names: Vec<_> = items.iter().map(|item| item.name().to_owned()).collect();
        names.sort_unstable();
        let is_gone = |item: &Item| {
            matches!(item.is, Is::Entry(_)) && names.binary_search(&item.name().to_owned()).is_err()
        };
        let gone = old.iter().filter(|item| is_gone(item));
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes;
        items.extend(gone.map(|item| Item::gone(bytes(item.name()), Instead::Nothing)));
        Ok(())
    }

    /// Writes the directories that the walk is in, as far as they are not written.
    fn flush(&mut self) -> Result<(), PackError> {
        // Those before the first that is written are written too.
        let waiting = self.levels.iter().rev();
        let from = self.levels.len() - waiting.take_while(|level| level.pending.is_some()).count();
        for level in &mut self.levels[from..] {
            if let Some(entry) = level.pending.take() {
                level.mtime = Some(entry.meta.mtime);
                self.writer.append(&entry, io::empty())?;
            }
        }
        Ok(())
    }

    /// An entry that is no directory; the path is its own.
    fn file(&mut self, item: &Item, kind: FileType) -> Result<(), PackError> {
        let inode = self.read(item, kind)?;
        if let Source::Upper(namespace) = self.source {
            self.refuse_elsewhere(&inode, namespace)?;
        }
        if inode::is_whiteout(&inode.stat) {
            return Err(PackError::Device(self.path.clone()));
        }
        let first = first_name(&mut self.links, &inode.stat, &self.path);
        let found = self.find()?;
        let is_linked_as_below = match (self.source, &found) {
            (Source::New { .. }, Some(found)) => {
                first_name(&mut self.links_below, &found.stat, &self.path) == first
            }
            // Taken out of the upper directory, it would lose its other names.
            (Source::Upper(_), Some(_)) => inode.stat.stx_nlink == 1,
            _ => false,
        };
        if is_linked_as_below && self.is_same(&found, &inode)? {
            return self.unchanged(item, &inode, found);
        }
        self.flush()?;
        let entry = Entry {
            path: self.path.clone(),
            meta: inode.meta(),
            kind: first.map_or_else(|| inode.kind.clone(), Kind::Hardlink),
        };
        match &inode.file {
            Some(file) => {
                let content = Content::new(file.as_fd(), &inode.stat);
                self.writer.append(&entry, content)?;
            }
            None => self.writer.append(&entry, io::empty())?,
        }
        if self.settles() && entry.meta.mtime > self.epoch {
            settle::set_mtime(self.dir.as_fd(), Path::new(item.name()), self.epoch)
                .map_err(self.failed("set the time of"))?;
        }
        Ok(())
    }

    /// What is below already goes out of an upper directory, so that it is seen as it is below.
    fn unchanged(
        &mut self,
        item: &Item,
        inode: &Inode,
        found: Option<Found>,
    ) -> Result<(), PackError> {
        if let Source::Upper(_) = self.source {
            return self.remove(item);
        }
        let mtime = found.map(|found| inode::mtime(&found.stat));
        match mtime {
            Some(mtime) if self.settles() && mtime != inode::mtime(&inode.stat) => {
                settle::set_mtime(self.dir.as_fd(), Path::new(item.name()), mtime)
                    .map_err(self.failed("set the time of"))
            }
            _ => Ok(()),
        }
    }

    fn gone(&mut self, item: &Item, instead: Instead) -> Result<(), PackError> {
        if self.source == Source::Whole {
            return Ok(());
        }
        let is_hidden = self.find()?.is_some();
        if is_hidden {
            self.flush()?;
            self.writer.whiteout(&self.path)?;
        }
        if !self.settles() || instead == Instead::Nothing {
            return Ok(());
        }
        let is_upper = matches!(self.source, Source::Upper(_));
        if is_hidden && is_upper && instead == Instead::Whiteout {
            return Ok(());
        }
        self.remove(item)?;
        if is_hidden && is_upper {
            settle::make_whiteout(self.dir.as_fd(), Path::new(item.name()))
                .map_err(self.failed("make a whiteout of"))?;
        }
        Ok(())
    }

    /// Goes out of the directory that the walk is in.
    fn leave(&mut self) -> Result<(), PackError> {
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        if self.settles() {
            let mtime = level.mtime.map(|mtime| mtime.min(self.epoch));
            if let Some(mtime) = mtime.or(level.below_mtime) {
                settle::set_dir_mtime(self.dir.as_fd(), mtime)
                    .map_err(self.failed("set the time of"))?;
            }
        }
        let Some(parent) = self.levels.last_mut() else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let up = openat(&self.dir, "..", flags, Mode::empty()).map_err(io::Error::from);
        let up = up.and_then(|up| {
            let stat = statx(&up, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
            if inode::id(&stat) == parent.id {
                Ok(up)
            } else {
                Err(inode::changed())
            }
        });
        self.dir = up.map_err(self.failed("read"))?;
        if level.mtime.is_none() && matches!(self.source, Source::Upper(_)) {
            let name = self.path.file_name().unwrap_or_default();
            unlinkat(&self.dir, name, AtFlags::REMOVEDIR)
                .map_err(|error| self.failed("remove")(error.into()))?;
        }
        self.path.pop();
        Ok(())
    }

    fn remove(&self, item: &Item) -> Result<(), PackError> {
        unlinkat(&self.dir, item.name(), AtFlags::empty())
            .map_err(|error| self.failed("remove")(error.into()))
    }

    fn settles(&self) -> bool {
        matches!(self.source, Source::Upper(_) | Source::New { settle: true })
    }

    fn read(&self, item: &Item, kind: FileType) -> Result<Inode, PackError> {
        Inode::read(self.dir.as_fd(), Path::new(item.name()), kind).map_err(self.failed("read"))
    }

    fn find(&self) -> Result<Option<Found>, PackError> {
        let dirs = self.levels.last().map(|level| level.below.as_slice());
        self.below
            .find(dirs.unwrap_or_default(), &self.path)
            .map_err(self.failed("read below"))
    }

    fn is_same(&self, found: &Option<Found>, inode: &Inode) -> Result<bool, PackError> {
        let Some(found) = found else {
            return Ok(false);
        };
        self.below
            .is_same(found, &self.path, inode, self.epoch)
            .map_err(self.failed("read"))
    }

    fn refuse_elsewhere(&self, inode: &Inode, namespace: XattrNamespace) -> Result<(), PackError> {
        let mut marks = namespace.elsewhere().into_iter();
        match marks.find(|mark| inode.is_marked(mark)) {
            None => Ok(()),
            Some(mark) => Err(PackError::Elsewhere {
                path: self.path.clone(),
                mark,
            }),
        }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> PackError + use<W> {
        let path = self.path.clone();
        move |source| PackError::Io {
            action,
            path,
            source,
        }
    }
}

/// The first name of a file that has several, if it is not this one.
fn first_name(
    links: &mut HashMap<Id, PathBuf>,
    stat: &rustix::fs::Statx,
    path: &Path,
) -> Option<PathBuf> {
    if stat.stx_nlink < 2 {
        return None;
    }
    let first = links
        .entry(inode::id(stat))
        .or_insert_with(|| path.to_owned());
    Some(first.clone()).filter(|first| first != path)
}
