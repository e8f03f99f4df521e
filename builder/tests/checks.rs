//! The checks against cases of our own: `checks/NAME/Dockerfile`, beside it the ignore file where it takes one,
//! and `expect`: what is asked for (`arg NAME=VALUE`, `target NAME`), then each warning's rule and line in the
//! order of the file, then `error` and its line if it cannot be built.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use builder::check::{CheckRequest, check};
use builder::dockerfile::check::RULES;
use builder::request::DockerfileText;
use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use image_format::layout::{Layer, Store, write_image};

/// Puts an image into the store.
fn image(store: &Store, name: &str, layers: usize, change: impl Fn(&mut ImageConfig)) {
    let mut config = ImageConfig::scratch(&Platform::host());
    let mut blobs = Vec::new();
    for _ in 0..layers {
        let mut blob = store.blob_writer().unwrap();
        blob.write_all(b"a layer").unwrap();
        let (diff_id, size) = blob.finish().unwrap();
        config.rootfs.diff_ids.push(diff_id);
        blobs.push(Layer { diff_id, size }.descriptor());
    }
    change(&mut config);
    let written = write_image(store, &config, blobs).unwrap();
    store.tag(&name.parse().unwrap(), &written).unwrap();
}

/// The images that the cases stand on.
fn images(store: &Store) {
    let riscv = |config: &mut ImageConfig| config.architecture = "riscv64".to_owned();
    image(store, "base", 1, |config| {
        config.config.env = vec!["BASE=1".to_owned()];
        config.config.working_dir = "/base".to_owned();
    });
    image(store, "other", 1, riscv);
    image(store, "hollow", 0, riscv);
    image(store, "shell", 1, |config| {
        config.config.shell = Some(vec!["/bin/own".to_owned()]);
    });
    image(store, "trigger", 1, |config| {
        let triggers = ["ARG FROM_TRIGGER", "ENV SET=1"];
        config.config.on_build = triggers.map(ToOwned::to_owned).to_vec();
    });
}

/// What a case gives, as `expect` says it.
fn found(store: &Store, dir: &Path, asked: &[(&str, &str)]) -> String {
    let path = dir.join("Dockerfile");
    let checked = check(&CheckRequest {
        store: Some(store.clone()),
        context: Some(dir.to_owned()),
        dockerfile: DockerfileText {
            name: "Dockerfile".to_owned(),
            text: std::fs::read_to_string(&path).unwrap(),
            path: Some(path),
        },
        build_args: asked
            .iter()
            .filter(|(what, _)| *what == "arg")
            .map(|(_, arg)| arg.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        target: asked
            .iter()
            .find(|(what, _)| *what == "target")
            .map(|(_, target)| (*target).to_owned()),
        platform: Platform::host(),
        named_contexts: BTreeMap::new(),
    });
    let mut lines = String::new();
    for warning in &checked.warnings {
        writeln!(lines, "{} {}", warning.rule.name, warning.lines.start()).unwrap();
    }
    if let Some(error) = &checked.error {
        let line = error.span().map(|span| format!(" {}", span.line));
        writeln!(lines, "error{}", line.unwrap_or_default()).unwrap();
    }
    lines
}

#[test]
fn every_case_finds_what_it_is_to_find() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    images(&store);
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks");
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for case in std::fs::read_dir(cases).unwrap() {
        let dir = case.unwrap().path();
        let expect = std::fs::read_to_string(dir.join("expect")).unwrap();
        let words = |line| str::split_once(line, ' ').unwrap_or((line, ""));
        let (asked, mut wanted): (Vec<_>, Vec<_>) = expect
            .lines()
            .map(words)
            .partition(|(what, _)| ["arg", "target"].contains(what));
        seen.extend(wanted.iter().map(|(rule, _)| (*rule).to_owned()));
        let found = found(&store, &dir, &asked);
        let mut got: Vec<_> = found.lines().map(words).collect();
        // Of several on one line the order says nothing.
        wanted.sort_unstable();
        got.sort_unstable();
        if wanted != got {
            wrong.push(format!("{}:\n{found}", dir.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
    for rule in RULES {
        assert!(seen.contains(rule.name), "no case shows {}", rule.name);
    }
}

#[test]
fn the_readme_lists_every_rule() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    for rule in RULES {
        let row = format!("| `{}` |", rule.name);
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn rules_have_names_of_their_own_and_pages_by_them() {
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    for rule in RULES {
        let Some(url) = rule.url() else {
            continue;
        };
        let page = url.rsplit('/').nth(1).expect("a page");
        assert_eq!(page.replace('-', ""), rule.name.to_lowercase());
    }
}
