//! What comes of layers is looked at through real mounts of overlayfs, and compared with the same
//! layers unpacked in place and with their [`Tree`]: all three have to agree.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::layer::index::LayerIndex;
use crate::layer::tree::{Place, Tree};
use crate::layer::{LayerWriter, Timestamp};

mod corpus;
mod hostile;
mod kinds;
mod laws;
mod rootdir;

/// A stack of layers in all its forms.
struct Stack {
    tmp: tempfile::TempDir,
    tars: Vec<Vec<u8>>,
    layers: Vec<PathBuf>,
    mounted: Option<Child>,
}

impl Stack {
    /// Unpacks the layers, base first, in place and for an overlay.
    fn new(tars: Vec<Vec<u8>>, xattrs: XattrNamespace) -> Result<Self, ApplyError> {
        let tmp = tempfile::tempdir().unwrap();
        let in_place = tmp.path().join("in-place");
        new_root(&in_place);
        let victim = tmp.path().join("victim");
        std::fs::create_dir(&victim).unwrap();
        std::fs::write(victim.join("hello"), "hello world").unwrap();
        let mut layers: Vec<PathBuf> = Vec::new();
        let mut outcome = Ok(());
        for (number, tar) in tars.iter().enumerate() {
            let dir = tmp.path().join(format!("layer-{number}"));
            std::fs::create_dir(&dir).unwrap();
            let lowers: Vec<_> = layers.iter().rev().cloned().collect();
            let lowers = &lowers;
            let applied = apply(tar.as_slice(), &dir, Target::Overlay { lowers, xattrs });
            let same = apply(tar.as_slice(), &in_place, Target::InPlace);
            assert_eq!(
                applied.as_ref().map_err(ToString::to_string),
                same.as_ref().map_err(ToString::to_string),
                "the targets disagree on an error"
            );
            outcome = applied;
            if outcome.is_err() {
                break;
            }
            layers.push(dir);
        }
        let hello = std::fs::read(victim.join("hello")).unwrap();
        assert_eq!(hello, b"hello world", "something outside was touched");
        let beside = std::fs::read_dir(tmp.path()).unwrap().count();
        assert!(beside <= tars.len() + 2, "something was made outside");
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1);
        let read = |tar: &Vec<u8>| LayerIndex::read(tar.as_slice());
        let indexes: Result<Vec<_>, _> = tars.iter().map(read).collect();
        let tree = indexes.map(Tree::new);
        assert_eq!(
            outcome.is_ok(),
            matches!(tree, Ok(Ok(_))),
            "the tree disagrees on an error: {outcome:?}"
        );
        outcome?;
        let mounted = mount(tmp.path(), &layers, xattrs);
        Ok(Self {
            tmp,
            tars,
            layers,
            mounted: Some(mounted),
        })
    }

    fn in_place(&self) -> PathBuf {
        self.tmp.path().join("in-place")
    }

    /// The overlay, seen from outside of its mount namespace.
    fn overlay(&self) -> PathBuf {
        let process = self.mounted.as_ref().unwrap().id();
        let merged = self.tmp.path().join("merged");
        let merged = merged.strip_prefix("/").unwrap();
        Path::new(&format!("/proc/{process}/root")).join(merged)
    }

    fn tree(&self) -> Tree {
        let indexes = self.tars.iter().map(|tar| {
            let index = LayerIndex::read(tar.as_slice()).unwrap();
            let bytes = index.as_bytes().to_vec();
            let again = LayerIndex::from_bytes(bytes).unwrap();
            assert_eq!(index, again);
            again
        });
        Tree::new(indexes.collect()).unwrap()
    }

    /// The tree that all the forms agree on.
    #[track_caller]
    fn agreed(&self) -> BTreeMap<PathBuf, Seen> {
        let in_place = look(&self.in_place());
        assert_same(&in_place, &look(&self.overlay()), "in place", "overlay");
        let tree = look_at_tree(&self.tree(), &self.tars);
        assert_same(&in_place, &tree, "in place", "tree of listings");
        in_place
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(mut process) = self.mounted.take() {
            drop(process.stdin.take());
            process.wait().unwrap();
        }
    }
}

