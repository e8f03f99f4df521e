//! A store with the bases of the cases in it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use builder::executor::SandboxExecutor;
use builder::progress::Silent;
use builder::remote::Offline;
use builder::request::{DockerfileText, RunNetwork};
use builder::{Backend, BuildError, BuildRequest};
use image_format::archive::{Source, load};
use image_format::config::{History, ImageConfig};
use image_format::descriptor::Platform;
use image_format::import::{Times, import};
use image_format::layer::Timestamp;
use image_format::layout::{Image, Store, write_image};
use image_format::snapshot::detect;

use crate::case::Case;
use crate::nobody::Nobody;

/// A store with the bases of the cases in it.
pub struct Bench {
    pub store: Store,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// With the busybox base.
    pub fn new(corpora: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("base");
        let made = Command::new("python3")
            .arg(corpora.join("mkbase.py"))
            .arg(&layout)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let store = Store::open(&dir.path().join("store")).unwrap();
        let loaded = load(&store, Source::Directory(layout)).unwrap();
        // The names that the cases come to by their build arguments.
        for name in ["busybox", "busybox:1.31", "alpine:3.9"] {
            let name = name.parse().unwrap();
            store.tag(&name, &loaded[0].descriptor).unwrap();
        }
        Self { store, _dir: dir }
    }

    /// Adds the debian base, from the tar of its root file system.
    pub fn add_debian(&self, tar: &Path) {
        let tar = std::fs::File::open(tar).unwrap();
        let layer = import(&self.store, tar, Times::UpTo(Timestamp::DEFAULT_EPOCH)).unwrap();
        let mut config = ImageConfig::scratch(&Platform::host());
        config.rootfs.diff_ids.push(layer.diff_id);
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        config.config.env.push(path.to_owned());
        config.history.push(History {
            created_by: Some("debian rootfs".to_owned()),
            ..History::default()
        });
        config.config.cmd = Some(vec!["bash".to_owned()]);
        let image = write_image(&self.store, &config, vec![layer.descriptor()]).unwrap();
        for name in ["debian", "debian:9.11"] {
            self.store.tag(&name.parse().unwrap(), &image).unwrap();
        }
    }

    /// The image of a case; with nobody to run or unpack anything where there is nothing to run.
    pub fn build(
        &self,
        case: &Case,
        context: &Path,
        dockerfile: &Path,
    ) -> Result<Image, BuildError> {
        let text = DockerfileText {
            name: "Dockerfile".to_owned(),
            path: Some(dockerfile.to_owned()),
            text: case.text().to_owned(),
        };
        let request = BuildRequest {
            build_args: case.build_args(),
            target: case.target(),
            network: RunNetwork::None,
            jobs: NonZeroUsize::new(2).unwrap(),
            ..BuildRequest::new(self.store.clone(), context.to_owned(), text)
        };
        let built = if case.runs() {
            let backend = Backend {
                snapshotter: &*detect(&self.store, None).unwrap(),
                executor: &SandboxExecutor,
                progress: &Silent,
                remote: &Offline,
            };
            builder::build(&request, backend)?
        } else {
            let backend = Backend {
                snapshotter: &Nobody,
                executor: &Nobody,
                progress: &Silent,
                remote: &Offline,
            };
            builder::build(&request, backend)?
        };
        Ok(self.store.image(&built.manifest).unwrap())
    }
}
