//! The root file system: mounting it, and making it the root.

use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use image_format::snapshot::RootMount;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, UnmountFlags};

use super::failure::{During, Failure, Step};
use super::tree::Tree;

/// A root file system, opened, so that what is mounted where its directories are changes nothing.
pub(super) struct Root {
    /// What takes what is written, for the words of an error.
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Bind { place: OwnedFd, tree: Tree },
    Overlay { overlay: Overlay, user_xattr: bool },
}

impl Root {
    /// Opens the directories that `root` names, and its places to mount on if something will be.
    pub fn open(root: &RootMount, mounted_on: bool) -> Result<Self, Failure> {
        match root {
            RootMount::Bind { path } => Ok(Self {
                path: path.clone(),
                kind: Kind::Bind {
                    place: directory(path).during_at(Step::Root, path)?,
                    tree: Tree::of_path(path).during_at(Step::Root, path)?,
                },
            }),
            RootMount::Overlay {
                base,
                lowers,
                places,
                upper,
                work,
                user_xattr,
            } => {
                let places = places.as_ref().filter(|_| mounted_on);
                let lowers = lowers.iter().chain(places);
                Ok(Self {
                    path: upper.clone(),
                    kind: Kind::Overlay {
                        overlay: Overlay::open(base, lowers, upper, work)?,
                        user_xattr: *user_xattr,
                    },
                })
            }
        }
    }

    /// The directory of the host that takes what is written, and is mounted on.
    pub fn place(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Bind { place, .. } => place.as_fd(),
            Kind::Overlay { overlay, .. } => overlay.upper.as_fd(),
        }
    }

    /// Mounts it there, and gives back its own directory.
    ///
    /// Device files are inert in it, whoever made them: no cgroup keeps a container of the
    /// machine's root from making one for a disk.
    pub fn mount(self, volatile: bool) -> Result<OwnedFd, Failure> {
        let mounted = match self.kind {
            Kind::Bind { place, tree } => tree
                .restrict(MountAttrFlags::MOUNT_ATTR_NODEV)
                .and_then(|()| tree.attach(place))
                .map(|()| tree.into_fd()),
            Kind::Overlay {
                overlay,
                user_xattr,
            } => overlay.mount(user_xattr, volatile),
        };
        mounted.during_at(Step::Root, &self.path)
    }
}

/// Makes `root` the root of this process and leaves nothing of the host's reachable.
pub(super) fn enter(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::process::fchdir(root)?;
    // The old root ends up on top of the new one, where it is taken off (pivot_root(2)).
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

fn directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// An overlay's directories, open, so that neither the length of their paths nor what is in them
/// matters: the kernel takes 255 bytes a value, and gives a meaning to colons and commas. What the
/// container reads in its `/proc/self/mountinfo` then names nothing of the host either.
pub(super) struct Overlay {
    lowers: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
}

impl Overlay {
    fn open<'a>(
        base: &Path,
        lowers: impl IntoIterator<Item = &'a PathBuf>,
        upper: &Path,
        work: &Path,
    ) -> Result<Self, Failure> {
        let base = directory(base).during_at(Step::Root, base)?;
        let open = |path: &PathBuf| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(&base, path, flags, Mode::empty()).during_at(Step::Root, path)
        };
        Ok(Self {
            lowers: lowers.into_iter().map(open).collect::<Result<_, _>>()?,
            upper: directory(upper).during_at(Step::Root, upper)?,
            work: directory(work).during_at(Step::Root, work)?,
        })
    }

    fn mount(&self, user_xattr: bool, volatile: bool) -> rustix::io::Result<OwnedFd> {
        match self.modern(user_xattr, volatile) {
            // A kernel before 6.8, which knows no `lowerdir+`.
            Err(Errno::INVAL) => self.classic(user_xattr, volatile),
            mounted => mounted,
        }
    }

    /// Each layer by itself, so that their number is the kernel's limit alone.
    fn modern(&self, user_xattr: bool, volatile: bool) -> rustix::io::Result<OwnedFd> {
        let lowers: Vec<String> = self.lowers.iter().map(link).collect();
        let (upper, work) = (link(&self.upper), link(&self.work));
        let mut options: Vec<(&str, Option<&str>)> = lowers
            .iter()
            .map(|lower| ("lowerdir+", Some(lower.as_str())))
            .collect();
        options.push(("upperdir", Some(&upper)));
        options.push(("workdir", Some(&work)));
        for feature in features(user_xattr, volatile) {
            options.push(feature);
        }
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        let tree = Tree::filesystem("overlay", &options, attributes)?;
        tree.attach(&self.upper)?;
        Ok(tree.into_fd())
    }

    /// All in one page, which is enough for some two hundred layers.
    fn classic(&self, user_xattr: bool, volatile: bool) -> rustix::io::Result<OwnedFd> {
        let lowers: Vec<String> = self.lowers.iter().map(link).collect();
        let mut data = format!(
            "lowerdir={},upperdir={},workdir={}",
            lowers.join(":"),
            link(&self.upper),
            link(&self.work)
        );
        for (name, value) in features(user_xattr, volatile) {
            // Writing to a string cannot fail.
            let _ = match value {
                Some(value) => write!(data, ",{name}={value}"),
                None => write!(data, ",{name}"),
            };
        }
        let data = std::ffi::CString::new(data).map_err(|_| Errno::INVAL)?;
        let place = link(&self.upper);
        rustix::mount::mount(
            "overlay",
            &place,
            "overlay",
            MountFlags::NODEV,
            Some(&*data),
        )?;
        // `..` and back would not do: the descriptor leads below the mount, the path onto it.
        let path = rustix::fs::readlinkat(CWD, &place, Vec::new())?;
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
    }
}

