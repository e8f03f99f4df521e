//! What differs between an image and its base, one line an entry, as the goldens have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use image_format::digest::Digest;
use image_format::layer::compression::decompress;
use image_format::layer::index::LayerIndex;
use image_format::layer::tree::{Node, Place, Tree};
use image_format::layer::{Kind, LayerReader};
use image_format::layout::{Image, Store};
use serde_json::{Value, json};

/// The entries by their paths, and what of the base is gone.
#[derive(Debug, Default, PartialEq)]
pub struct Difference {
    pub lines: BTreeMap<String, String>,
    pub gone: BTreeSet<String>,
}

impl Difference {
    /// Between an image of the store and its base.
    pub fn of(store: &Store, image: &Image, base: Option<&Image>, modes: u32) -> Self {
        let new = Merged::new(store, image);
        let old = base.map(|base| Merged::new(store, base));
        let mut found = Self::default();
        for node in new.nodes() {
            let below = old
                .as_ref()
                .and_then(|old| old.tree.lookup(&node.path).unwrap());
            let same = |below: &Node| {
                (below.kind == node.kind && below.meta == node.meta && below.place == node.place)
                    || old.as_ref().unwrap().line(below, modes) == new.line(&node, modes)
            };
            if !node.path.as_os_str().is_empty() && !below.as_ref().is_some_and(same) {
                found.lines.insert(name(&node), new.line(&node, modes));
            }
        }
        for node in old.iter().flat_map(Merged::nodes) {
            if new.tree.lookup(&node.path).unwrap().is_none() {
                found.gone.insert(name(&node));
            }
        }
        found
    }

    /// What a golden has.
    pub fn golden(golden: &Value, modes: u32) -> Self {
        let line = |entry: &Value| {
            let owner = format!("{}:{}", entry["uid"], entry["gid"]);
            let text = |member: &str| entry[member].as_str().unwrap().to_owned();
            let mode = u32::from_str_radix(&text("mode"), 8).unwrap() & modes;
            let line = match text("type").as_str() {
                "file" => format!("file {} {} {mode:o}", entry["size"], text("sha256")),
                "symlink" => format!("symlink {}", text("target")),
                kind => format!("{kind} {mode:o}"),
            };
            format!("{line} {owner}")
        };
        let fs = golden["fs"].as_object().into_iter().flatten();
        let gone = golden["deleted"].as_array().into_iter().flatten();
        Self {
            lines: fs
                .map(|(path, entry)| (path.clone(), line(entry)))
                .collect(),
            gone: gone.map(|path| path.as_str().unwrap().to_owned()).collect(),
        }
    }

    /// Without size and content of the files that `dated` names.
    pub fn undated(mut self, dated: &[&str]) -> Self {
        for path in dated {
            if let Some(line) = self.lines.get_mut(*path) {
                let words = line.split(' ').collect::<Vec<_>>();
                *line = [words[0], words[3], words[4]].join(" ");
            }
        }
        self
    }

    /// Without what `left_out` names.
    pub fn without(mut self, left_out: impl Fn(&str) -> bool) -> Self {
        self.lines.retain(|path, _| !left_out(path));
        self.gone.retain(|path| !left_out(path));
        self
    }
}

/// Config, history and number of layers, in the words of the goldens. A step that changed nothing makes no
/// layer, where BuildKit makes an empty one: those of `golden` that are of such steps count as not made.
pub fn config_history_layers(image: &Image, golden: &Value) -> (Value, Vec<Value>, u64) {
    let theirs = golden["history"].as_array().unwrap();
    let mut layers = image.manifest.layers.len() as u64;
    let ours = image.config.history.iter().enumerate();
    let history = ours.map(|(at, step)| {
        let created_by = step.created_by.as_deref().unwrap_or_default();
        let may_change_nothing =
            created_by.starts_with("RUN ") || created_by.starts_with("WORKDIR ");
        let mut line = json!({"created_by": created_by});
        if let Some(comment) = step.extra.get("comment") {
            line["comment"] = comment.clone();
        }
        if step.empty_layer {
            if may_change_nothing
                && theirs
                    .get(at)
                    .is_some_and(|step| step["empty_layer"].is_null())
            {
                layers += 1;
            } else {
                line["empty_layer"] = true.into();
            }
        }
        line
    });
    let history = history.collect();
    let config = serde_json::to_value(&image.config.config).unwrap();
    (config, history, layers)
}

fn name(node: &Node) -> String {
    node.path.to_str().unwrap().to_owned()
}

struct Merged<'a> {
    store: &'a Store,
    image: &'a Image,
    tree: Tree,
}

impl<'a> Merged<'a> {
    fn new(store: &'a Store, image: &'a Image) -> Self {
        let blobs = image.manifest.layers.iter();
        let blobs = blobs.map(|layer| open(store, &layer.digest));
        let indexes = blobs.map(|blob| LayerIndex::read(blob).unwrap());
        let tree = Tree::new(indexes.collect()).unwrap();
        Self { store, image, tree }
    }

    fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut ahead = vec![self.tree.lookup(Path::new("")).unwrap().unwrap()];
        while let Some(node) = ahead.pop() {
            ahead.extend(self.tree.children(&node));
            nodes.push(node);
        }
        nodes
    }

    fn line(&self, node: &Node, modes: u32) -> String {
        let meta = &node.meta;
        let what = match (&node.kind, node.place) {
            (Kind::File { size }, Some(place)) => {
                let digest = Digest::of(&self.content(place)).hex();
                format!("file {size} {digest}")
            }
            (Kind::Dir, _) => "dir".to_owned(),
            (Kind::Symlink(target), _) => {
                let target = String::from_utf8_lossy(target);
                return format!("symlink {target} {}:{}", meta.uid, meta.gid);
            }
            (kind, _) => format!("{kind:?}"),
        };
        format!("{what} {:o} {}:{}", meta.mode & modes, meta.uid, meta.gid)
    }

    fn content(&self, place: Place) -> Vec<u8> {
        let mut blob = open(self.store, &self.image.manifest.layers[place.layer].digest);
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
}

fn open(store: &Store, layer: &Digest) -> Box<dyn Read + Send> {
    decompress(store.open_blob(layer).unwrap()).unwrap()
}
