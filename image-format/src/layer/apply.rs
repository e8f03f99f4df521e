//! Tar to tree: unpacks a layer, whoever wrote it, and touches nothing outside the target.
//!
//! Every path is walked one name at a time, on directory handles, and no symbolic link is ever
//! followed by the kernel: links are read and resolved here, with the target as the root, as if the
//! layers were already one tree. That is docker's way, and what the image specification says: a
//! file `lib/x` of a layer above one with `lib -> usr/lib` goes to `usr/lib/x`. The last name of a
//! path is not followed: an entry replaces a link of its name.
//!
//! Whiteouts are for the layers below alone, wherever in the tar they stand: what the layer itself
//! holds stays.

use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::entry::{Entry, Kind, Meta, split};
use super::read::LayerReader;
use super::whiteout::{self, Spelling, XattrNamespace};

mod attributes;
mod content;
mod dirs;
mod error;
mod hide;
mod lowers;
mod remove;
mod walk;

pub use error::{ApplyError, Refusal};

use content::Content;
use dirs::{Child, Dirs, Node};
use error::{Fault, failed};
use lowers::Lowers;

/// What a layer is unpacked into.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An empty directory that becomes one layer of an overlay: what is gone is spelt as overlayfs
    /// spells it, and a directory or hard link's file that only lower layers have is copied up.
    Overlay {
        /// The unpacked layers below, topmost first.
        lowers: &'a [PathBuf],
        /// Where overlayfs keeps its marks.
        xattrs: XattrNamespace,
    },
    /// A tree that is changed in place: what is gone is removed.
    InPlace,
}

/// A name for a moment; no entry can have it, for it is reserved for whiteouts.
const ASIDE: &[u8] = b".wh..wh.aside";
/// The size of the buffers for the tar and for a file's content in bytes.
const BUFFER: usize = 128 << 10;

/// Unpacks a plain tar into the directory `dir`, and reads on to the end of the input.
///
/// Nobody else may change `dir` meanwhile. Directories that entries only imply are like those of
/// the layers below, else root's, 0755, from 1980; the root of an
/// image always is, but for its time. Extended attributes that are no part of an image
/// (see [`whiteout::is_carried`]) are left out; and so are devices, where the kernel does not let
/// this process make any, as in a user namespace: a sandbox has its own `/dev`.
///
/// # Errors
/// When the layer is malformed or hostile, or the file system fails. What was unpacked stays: the
/// caller removes `dir`, which it publishes only when whole.
pub fn apply(tar: impl Read, dir: &Path, target: Target<'_>) -> Result<(), ApplyError> {
    let mut tar = LayerReader::new(BufReader::with_capacity(BUFFER, tar));
    let at_root = |fault: Fault| fault.at(Path::new("."));
    let mut unpacker = Unpacker::new(dir, target).map_err(at_root)?;
    while let Some(entry) = tar.next_entry()? {
        let placed = unpacker.entry(&entry, &mut tar);
        placed.map_err(|fault| fault.at(&entry.path))?;
    }
    unpacker.finish().map_err(at_root)?;
    // Padding, as a rule; a digest of the whole is only right with it.
    io::copy(&mut tar.into_inner(), &mut io::sink())
        .map(|_| ())
        .map_err(|source| at_root(failed("read to the end of the layer with")(source)))
}

