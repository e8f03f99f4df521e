//! The cases of a suite: what is built, and what BuildKit made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A Dockerfile, and what BuildKit made of it.
pub struct Case {
    pub record: Value,
    pub golden: Value,
}

/// Where the suites are; `None`, and a word, where they are not at hand.
pub fn corpora() -> Option<PathBuf> {
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

impl Case {
    /// Those of a suite that BuildKit was given.
    pub fn all(suite: &Path) -> Vec<Self> {
        let records = fs::read_to_string(suite.join("cases.jsonl")).unwrap();
        let records = records
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = records.filter(|record| !record["dockerfile_text_offline"].is_null());
        told.filter_map(|record| {
            let golden = fs::read(suite.join(record["golden"].as_str()?)).unwrap();
            let golden = serde_json::from_slice(&golden).unwrap();
            Some(Self { record, golden })
        })
        .collect()
    }

    pub fn name(&self) -> &str {
        self.record["name"].as_str().unwrap()
    }

    pub fn text(&self) -> &str {
        self.record["dockerfile_text_offline"].as_str().unwrap()
    }

    /// `--build-arg`: an object, or a list in which a bare name is the environment's.
    pub fn build_args(&self) -> BTreeMap<String, String> {
        if let Value::Object(all) = &self.record["build_args"] {
            let args = all.iter();
            return args
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect();
        }
        let environment: BTreeMap<String, String> = self.pairs("env").into_iter().collect();
        let bare = self.strings("build_args").filter_map(|name| {
            let value = environment.get(name)?;
            Some((name.to_owned(), value.clone()))
        });
        bare.chain(self.pairs("build_args")).collect()
    }

    /// `--target`.
    pub fn target(&self) -> Option<String> {
        let mut flags = self.strings("flags");
        flags.find_map(|flag| Some(flag.strip_prefix("--target=")?.to_owned()))
    }

    fn strings(&self, member: &str) -> impl Iterator<Item = &str> {
        let list = self.record[member].as_array().into_iter().flatten();
        list.filter_map(Value::as_str)
    }

    fn pairs(&self, member: &str) -> Vec<(String, String)> {
        let pairs = self.strings(member).filter_map(|text| text.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Whether a command is run in it.
    pub fn runs(&self) -> bool {
        self.instructions().contains("RUN")
    }

    /// Whether it needs the base that takes minutes to make.
    pub fn is_on_debian(&self) -> bool {
        self.golden["base"] == "debian"
            || self.text().lines().any(|line| {
                let line = line.to_lowercase();
                line.starts_with("from debian")
            })
    }

    fn instructions(&self) -> BTreeSet<String> {
        let lines = self.text().lines();
        lines
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_uppercase)
            .collect()
    }
}
