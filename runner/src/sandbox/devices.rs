//! `/dev`: the few devices that every program may use, and none of the machine's.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::MountAttrFlags;

use super::failure::{During, Failure, Step};
use super::target::Targets;
use super::tree::{NO_PROGRAMS, Tree};
use crate::terminal::{self, WindowSize};

const DEVICES: &[&str] = &["full", "null", "random", "tty", "urandom", "zero"];

const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// What is open of the sandbox's devices.
pub(super) struct Devices {
    /// For a standard stream that leads nowhere.
    pub null: OwnedFd,
    pub terminal: Option<Terminal>,
}

/// The payload's terminal.
pub(super) struct Terminal {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// Mounts `/dev` and what is in it; with a size, opens a terminal too and makes it the console.
pub(super) fn mount(
    targets: &mut Targets,
    terminal: Option<WindowSize>,
    shm_size: u64,
) -> std::result::Result<Devices, Failure> {
    let place = targets.top("dev")?;
    let options = [("mode", Some("755")), ("size", Some("64m"))];
    let dev = Tree::filesystem("tmpfs", &options, NO_PROGRAMS)
        .and_then(|dev| {
            dev.attach(&place)?;
            Ok(dev)
        })
        .during(Step::Dev)?;
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        device(&dev, name, &path).during_at(Step::Dev, &path)?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(*target, &dev, *name)
            .during_at(Step::Dev, Path::new("/dev").join(name))?;
    }
    let pts = terminals(&dev).during_at(Step::Dev, "/dev/pts")?;
    let size = shm_size.to_string();
    directory(&dev, "shm")
        .and_then(|place| {
            let options = [("mode", Some("1777")), ("size", Some(size.as_str()))];
            Tree::filesystem("tmpfs", &options, NO_PROGRAMS)?.attach(place)
        })
        .during_at(Step::Dev, "/dev/shm")?;
    directory(&dev, "mqueue")
        .and_then(|place| match Tree::filesystem("mqueue", &[], NO_PROGRAMS) {
            // A kernel without message queues.
            Err(Errno::NODEV) => Ok(()),
            made => made?.attach(place),
        })
        .during_at(Step::Dev, "/dev/mqueue")?;

    let null = rustix::fs::openat(&dev, "null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .during_at(Step::Dev, "/dev/null")?;
    let terminal = terminal
        .map(|size| open_terminal(&dev, &pts, size))
        .transpose()
        .during(Step::Terminal)?;
    Ok(Devices { null, terminal })
}

/// Opens a terminal, and makes it the console.
fn open_terminal(dev: &Tree, pts: &Tree, size: WindowSize) -> Result<Terminal> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let ptmx = rustix::fs::openat(pts, "ptmx", flags, Mode::empty())?;
    let (master, slave) = terminal::open_pty(ptmx, size)?;
    let console = file(dev, "console")?;
    Tree::of(&slave)?.attach(console)?;
    Ok(Terminal { master, slave })
}

/// Shows one device of the host. Read-only, which does not hinder writing to the device, but keeps
/// a container of the machine's root from changing the mode of the host's own file.
fn device(dev: &Tree, name: &str, path: &Path) -> Result<()> {
    let tree = Tree::of_path(path)?;
    tree.restrict(MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    tree.attach(file(dev, name)?)
}

/// A new instance of the file system of pseudo-terminals; its root.
fn terminals(dev: &Tree) -> Result<Tree> {
    let place = directory(dev, "pts")?;
    let programs = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    // The group `tty` of nearly all images.
    let options = [
        ("ptmxmode", Some("666")),
        ("mode", Some("620")),
        ("gid", Some("5")),
    ];
    let tree = match Tree::filesystem("devpts", &options, programs) {
        // No such group in this user namespace.
        Err(Errno::INVAL) => Tree::filesystem("devpts", &options[..2], programs),
        made => made,
    }?;
    tree.attach(place)?;
    Ok(tree)
}

fn directory(dev: &Tree, name: &str) -> Result<OwnedFd> {
    rustix::fs::mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dev, name, flags, Mode::empty())
}

fn file(dev: &Tree, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o600))
}
