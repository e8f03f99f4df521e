//! What is defined at a point of a stage.

use std::collections::{BTreeMap, BTreeSet};

use image_format::config::ImageConfig;

/// The variables of a stage so far, and what else later instructions stand on.
#[derive(Clone)]
pub(super) struct Scope {
    /// Variables and arguments with a value; of one name the later.
    variables: BTreeMap<String, String>,
    /// The variables of the image.
    image: BTreeMap<String, String>,
    /// The arguments, with a value or not.
    arguments: BTreeSet<String>,
    /// Whether a shell was chosen.
    pub(super) shell: bool,
    /// Whether the stage, or one below it, has a `WORKDIR`.
    pub(super) workdir: bool,
    /// Whether all that the base defines is known.
    pub(super) known: bool,
}

impl Scope {
    /// That of an image, or of one that nobody knows.
    pub(super) fn image(config: Option<&ImageConfig>) -> Self {
        let mut scope = Self {
            known: config.is_some(),
            ..Self::scratch()
        };
        if let Some(config) = config {
            for entry in &config.config.env {
                let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
                scope.define(name, value);
            }
            scope.shell = config
                .config
                .shell
                .as_ref()
                .is_some_and(|shell| !shell.is_empty());
        }
        scope
    }

    /// That of the empty image; every image has a path to look for programs in.
    pub(super) fn scratch() -> Self {
        let mut scope = Self {
            variables: BTreeMap::new(),
            image: BTreeMap::new(),
            arguments: BTreeSet::new(),
            shell: false,
            workdir: false,
            known: true,
        };
        scope.define("PATH", crate::stage::DEFAULT_PATH);
        scope
    }

    /// That of a stage on an earlier one, whose `ENV`s come before its arguments now.
    pub(super) fn on(below: &Self) -> Self {
        let mut scope = below.clone();
        scope.variables.extend(below.image.clone());
        scope
    }

    /// `ENV`
    pub(super) fn define(&mut self, name: &str, value: &str) {
        self.image.insert(name.to_owned(), value.to_owned());
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// `ARG`
    pub(super) fn declare(&mut self, name: &str, value: Option<String>) {
        self.arguments.insert(name.to_owned());
        if let Some(value) = value {
            self.variables.insert(name.to_owned(), value);
        }
    }

    pub(super) fn declares(&self, name: &str) -> bool {
        self.arguments.contains(name)
    }

    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}
