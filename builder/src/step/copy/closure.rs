//! `COPY --closure`: the libraries and interpreters that the copied programs need come along, at
//! the paths that they have. They are found by reading, in what is copied from, unpacked or not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use image_format::closure::{Closure, ClosureError, Content, FileTree, Looked};
use image_format::layer::tree::Place;
use image_format::layer::{Kind, LayerReader, Meta, Timestamp};

use crate::context::Context;
use crate::dockerfile::Span;

use super::CopyError;
use super::rootfs::Rootfs;
use super::source::{Content as Stored, Role, Source, SourceEntry, SourceKind, Unpacking};

/// The most bytes of a file that a layer stores without its holes: no program is.
const LARGEST_SPARSE: u64 = 64 << 20;

/// Adds what the sources, which are of the context, need of it.
pub(super) fn add_from_context(
    context: &Context,
    epoch: Timestamp,
    sources: &mut Vec<Source>,
    span: Span,
) -> Result<(), CopyError> {
    let entry = |path: &[u8]| {
        let found = context.look(path);
        let found = found.map_err(|error| CopyError::context(error, span))?;
        Ok(found.map(|found| {
            let SourceEntry { kind, meta, .. } = SourceEntry::of_context(found, epoch);
            (kind, meta)
        }))
    };
    let needed = needed(&ContextFiles(context), sources, entry, span)?;
    sources.extend(needed);
    Ok(())
}

/// Adds what the sources, which are of a root file system, need of it.
pub(super) fn add_from_rootfs(
    rootfs: &Rootfs,
    sources: &mut Vec<Source>,
    span: Span,
) -> Result<(), CopyError> {
    let files = StoredFiles {
        rootfs,
        open: RefCell::default(),
    };
    let needed = needed(&files, sources, |path| Ok(rootfs.entry(path)), span)?;
    sources.extend(needed);
    Ok(())
}

/// What the sources need: links first, for what comes behind them is placed through them.
fn needed(
    files: &impl FileTree,
    sources: &[Source],
    entry: impl Fn(&[u8]) -> Result<Option<(SourceKind, Meta)>, CopyError>,
    span: Span,
) -> Result<Vec<Source>, CopyError> {
    let failed = |source| CopyError::Closure {
        source: Box::new(source),
        span,
    };
    let mut closure = Closure::of(files).map_err(failed)?;
    for source in sources {
        for entry in &source.entries {
            if matches!(entry.kind, SourceKind::File(_)) {
                let path = absolute(&source.path_of(entry));
                let is_asked = entry.below.is_empty();
                add(&mut closure, Path::new(&path), is_asked, entry.meta.mode).map_err(failed)?;
            }
        }
    }
    let mut links: BTreeMap<&Path, Role> = BTreeMap::new();
    let mut all: Vec<(&Path, Role)> = Vec::new();
    for (asked, needed) in closure.needed() {
        links.extend(needed.links.iter().map(|link| (link.as_path(), Role::Link)));
        let role = Role::Needed {
            asked: relative(asked),
            beside: needed.beside.as_deref().map(relative),
        };
        all.push((&needed.path, role));
    }
    let all = links.into_iter().chain(all);
    let sources = all.map(|(path, role)| {
        let at = relative(path);
        // It was there when it was found.
        let changed = || {
            failed(ClosureError::NoProgram {
                name: path.display().to_string(),
                nearest: None,
            })
        };
        let (kind, meta) = entry(&at)?.ok_or_else(changed)?;
        Ok(Source {
            name: at.clone(),
            at,
            entries: vec![SourceEntry {
                below: Vec::new(),
                kind,
                meta,
                implied: false,
            }],
            origin: 0,
            known: None,
            unpacking: Unpacking::No,
            role,
        })
    });
    sources.collect()
}

/// Adds what a file needs. One that is named itself must be a program; of a directory all files are
/// looked at, and those that are none need nothing.
fn add(
    closure: &mut Closure<'_>,
    path: &Path,
    is_asked: bool,
    mode: u32,
) -> Result<(), ClosureError> {
    if !is_asked && mode & 0o111 == 0 {
        return closure.add_libraries_of(path).map(drop);
    }
    match closure.add_needs_of(path) {
        Err(ClosureError::NotAProgram(_)) if !is_asked => Ok(()),
        added => added,
    }
}