fn features(
    user_xattr: bool,
    volatile: bool,
) -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let marks: &'static [(&'static str, Option<&'static str>)] = if user_xattr {
        // These turn the two others off, and allow nobody to say so once more.
        &[("userxattr", None), ("index", Some("off"))]
    } else {
        &[
            ("redirect_dir", Some("nofollow")),
            ("metacopy", Some("off")),
            ("index", Some("off")),
        ]
    };
    let volatile = volatile.then_some(("volatile", None));
    marks.iter().copied().chain(volatile)
}

fn link(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::MountPropagationFlags;
    use rustix::thread::UnshareFlags;

    /// In a thread whose mounts are its own.
    fn apart(test: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                crate::sys::unshare(UnshareFlags::NEWNS).unwrap();
                let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
                rustix::mount::mount_change("/", private).unwrap();
                test();
            });
            thread.join().unwrap();
        });
    }

    type Way = fn(&Overlay) -> rustix::io::Result<OwnedFd>;

    const WAYS: [Way; 2] = [
        |overlay| overlay.modern(false, true),
        |overlay| overlay.classic(false, true),
    ];

    /// Mounted either way, what is read and where what is written goes is the same.
    #[test]
    fn old_kernels_mount_as_new_ones_do() {
        for way in WAYS {
            let place = tempfile::tempdir().unwrap();
            let at = |name: &str| place.path().join(name);
            for name in ["one: a, b", "two", "upper", "work"] {
                std::fs::create_dir(at(name)).unwrap();
            }
            std::fs::write(at("one: a, b").join("file"), "upper layer").unwrap();
            std::fs::write(at("two").join("file"), "lower layer").unwrap();
            let lowers = ["one: a, b".into(), "two".into()];
            apart(|| {
                let overlay =
                    Overlay::open(place.path(), &lowers, &at("upper"), &at("work")).unwrap();
                let root = way(&overlay).unwrap();
                let path = PathBuf::from(link(&root));
                assert_eq!(
                    std::fs::read_to_string(path.join("file")).unwrap(),
                    "upper layer"
                );
                std::fs::write(path.join("new"), "").unwrap();
            });
            assert!(at("upper").join("new").exists());
        }
    }
    /// Many kernels are built to follow a directory's mark that it is another one, also where no
    /// such marks are made.
    #[test]
    fn a_directory_never_shows_another_one() {
        for way in WAYS {
            let place = tempfile::tempdir().unwrap();
            let at = |name: &str| place.path().join(name);
            for name in ["one/shown", "two/hidden", "upper", "work"] {
                std::fs::create_dir_all(at(name)).unwrap();
            }
            std::fs::write(at("two/hidden/file"), "").unwrap();
            let (name, flags) = ("trusted.overlay.redirect", rustix::fs::XattrFlags::empty());
            rustix::fs::setxattr(at("one/shown"), name, b"/hidden", flags).unwrap();
            apart(|| {
                let lowers = ["one".into(), "two".into()];
                let overlay =
                    Overlay::open(place.path(), &lowers, &at("upper"), &at("work")).unwrap();
                let root = way(&overlay).unwrap();
                let path = PathBuf::from(link(&root));
                assert!(path.join("hidden/file").exists());
                assert!(!path.join("shown/file").exists());
            });
        }
    }
}