/// A root as apply leaves one that no entry describes.
fn new_root(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    let fd = std::fs::File::open(dir).unwrap();
    attributes::set_dir(&fd, &Meta::implied_dir(), true).unwrap();
    attributes::set_mtime(&fd, Timestamp::DEFAULT_EPOCH).unwrap();
}

/// Mounts layers at `merged` in a mount namespace that lives until the process's input ends.
fn mount(tmp: &Path, layers: &[PathBuf], xattrs: XattrNamespace) -> Child {
    // Two lower directories are the least that overlayfs takes.
    let below = tmp.join("below");
    std::fs::create_dir(&below).unwrap();
    std::fs::create_dir(tmp.join("merged")).unwrap();
    let all: Vec<_> = layers.iter().rev().chain([&below]).collect();
    let all: Vec<_> = all.iter().map(|dir| dir.to_str().unwrap()).collect();
    let option = match xattrs {
        XattrNamespace::Trusted => "",
        XattrNamespace::User => ",userxattr",
    };
    let mut process = Command::new("unshare")
        .args(["--mount", "sh", "-ec"])
        .arg("mount -t overlay overlay -o \"$1\" \"$2\"; echo mounted; read -r end || :")
        .arg("sh")
        .arg(format!("ro,lowerdir={}{option}", all.join(":")))
        .arg(tmp.join("merged"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "mounted\n", "no overlay could be mounted");
    process
}

/// All that a layer can say of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: Kind,
    meta: Meta,
    content: Vec<u8>,
    /// The first of its names.
    first: PathBuf,
}

#[track_caller]
fn assert_same<T: PartialEq + std::fmt::Debug>(
    a: &BTreeMap<PathBuf, T>,
    b: &BTreeMap<PathBuf, T>,
    a_name: &str,
    b_name: &str,
) {
    for path in a.keys().chain(b.keys()) {
        let (a, b) = (a.get(path), b.get(path));
        assert!(
            a == b,
            "{}: {a_name}: {a:?}, {b_name}: {b:?}",
            path.display()
        );
    }
}

fn look(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let root = rustix::fs::open(root, flags, Mode::empty()).unwrap();
    let stat = rustix::fs::fstat(&root).unwrap();
    let mut all = BTreeMap::new();
    let seen = Seen {
        kind: Kind::Dir,
        meta: attributes::of_file(&root, &stat).unwrap(),
        content: Vec::new(),
        first: PathBuf::new(),
    };
    all.insert(PathBuf::new(), seen);
    look_into(&root, Path::new(""), &mut all, &mut BTreeMap::new());
    all
}

fn look_into(
    dir: &OwnedFd,
    path: &Path,
    all: &mut BTreeMap<PathBuf, Seen>,
    inodes: &mut BTreeMap<u64, PathBuf>,
) {
    use std::os::fd::AsFd;
    let mut names = remove::list(dir.as_fd()).unwrap();
    names.sort();
    for (name, is_dir) in names {
        let path = path.join(OsStr::from_bytes(&name));
        let found = lowers::Found::at(rustix::io::dup(dir).unwrap(), &name);
        let kind = found.kind().unwrap().unwrap_or(Kind::Dir);
        let mut content = Vec::new();
        let mut reader = found.content(&kind).unwrap();
        reader.read_to_end(&mut content).unwrap();
        let first = inodes.entry(found.stat.st_ino).or_insert(path.clone());
        let seen = Seen {
            kind,
            meta: found.meta().unwrap(),
            content,
            first: first.clone(),
        };
        all.insert(path.clone(), seen);
        if is_dir {
            let fd = dirs::open_dir(dir.as_fd(), &name).unwrap();
            look_into(&fd, &path, all, inodes);
        }
    }
}