struct Unpacker<'a> {
    /// Where the work is: the directory of the current entry.
    dirs: Dirs,
    /// The layers below; `None` where the tree is changed in place.
    lowers: Option<Lowers<'a>>,
    /// The path, as text, by which the current directory was found last.
    here: Option<Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a> Unpacker<'a> {
    fn new(dir: &Path, target: Target<'a>) -> Result<Self, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed("open"))?;
        let (lowers, mut root) = match target {
            Target::InPlace => (None, existing_dir(&fd)?),
            Target::Overlay { lowers, xattrs } => {
                let lowers = Lowers::new(lowers, xattrs);
                let meta = lowers.root()?.unwrap_or_else(Meta::implied_dir);
                // What the place it lies in may have given it is no part of the image.
                let mut root = Node::new(meta.mtime);
                root.default_acl = attributes::set_dir(&fd, &meta, true)?;
                (Some(lowers), root)
            }
        };
        root.own = true;
        Ok(Self {
            dirs: Dirs::new(fd, root),
            lowers,
            here: None,
            buffer: vec![0; BUFFER],
        })
    }

    fn entry(&mut self, entry: &Entry, content: &mut impl Content) -> Result<(), Fault> {
        let path = entry.path.as_os_str().as_bytes();
        let (parent, name) = split(path);
        match (whiteout::classify(name), &entry.kind) {
            (Spelling::Whiteout(hidden), _) => {
                if self.enter(parent, false)? {
                    self.hide(hidden)?;
                }
                Ok(())
            }
            (Spelling::Opaque, _) => {
                if self.enter(parent, false)? {
                    self.hide_all()?;
                }
                Ok(())
            }
            (Spelling::Malformed, _) => Err(Refusal::Whiteout.into()),
            (Spelling::Plain, Kind::Char(0, 0)) => Err(Refusal::Device.into()),
            (Spelling::Plain, Kind::Dir) if name.is_empty() => {
                self.dirs.truncate(0)?;
                self.here = None;
                self.describe(&Meta::root(entry.meta.mtime))
            }
            (Spelling::Plain, _) if name.is_empty() => Err(Refusal::Root.into()),
            (Spelling::Plain, Kind::Hardlink(target)) => self.link(parent, name, target),
            (Spelling::Plain, kind) => {
                self.enter(parent, true)?;
                self.dirs.mark_own();
                match kind {
                    Kind::Dir => {
                        self.dir(name, &entry.meta)?;
                        self.here = Some(path.to_vec());
                        Ok(())
                    }
                    kind => self.place(name, kind, &entry.meta, content),
                }
            }
        }
    }

    /// Makes a directory here, or takes over the one there is, and goes into it.
    fn dir(&mut self, name: &[u8], meta: &Meta) -> Result<(), Fault> {
        match self.dirs.open(name) {
            Ok(fd) => {
                self.go_into(name, fd)?;
                return self.describe(meta);
            }
            Err(Errno::NOENT) => self.make_dir(name, meta, false)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                self.remove(name)?;
                self.make_dir(name, meta, true)?;
            }
            Err(error) => return Err(failed("open")(error)),
        }
        self.dirs.node_mut().own = true;
        Ok(())
    }

    /// Makes a directory where nothing is, and goes into it. It is opaque where what stood here
    /// before hid the layers below.
    fn make_dir(&mut self, name: &[u8], meta: &Meta, opaque: bool) -> Result<(), Fault> {
        rustix::fs::mkdirat(self.dirs.fd(), name, Mode::RWXU).map_err(failed("make"))?;
        let fd = self.dirs.open(name).map_err(failed("open"))?;
        let mut node = Node::new(meta.mtime);
        node.default_acl = attributes::set_dir(&fd, meta, false)?;
        self.here = None;
        self.dirs.add(name, node);
        self.dirs.push(name, fd)?;
        if opaque {
            self.set_opaque()?;
        }
        Ok(())
    }

    /// Goes into a directory that is already there.
    fn go_into(&mut self, name: &[u8], fd: OwnedFd) -> Result<(), Fault> {
        if !matches!(self.dirs.node().children.get(name), Some(Child::Dir(_))) {
            let node = existing_dir(&fd)?;
            self.dirs.add(name, node);
        }
        self.here = None;
        self.dirs.push(name, fd)
    }

    /// Gives the current directory other metadata.
    fn describe(&mut self, meta: &Meta) -> Result<(), Fault> {
        let default_acl = attributes::set_dir(self.dirs.fd(), meta, true)?;
        let node = self.dirs.node_mut();
        node.default_acl = default_acl;
        node.mtime = meta.mtime;
        node.own = true;
        Ok(())
    }

    /// Makes anything but a directory or a hard link here.
    fn place(
        &mut self,
        name: &[u8],
        kind: &Kind,
        meta: &Meta,
        content: &mut impl Content,
    ) -> Result<(), Fault> {
        match kind {
            Kind::File { size } => {
                let fd = self.replace(name, |dir| {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                    let mode = Mode::RUSR | Mode::WUSR;
                    rustix::fs::openat(dir.fd(), name, flags | OFlags::CLOEXEC, mode)
                })?;
                content::write(&fd, *size, content, &mut self.buffer)?;
                attributes::set_file(&fd, meta)?;
            }
            Kind::Symlink(target) => {
                let target = target.as_slice();
                self.replace(name, |dir| rustix::fs::symlinkat(target, dir.fd(), name))?;
                attributes::set_other(self.dirs.fd(), name, meta, true)?;
            }
            Kind::Fifo => self.node(name, FileType::Fifo, 0, meta)?,
            Kind::Char(major, minor) => {
                let number = rustix::fs::makedev(*major, *minor);
                self.node(name, FileType::CharacterDevice, number, meta)?;
            }
            Kind::Block(major, minor) => {
                let number = rustix::fs::makedev(*major, *minor);
                self.node(name, FileType::BlockDevice, number, meta)?;
            }
            Kind::Dir | Kind::Hardlink(_) => {}
        }
        self.placed(name);
        Ok(())
    }

    fn node(
        &mut self,
        name: &[u8],
        file_type: FileType,
        number: u64,
        meta: &Meta,
    ) -> Result<(), Fault> {
        let made = self.replace(name, |dir| {
            let made = rustix::fs::mknodat(dir.fd(), name, file_type, Mode::RUSR, number);
            match made {
                Err(Errno::PERM) if file_type != FileType::Fifo => Ok(false),
                made => made.map(|()| true),
            }
        })?;
        if !made {
            return self.leave_out(name);
        }
        attributes::set_other(self.dirs.fd(), name, meta, false)
    }

    /// Makes what `make` makes here; what is there already goes.
    fn replace<T>(
        &mut self,
        name: &[u8],
        make: impl Fn(&Dirs) -> rustix::io::Result<T>,
    ) -> Result<T, Fault> {
        match make(&self.dirs) {
            Err(Errno::EXIST) => {
                self.remove(name)?;
                make(&self.dirs).map_err(failed("make"))
            }
            made => made.map_err(failed("make")),
        }
    }

    /// Removes what is at a name here, with all that is in it.
    fn remove(&mut self, name: &[u8]) -> Result<(), Fault> {
        // It could have been on the way here, through a link.
        self.here = None;
        self.dirs.node_mut().children.remove(name);
        remove::remove(self.dirs.fd(), name)
    }

    /// Notes what whiteouts have to spare.
    fn placed(&mut self, name: &[u8]) {
        let in_place = self.lowers.is_none();
        let children = &mut self.dirs.node_mut().children;
        if in_place {
            children.insert(name.into(), Child::Own);
        } else if !children.is_empty() {
            children.remove(name);
        }
    }

    fn link(&mut self, parent: &[u8], name: &[u8], target: &Path) -> Result<(), Fault> {
        let (target_parent, target_name) = split(target.as_os_str().as_bytes());
        if target_name.is_empty() {
            return Err(Refusal::LinkToDir.into());
        }
        if !self.enter(target_parent, false)? {
            return Err(Refusal::LinkTarget.into());
        }
        let old = match self.own(target_name)? {
            Some(old) if self.lowers.is_some() && lowers::is_whiteout(&old) => None,
            Some(old) => Some(old),
            None => self.copy_up(target_name)?,
        };
        let old = old.ok_or(Refusal::LinkTarget)?;
        if FileType::from_raw_mode(old.st_mode).is_dir() {
            return Err(Refusal::LinkToDir.into());
        }
        let old_dir = rustix::io::dup(self.dirs.fd()).map_err(failed("open"))?;
        self.enter(parent, true)?;
        self.dirs.mark_own();
        if let Some(there) = self.own(name)?
            && (there.st_dev, there.st_ino) == (old.st_dev, old.st_ino)
        {
            // Already the same file; or the link is one to itself.
            self.placed(name);
            return Ok(());
        }
        let link = |dir: &Dirs, name: &[u8]| {
            rustix::fs::linkat(&old_dir, target_name, dir.fd(), name, AtFlags::empty())
        };
        match link(&self.dirs, name) {
            Err(Errno::EXIST) => {
                // The target may lie in what it takes the place of.
                link(&self.dirs, ASIDE).map_err(failed("make"))?;
                self.remove(name)?;
                rustix::fs::renameat(self.dirs.fd(), ASIDE, self.dirs.fd(), name)
                    .map_err(failed("make"))?;
            }
            linked => linked.map_err(failed("make"))?,
        }
        self.placed(name);
        Ok(())
    }

    /// Copies a file that only the layers below have to here, and gives what it is.
    fn copy_up(&mut self, name: &[u8]) -> Result<Option<rustix::fs::Stat>, Fault> {
        let Some(found) = self.below(name)? else {
            return Ok(None);
        };
        if let Some(kind) = found.kind()? {
            let meta = found.meta()?;
            let mut content = found.content(&kind)?;
            self.place(name, &kind, &meta, &mut content)?;
            self.dirs
                .node_mut()
                .children
                .insert(name.into(), Child::Copied);
            return self.own(name);
        }
        Ok(Some(found.stat))
    }

    /// Writes down what could only be said last: directories change while they are filled.
    fn finish(mut self) -> Result<(), Fault> {
        self.dirs.truncate(0)?;
        self.dirs.walk(|fd, number, nodes| {
            let node = &nodes[number];
            if let Some(acl) = &node.default_acl {
                attributes::set_default_acl(fd, acl)?;
            }
            attributes::set_mtime(fd, node.mtime)?;
            Ok(node.dirs())
        })
    }
}

/// What has to be restored of a directory that is only passed through.
fn existing_dir(fd: &OwnedFd) -> Result<Node, Fault> {
    let stat = rustix::fs::fstat(fd).map_err(failed("read"))?;
    let mut node = Node::new(attributes::mtime(&stat));
    // It would be inherited by what is made in it.
    node.default_acl = attributes::take_default_acl(fd)?;
    Ok(node)
}

#[cfg(test)]
mod tests;
