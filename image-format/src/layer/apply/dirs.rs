//! The directories of the layer that is unpacked: which are open, and what is to be said of each
//! at the end.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::error::{Fault, Refusal, failed};
use crate::layer::entry::{DEEPEST, Timestamp};

/// The most directories held open on the way to the current one.
const MOST_OPEN: usize = 64;

/// What is known of a directory.
pub(super) struct Node {
    /// Whether an entry of this layer made it or lies in it; others are only passed through.
    pub own: bool,
    /// Whether it hides what the layers below have here (in an overlay).
    pub opaque: bool,
    /// To be set when nothing changes any more.
    pub mtime: Timestamp,
    /// As `mtime`: until then, what is made in it would inherit from it.
    pub default_acl: Option<Vec<u8>>,
    pub children: BTreeMap<Box<[u8]>, Child>,
}

/// What is known of a name in a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// A directory, with its number.
    Dir(usize),
    /// Something else of this layer; noted only where a tree is changed in place.
    Own,
    /// A file of the layers below that this layer links to.
    Copied,
}

impl Node {
    pub fn new(mtime: Timestamp) -> Self {
        Self {
            own: false,
            opaque: false,
            mtime,
            default_acl: None,
            children: BTreeMap::new(),
        }
    }

    /// The known directories in it.
    pub fn dirs(&self) -> Numbered {
        let dirs = self
            .children
            .iter()
            .filter_map(|(name, child)| match child {
                Child::Dir(number) => Some((name.clone(), *number)),
                _ => None,
            });
        dirs.collect()
    }
}

struct Level {
    name: Box<[u8]>,
    /// `None` where the levels below are too many.
    fd: Option<OwnedFd>,
    number: usize,
}

/// The current directory, the way to it, and all that is known.
pub(super) struct Dirs {
    root: OwnedFd,
    levels: Vec<Level>,
    nodes: Vec<Node>,
}

impl Dirs {
    pub fn new(root: OwnedFd, node: Node) -> Self {
        Self {
            root,
            levels: Vec::new(),
            nodes: vec![node],
        }
    }

    /// The current directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // `truncate` and `push` see to it that the last one is open.
        let last = self.levels.last().and_then(|level| level.fd.as_ref());
        last.unwrap_or(&self.root).as_fd()
    }

    pub fn node(&self) -> &Node {
        &self.nodes[self.number()]
    }

    pub fn node_mut(&mut self) -> &mut Node {
        let number = self.number();
        &mut self.nodes[number]
    }

    pub fn numbered(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    fn number(&self) -> usize {
        self.levels.last().map_or(0, |level| level.number)
    }

    pub fn is_root(&self) -> bool {
        self.levels.is_empty()
    }

    /// The names from the root to the current directory.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.levels.iter().map(|level| &*level.name)
    }

    /// Whether what the layers below have here is hidden.
    pub fn is_hidden(&self) -> bool {
        let mut numbers = self.levels.iter().map(|level| level.number);
        numbers.any(|number| self.nodes[number].opaque)
    }

    /// Opens a directory here, never through a link.
    pub fn open(&self, name: &[u8]) -> rustix::io::Result<OwnedFd> {
        open_dir(self.fd(), name)
    }

    /// Notes a directory here.
    pub fn add(&mut self, name: &[u8], node: Node) {
        let child = Child::Dir(self.nodes.len());
        self.nodes.push(node);
        self.node_mut().children.insert(name.into(), child);
    }

    /// Goes into a noted directory.
    pub fn push(&mut self, name: &[u8], fd: OwnedFd) -> Result<(), Fault> {
        let Some(Child::Dir(number)) = self.node().children.get(name).copied() else {
            return Ok(());
        };
        if self.levels.len() == DEEPEST {
            return Err(Refusal::Depth.into());
        }
        self.levels.push(Level {
            name: name.into(),
            fd: Some(fd),
            number,
        });
        if let Some(far) = self.levels.len().checked_sub(MOST_OPEN) {
            self.levels[far].fd = None;
        }
        Ok(())
    }

    /// Goes back to as many levels below the root.
    pub fn truncate(&mut self, depth: usize) -> Result<(), Fault> {
        self.levels.truncate(depth);
        let is_open = |level: &Level| level.fd.is_some();
        let Some(last) = self.levels.len().checked_sub(1) else {
            return Ok(());
        };
        if is_open(&self.levels[last]) {
            return Ok(());
        }
        let open = self.levels.iter().rposition(is_open);
        let mut fd = None;
        for level in open.map_or(0, |open| open + 1)..=last {
            let above = match &fd {
                Some(fd) => fd,
                None => open
                    .and_then(|open| self.levels[open].fd.as_ref())
                    .unwrap_or(&self.root),
            };
            let opened = open_dir(above.as_fd(), &self.levels[level].name);
            fd = Some(opened.map_err(failed("open the directory of"))?);
        }
        self.levels[last].fd = fd;
        Ok(())
    }

    pub fn up(&mut self) -> Result<(), Fault> {
        self.truncate(self.levels.len().saturating_sub(1))
    }

    /// How many of the names are the way to the current directory already.
    pub fn common<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> usize {
        let pairs = self.levels.iter().zip(names);
        pairs
            .take_while(|(level, name)| *level.name == **name)
            .count()
    }

    /// Notes that something of this layer is in the current directory.
    pub fn mark_own(&mut self) {
        for level in self.levels.iter().rev() {
            let node = &mut self.nodes[level.number];
            if std::mem::replace(&mut node.own, true) {
                break;
            }
        }
    }

    /// Calls `visit` with the current directory, then with each that it names in turn. Few
    /// directories are open at once, however deep they lie.
    pub fn walk(
        &mut self,
        mut visit: impl FnMut(BorrowedFd<'_>, usize, &mut [Node]) -> Result<Numbered, Fault>,
    ) -> Result<(), Fault> {
        const OPEN: &str = "open a directory in";
        let mut here = rustix::io::dup(self.fd()).map_err(failed(OPEN))?;
        let mut ways = vec![visit(here.as_fd(), self.number(), &mut self.nodes)?];
        while let Some(rest) = ways.last_mut() {
            if let Some((name, number)) = rest.pop() {
                here = open_dir(here.as_fd(), &name).map_err(failed(OPEN))?;
                ways.push(visit(here.as_fd(), number, &mut self.nodes)?);
            } else {
                ways.pop();
                if !ways.is_empty() {
                    // Nobody moves directories here meanwhile, so this is where it came from.
                    here = open_dir(here.as_fd(), b"..").map_err(failed(OPEN))?;
                }
            }
        }
        Ok(())
    }
}

/// Names of directories, with the numbers of their nodes.
pub(super) type Numbered = Vec<(Box<[u8]>, usize)>;

/// Opens a directory by its name, never through a link.
pub(super) fn open_dir(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}
