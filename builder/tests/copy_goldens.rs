//! Whole builds of the public cases that copy and configure only, against what BuildKit made.
//!
//! Nothing may be unpacked or run for them: whoever tries fails the build.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::cancel::Cancel;
use builder::executor::{Executor, ExecutorError, Ran, RunStep};
use builder::progress::{Output, Silent};
use builder::request::DockerfileText;
use builder::{Backend, BuildError, BuildRequest};
use image_format::archive::{Source, load};
use image_format::descriptor::Platform;
use image_format::digest::Digest;
use image_format::layer::compression::decompress;
use image_format::layer::index::LayerIndex;
use image_format::layer::tree::{Node, Place, Tree};
use image_format::layer::{Kind, LayerReader};
use image_format::layout::{Image, Store};
use image_format::snapshot::{
    Committed, LayerSource, Prepared, RootMount, SnapshotError, Snapshotter,
};
use serde_json::Value;

struct Nobody;

impl Executor for Nobody {
    fn run(
        &self,
        _: &RunStep,
        _: &Cancel,
        _: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<Ran, ExecutorError> {
        panic!("nothing is to be run");
    }
}

impl Snapshotter for Nobody {
    fn ensure(&self, _: &[LayerSource]) -> Result<(), SnapshotError> {
        panic!("nothing is to be unpacked");
    }

    fn prepare_in(&self, _: &Path, _: &[Digest]) -> Result<RootMount, SnapshotError> {
        panic!("nothing is to be unpacked");
    }

    fn prepare(&self, _: &[Digest]) -> Result<Prepared, SnapshotError> {
        panic!("nothing is to be unpacked");
    }

    fn commit(&self, _: Prepared, _: i64, _: &[PathBuf]) -> Result<Committed, SnapshotError> {
        panic!("nothing is to be unpacked");
    }
}

fn corpora() -> Option<PathBuf> {
    let dir = std::env::var_os("MKIMG_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
        PathBuf::from,
    );
    if !dir.is_dir() {
        println!(
            "no corpora at {}: the public cases were not run",
            dir.display()
        );
        return None;
    }
    Some(dir)
}

/// A store with the base of the cases in it.
struct Bench {
    store: Store,
    base: Image,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(corpora: &Path) -> Self {
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
        store
            .tag(&"busybox".parse().unwrap(), &loaded[0].descriptor)
            .unwrap();
        let base = store.resolve("busybox").unwrap();
        Self {
            store,
            base,
            _dir: dir,
        }
    }

    fn build(&self, case: &Value, context: &Path, dockerfile: &Path) -> Result<Image, BuildError> {
        let request = BuildRequest {
            store: self.store.clone(),
            context: context.to_owned(),
            dockerfile: DockerfileText {
                name: "Dockerfile".to_owned(),
                path: Some(dockerfile.to_owned()),
                text: text(case),
            },
            build_args: build_args(&case["build_args"]),
            target: None,
            no_cache: false,
            network: Default::default(),
            epoch: None,
            platform: Platform::host(),
            tags: Vec::new(),
            jobs: NonZeroUsize::new(2).unwrap(),
            cancel: Cancel::new(),
        };
        let backend = Backend {
            snapshotter: &Nobody,
            executor: &Nobody,
            progress: &Silent,
        };
        let built = builder::build(&request, backend)?;
        Ok(self.store.image(&built.manifest).unwrap())
    }

    fn blob(&self, image: &Image, layer: usize) -> Box<dyn Read + Send> {
        let digest = &image.manifest.layers[layer].digest;
        decompress(self.store.open_blob(digest).unwrap()).unwrap()
    }

    fn tree(&self, image: &Image) -> Tree {
        let layers = 0..image.manifest.layers.len();
        let indexes = layers.map(|layer| LayerIndex::read(self.blob(image, layer)).unwrap());
        Tree::new(indexes.collect()).unwrap()
    }

    fn content(&self, image: &Image, place: Place) -> Vec<u8> {
        let mut blob = self.blob(image, place.layer);
        let skipped = std::io::copy(
            &mut blob.by_ref().take(place.header_offset),
            &mut std::io::sink(),
        );
        assert_eq!(skipped.unwrap(), place.header_offset);
        let mut reader = LayerReader::new(blob);
        reader.next_entry().unwrap().unwrap();
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        content
    }