fn absolute(path: &[u8]) -> OsString {
    OsString::from_vec([b"/", path].concat())
}

fn relative(path: &Path) -> Vec<u8> {
    let path = path.strip_prefix("/").unwrap_or(path);
    path.as_os_str().as_bytes().to_vec()
}

/// The files of a context.
struct ContextFiles<'a>(&'a Context);

impl FileTree for ContextFiles<'_> {
    fn look(&self, path: &Path) -> io::Result<Option<Looked>> {
        let found = self.0.look(&relative(path)).map_err(io::Error::other)?;
        Ok(found.map(|found| {
            let entry = SourceEntry::of_context(found, Timestamp::default());
            looked(entry.kind, &entry.meta)
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content + '_>> {
        let file = self.0.opener().open(&relative(path));
        Ok(Box::new(File::from(file.map_err(io::Error::other)?)))
    }

    fn names(&self, _: &Path) -> Vec<OsString> {
        Vec::new()
    }
}

/// The files of a root file system that is not unpacked.
struct StoredFiles<'a> {
    rootfs: &'a Rootfs,
    /// The layers that were opened, by number.
    open: RefCell<BTreeMap<usize, Rc<File>>>,
}

impl StoredFiles<'_> {
    fn tar(&self, layer: usize) -> io::Result<Rc<File>> {
        let mut open = self.open.borrow_mut();
        if let Some(tar) = open.get(&layer) {
            return Ok(Rc::clone(tar));
        }
        let tar = self.rootfs.tar(layer).map_err(io::Error::other)?;
        let tar = Rc::new(tar);
        open.insert(layer, Rc::clone(&tar));
        Ok(tar)
    }

    fn content(&self, place: Place, size: u64) -> io::Result<Box<dyn Content + '_>> {
        let tar = self.tar(place.layer)?;
        let headers = Part {
            tar: Rc::clone(&tar),
            start: place.header_offset,
            size: u64::MAX - place.header_offset,
            position: 0,
        };
        let mut reader = LayerReader::new(headers);
        reader.next_entry().map_err(io::Error::other)?;
        if !reader.is_sparse() {
            return Ok(Box::new(Part {
                tar,
                start: place.header_offset + reader.data_offset(),
                size,
                position: 0,
            }));
        }
        if size > LARGEST_SPARSE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        reader.take(size).read_to_end(&mut bytes)?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}

impl FileTree for StoredFiles<'_> {
    fn look(&self, path: &Path) -> io::Result<Option<Looked>> {
        let entry = self.rootfs.entry(&relative(path));
        Ok(entry.map(|(kind, meta)| looked(kind, &meta)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content + '_>> {
        match self.rootfs.entry(&relative(path)) {
            Some((SourceKind::File(file), _)) => match file.content {
                Stored::Layer(place) => self.content(place, file.size),
                Stored::Context(_) | Stored::Text(_) => Err(io::ErrorKind::Unsupported.into()),
            },
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn names(&self, dir: &Path) -> Vec<OsString> {
        let children = self.rootfs.children(&relative(dir)).into_iter();
        children
            .map(|child| OsStr::from_bytes(&child.name).to_owned())
            .collect()
    }
}

fn looked(kind: SourceKind, meta: &Meta) -> Looked {
    let kind = match kind {
        SourceKind::Dir => Kind::Dir,
        SourceKind::File(file) => Kind::File { size: file.size },
        SourceKind::Symlink(target) => Kind::Symlink(target),
        SourceKind::Char(major, minor) => Kind::Char(major, minor),
        SourceKind::Block(major, minor) => Kind::Block(major, minor),
        SourceKind::Fifo => Kind::Fifo,
    };
    Looked {
        kind,
        mode: meta.mode,
    }
}

/// A part of a layer's tar.
struct Part {
    tar: Rc<File>,
    start: u64,
    size: u64,
    position: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.position);
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let at = self.start.saturating_add(self.position);
        let count = self.tar.read_at(&mut buffer[..most], at)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
