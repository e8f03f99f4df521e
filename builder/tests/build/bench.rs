//! A store with a base image of busybox, and a context.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use builder::executor::SandboxExecutor;
use builder::progress::{Event, Outcome, Progress};
use builder::remote::Offline;
use builder::request::{DockerfileText, RunNetwork};
use builder::{Backend, BuildError, BuildRequest, Built, build};
use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use image_format::layer::{Entry, Kind, LayerReader, LayerWriter, Meta, Timestamp};
use image_format::layout::{Layer, Store, remove_tree, write_image};
use image_format::snapshot::{Snapshotter, detect};

pub struct Bench {
    dir: tempfile::TempDir,
    pub request: BuildRequest,
    pub heard: Heard,
    snapshotter: Box<dyn Snapshotter>,
}

/// What a build told: its output, and the steps that were cached.
#[derive(Default)]
pub struct Heard {
    pub output: Mutex<Vec<u8>>,
    pub cached: Mutex<Vec<usize>>,
}

impl Progress for Heard {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Output { bytes, .. } => self.output.lock().unwrap().extend_from_slice(bytes),
            Event::Finished {
                step,
                outcome: Outcome::Cached(_),
            } => self.cached.lock().unwrap().push(step),
            _ => {}
        }
    }
}

impl Bench {
    pub fn new(dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        add_base(&store);
        let context = dir.path().join("context");
        fs::create_dir(&context).unwrap();
        Self {
            snapshotter: detect(&store, None).unwrap(),
            heard: Heard::default(),
            request: BuildRequest {
                network: RunNetwork::None,
                tags: vec!["out".parse().unwrap()],
                jobs: NonZeroUsize::new(2).unwrap(),
                ..BuildRequest::new(store, context, DockerfileText::new(dockerfile))
            },
            dir,
        }
    }

    pub fn build(&self) -> Result<Built, BuildError> {
        let backend = Backend {
            snapshotter: &*self.snapshotter,
            executor: &SandboxExecutor,
            progress: &self.heard,
            remote: &Offline,
        };
        build(&self.request, backend)
    }

    /// Removes all that is unpacked, as if the machine had been started again.
    pub fn forget_snapshots(&mut self) {
        let snapshots = self.request.store.root().join("snapshots/v1");
        remove_tree(&snapshots).unwrap();
        fs::create_dir(&snapshots).unwrap();
        self.snapshotter = detect(&self.request.store, None).unwrap();
    }

    /// A file of the context.
    pub fn file(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join("context").join(name), text).unwrap();
    }

    pub fn output(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.heard.output.lock().unwrap())).unwrap()
    }

    pub fn cached(&self) -> Vec<usize> {
        std::mem::take(&mut self.heard.cached.lock().unwrap())
    }

    pub fn config(&self) -> ImageConfig {
        self.request.store.resolve("out").unwrap().config
    }

    /// The paths in a layer, `/` before each, and what files hold.
    pub fn layer(&self, number: usize) -> BTreeMap<String, String> {
        let layer = self.config().rootfs.diff_ids[number];
        let blob = self.request.store.open_blob(&layer).unwrap();
        let mut reader = LayerReader::new(blob);
        let mut found = BTreeMap::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            found.insert(format!("/{}", entry.path.display()), text);
        }
        found
    }

    /// What lies in the store's directory of this process.
    pub fn left_behind(&self) -> usize {
        let tmp = self.request.store.root().join("tmp");
        let process = fs::read_dir(tmp).unwrap().next().unwrap().unwrap();
        fs::read_dir(process.path()).unwrap().count()
    }
}

fn add_base(store: &Store) {
    let busybox = fs::read("/bin/busybox").expect("busybox-static: tests/install installs it");
    let epoch = Timestamp::DEFAULT_EPOCH;
    let mut layer = LayerWriter::new(store.blob_writer().unwrap(), epoch);
    let mut add = |path: &str, kind: Kind, mode: u32, data: &[u8]| {
        let entry = Entry {
            path: path.into(),
            kind,
            meta: Meta {
                mode,
                mtime: epoch,
                ..Meta::default()
            },
        };
        layer.append(&entry, data).unwrap();
    };
    let file = |data: &[u8]| Kind::File {
        size: data.len() as u64,
    };
    let passwd = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home:/bin/sh\n";
    add("", Kind::Dir, 0o755, &[]);
    add("bin", Kind::Dir, 0o755, &[]);
    add("bin/busybox", file(&busybox), 0o755, &busybox);
    for applet in ["cat", "chown", "ls", "rm", "sh", "sleep", "touch"] {
        let link = Kind::Symlink(b"busybox".to_vec());
        add(&format!("bin/{applet}"), link, 0o777, &[]);
    }
    add("etc", Kind::Dir, 0o755, &[]);
    add("etc/passwd", file(passwd), 0o644, passwd);
    add("home", Kind::Dir, 0o777, &[]);
    let (diff_id, size) = layer.finish().unwrap().finish().unwrap();
    let mut config = ImageConfig::scratch(&Platform::host());
    config.rootfs.diff_ids.push(diff_id);
    let layer = Layer { diff_id, size }.descriptor();
    let base = write_image(store, &config, vec![layer]).unwrap();
    store.tag(&"base".parse().unwrap(), &base).unwrap();
}