fn look_at_tree(tree: &Tree, tars: &[Vec<u8>]) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut nodes = vec![tree.lookup(Path::new("")).unwrap().unwrap()];
    while let Some(node) = nodes.pop() {
        let mut children: Vec<_> = tree.children(&node).collect();
        children.reverse();
        nodes.extend(children);
        assert_eq!(tree.lookup(&node.path).unwrap().as_ref(), Some(&node));
        let mut content = Vec::new();
        if let (Kind::File { .. }, Some(place)) = (&node.kind, node.place) {
            content = content_at(place, tars);
        }
        let first = inodes.entry(node.inode).or_insert(node.path.clone());
        let mut meta = node.meta;
        meta.xattrs.retain(|name, _| whiteout::is_carried(name));
        let seen = Seen {
            kind: node.kind,
            meta,
            content,
            first: first.clone(),
        };
        all.insert(node.path, seen);
    }
    all
}

fn content_at(place: Place, tars: &[Vec<u8>]) -> Vec<u8> {
    let tar = &tars[place.layer][place.header_offset as usize..];
    let mut reader = LayerReader::new(tar);
    reader.next_entry().unwrap().unwrap();
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    content
}

/// A tar of entries in any order, hostile ones, too: written one by one.
struct Tar(Vec<u8>);

impl Tar {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn add(mut self, path: &[u8], kind: Kind, meta: Meta, content: &[u8]) -> Self {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap();
        let epoch = Timestamp::from_secs(1 << 40);
        let mut writer = LayerWriter::new(Vec::new(), epoch);
        let path: PathBuf = OsStr::from_bytes(path).into();
        match whiteout::classify(name) {
            Spelling::Whiteout(hidden) => {
                let path = path.with_file_name(OsStr::from_bytes(hidden));
                writer.whiteout(&path).unwrap();
            }
            Spelling::Opaque => writer.opaque(path.parent().unwrap()).unwrap(),
            _ => writer.append(&Entry { path, kind, meta }, content).unwrap(),
        }
        let one = writer.finish().unwrap();
        self.0.extend_from_slice(&one[..one.len() - 1024]);
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        let size = content.len() as u64;
        let meta = with_mode(0o644);
        self.add(
            path.as_bytes(),
            Kind::File { size },
            meta,
            content.as_bytes(),
        )
    }

    fn dir(self, path: &str) -> Self {
        self.add(path.as_bytes(), Kind::Dir, with_mode(0o750), b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        let kind = Kind::Symlink(target.as_bytes().to_vec());
        self.add(path.as_bytes(), kind, with_mode(0o777), b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.add(
            path.as_bytes(),
            Kind::Hardlink(target.into()),
            with_mode(0o644),
            b"",
        )
    }

    /// A whiteout, given by its name with the prefix.
    fn marker(self, path: &str) -> Self {
        self.add(
            path.as_bytes(),
            Kind::File { size: 0 },
            Meta::default(),
            b"",
        )
    }

    fn end(mut self) -> Vec<u8> {
        self.0.write_all(&[0; 1024]).unwrap();
        self.0
    }
}

fn with_mode(mode: u32) -> Meta {
    Meta {
        mode,
        mtime: Timestamp::from_secs(1_000_000_000),
        ..Meta::default()
    }
}

/// The paths of a tree, directories with a slash.
fn paths(all: &BTreeMap<PathBuf, Seen>) -> Vec<String> {
    let shown = |(path, seen): (&PathBuf, &Seen)| {
        let slash = if seen.kind == Kind::Dir { "/" } else { "" };
        format!("{}{slash}", path.display())
    };
    all.iter().skip(1).map(shown).collect()
}

fn xattr(name: &str, value: &[u8]) -> (OsString, Vec<u8>) {
    (name.into(), value.to_vec())
}