    /// What differs from the base, one line an entry; and nothing may be gone.
    fn difference(&self, image: &Image, on_base: bool, modes: u32) -> BTreeMap<String, String> {
        let tree = self.tree(image);
        let base = if on_base {
            self.tree(&self.base)
        } else {
            Tree::new(Vec::new()).unwrap()
        };
        let (mut seen, mut lines) = (0, BTreeMap::new());
        let mut ahead = vec![tree.lookup(Path::new("")).unwrap().unwrap()];
        while let Some(node) = ahead.pop() {
            ahead.extend(tree.children(&node));
            let below = base.lookup(&node.path).unwrap();
            seen += usize::from(below.is_some());
            let line = self.line(image, &node, modes);
            let before = below.map(|below| self.line(&self.base, &below, modes));
            if !node.path.as_os_str().is_empty() && before.as_ref() != Some(&line) {
                lines.insert(node.path.to_str().unwrap().to_owned(), line);
            }
        }
        let mut all = vec![base.lookup(Path::new("")).unwrap().unwrap()];
        let mut count = 0;
        while let Some(node) = all.pop() {
            all.extend(base.children(&node));
            count += 1;
        }
        assert_eq!(seen, count, "something of the base is gone");
        lines
    }

    fn line(&self, image: &Image, node: &Node, modes: u32) -> String {
        let meta = &node.meta;
        let what = match (&node.kind, node.place) {
            (Kind::File { size }, Some(place)) => {
                // Of the base's own files the place says enough.
                if place.layer < 1 && image.manifest.layers[0] == self.base.manifest.layers[0] {
                    return format!("base {place:?}");
                }
                let digest = Digest::of(&self.content(image, place)).hex();
                format!("file {size} {digest}")
            }
            (Kind::Dir, _) => "dir".to_owned(),
            (Kind::Symlink(target), _) => {
                return format!(
                    "symlink {} {}:{}",
                    String::from_utf8_lossy(target),
                    meta.uid,
                    meta.gid
                );
            }
            (kind, _) => format!("{kind:?}"),
        };
        format!("{what} {:o} {}:{}", meta.mode & modes, meta.uid, meta.gid)
    }
}

/// The lines of a golden, as [`Bench::difference`] has them.
fn golden_lines(golden: &Value, modes: u32) -> BTreeMap<String, String> {
    let Some(all) = golden["fs"].as_object() else {
        return BTreeMap::new();
    };
    let line = |entry: &Value| {
        let owner = format!("{}:{}", entry["uid"], entry["gid"]);
        let mode = u32::from_str_radix(entry["mode"].as_str().unwrap(), 8).unwrap() & modes;
        match entry["type"].as_str().unwrap() {
            "file" => format!(
                "file {} {} {mode:o} {owner}",
                entry["size"],
                entry["sha256"].as_str().unwrap()
            ),
            "symlink" => format!("symlink {} {owner}", entry["target"].as_str().unwrap()),
            kind => format!("{kind} {mode:o} {owner}"),
        }
    };
    all.iter()
        .map(|(path, entry)| (path.clone(), line(entry)))
        .collect()
}

fn text(case: &Value) -> String {
    case["dockerfile_text_offline"].as_str().unwrap().to_owned()
}

fn build_args(args: &Value) -> BTreeMap<String, String> {
    match args {
        Value::Object(all) => all
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        Value::Array(all) => all
            .iter()
            .filter_map(|arg| arg.as_str()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Whether a case copies, and needs nothing that is not there: no command, no other base.
fn is_copy_only(case: &Value, golden: &Value) -> bool {
    let text = text(case);
    let words = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_uppercase);
    let words: BTreeSet<String> = words.collect();
    let copies = ["COPY", "WORKDIR"].iter().any(|word| words.contains(*word));
    let more = [
        "RUN",
        "ADD",
        "VOLUME",
        "HEALTHCHECK",
        "ONBUILD",
        "SHELL",
        "STOPSIGNAL",
        "MAINTAINER",
    ];
    copies && !more.iter().any(|word| words.contains(*word)) && golden["base"] != "debian"
}

/// What became of the cases of one suite.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    same: usize,
    refused: usize,
    /// The language is not there yet.
    language: usize,
    not_applicable: usize,
}

fn run(
    suite: &Path,
    modes: u32,
    context: impl Fn(&Value, &Path) -> (PathBuf, PathBuf),
    differs: impl Fn(&str) -> bool,
) -> Counts {
    let mut counts = Counts::default();
    let bench = Bench::new(suite.parent().unwrap());
    let cases = fs::read_to_string(suite.join("cases.jsonl")).unwrap();
    for case in cases.lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        let golden = case["golden"]
            .as_str()
            .filter(|_| !case["dockerfile_text_offline"].is_null());
        let golden: Value = match golden {
            Some(golden) => serde_json::from_slice(&fs::read(suite.join(golden)).unwrap()).unwrap(),
            None => Value::Null,
        };
        if golden.is_null() || !is_copy_only(&case, &golden) {
            counts.not_applicable += 1;
            continue;
        }
        let name = case["name"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (context, dockerfile) = context(&case, dir.path());
        // It is copied in some cases, as it was when BuildKit built it: with its base replaced.
        fs::write(&dockerfile, text(&case)).unwrap();
        let image = match bench.build(&case, &context, &dockerfile) {
            Ok(image) => image,
            Err(BuildError::Parse(error)) if error.to_string().contains("not supported") => {
                counts.language += 1;
                continue;
            }
            Err(error) => {
                assert_eq!(golden["ok"], false, "{name}: {error:?}");
                counts.refused += 1;
                continue;
            }
        };
        assert_eq!(golden["ok"], true, "{name}: was to fail");
        let on_base = golden["base"] != "scratch";
        let mut found = bench.difference(&image, on_base, modes);
        let mut expected = golden_lines(&golden, modes);
        found.retain(|path, _| !differs(path));
        expected.retain(|path, _| !differs(path));
        assert_eq!(found, expected, "{name}");
        let again = bench.build(&case, &context, &dockerfile).unwrap();
        assert_eq!(again.descriptor, image.descriptor, "{name}: cached");
        counts.same += 1;
    }
    counts
}

#[test]
fn buildah() {
    let Some(corpora) = corpora() else {
        return;
    };
    let suite = corpora.join("builds-buildah");
    let unpack = |case: &Value, dir: &Path| {
        let tar = suite.join(case["context"].as_str().unwrap());
        let unpacked = Command::new("tar")
            .arg("-xpf")
            .arg(tar)
            .current_dir(dir)
            .output();
        let unpacked = unpacked.unwrap();
        assert!(unpacked.status.success(), "{unpacked:?}");
        (
            dir.to_owned(),
            dir.join(case["dockerfile"].as_str().unwrap()),
        )
    };
    let counts = run(&suite, 0o7777, unpack, |_| false);
    let expected = Counts {
        same: 21,
        refused: 1,
        language: 6,
        not_applicable: 31,
    };
    assert_eq!(counts, expected);
}

#[test]
fn kaniko() {
    let Some(corpora) = corpora() else {
        return;
    };
    let suite = corpora.join("builds-kaniko");
    let copied = |case: &Value, dir: &Path| {
        let copied = Command::new("cp")
            .arg("-rp")
            .arg(&suite)
            .arg(dir.join("c"))
            .output();
        let copied = copied.unwrap();
        assert!(copied.status.success(), "{copied:?}");
        let root = dir.join("c");
        let writable = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(&root)
            .status();
        assert!(writable.unwrap().success());
        // What BuildKit made was not there when it did.
        fs::remove_dir_all(root.join("golden")).unwrap();
        let dockerfile = root.join(case["dockerfile"].as_str().unwrap());
        (root.join(case["context"].as_str().unwrap()), dockerfile)
    };
    // The corpus lies read-only; its list of cases has changed since, a file is gone,
    // and the copy of it here has no executables.
    let counts = run(&suite, 0o7555, copied, |path| {
        path.ends_with("cases.jsonl") || path.ends_with("Dockerfile_relative_copy")
    });
    let expected = Counts {
        same: 10,
        refused: 1,
        language: 0,
        not_applicable: 85,
    };
    assert_eq!(counts, expected);
}
