//! The arguments outside of all stages: declared before the first `FROM`, or given by the
//! platform.

use std::collections::BTreeMap;

use image_format::descriptor::Platform;

use crate::dockerfile::expand::Asked;
use crate::dockerfile::{Command, Dockerfile, ParseError, Word};

/// What `FROM` sees, and what a stage gets that asks by `ARG name`.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    /// `--build-arg`.
    given: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
}

impl Globals {
    /// Those of a build for this platform, with these build arguments.
    #[must_use]
    pub fn new(platform: &Platform, given: BTreeMap<String, String>) -> Self {
        let mut values = BTreeMap::new();
        for (prefix, platform) in [("TARGET", platform), ("BUILD", &Platform::host())] {
            let mut set = |name: &str, value: String| {
                values.insert(format!("{prefix}{name}"), value);
            };
            set("PLATFORM", name_of(platform));
            set("OS", platform.os.clone());
            set("OSVERSION", String::new());
            set("ARCH", platform.architecture.clone());
            set("VARIANT", platform.variant.clone().unwrap_or_default());
        }
        for (name, value) in &mut values {
            if let Some(own) = given.get(name) {
                value.clone_from(own);
            }
        }
        Self { given, values }
    }

    /// The same where nobody gives a build argument, but for those of the platforms.
    pub(crate) fn without_given(&self) -> Self {
        Self {
            given: BTreeMap::new(),
            values: self.values.clone(),
        }
    }

    /// Takes in the stage that is asked for, or is the last, and the `ARG`s before the first `FROM`.
    pub(crate) fn declare(
        mut self,
        dockerfile: &Dockerfile,
        target: Option<&str>,
    ) -> Result<Self, ParseError> {
        let last = dockerfile.stages.last();
        let last = last.and_then(|stage| stage.name.as_ref());
        let target = target.or(last.map(|name| name.text.as_str()));
        let target = self.given("TARGETSTAGE").or(target).unwrap_or("default");
        let target = target.to_owned();
        self.values.insert("TARGETSTAGE".to_owned(), target);
        for instruction in &dockerfile.global_args {
            let Command::Arg(declarations) = &instruction.command else {
                continue;
            };
            for declaration in declarations {
                let name = &declaration.name.text;
                let value = match (self.given.get(name), &declaration.default) {
                    (Some(given), _) => given.clone(),
                    (None, Some(default)) => self.expand(default, dockerfile.escape)?,
                    (None, None) => continue,
                };
                self.values.insert(name.clone(), value);
            }
        }
        Ok(self)
    }

    /// A word with its variables expanded.
    pub(crate) fn expand(&self, word: &Word, escape: char) -> Result<String, ParseError> {
        let lookup = |name: &str| self.get(name).map(ToOwned::to_owned);
        let expanded = word.expand(escape, &lookup, &mut Asked::default())?;
        Ok(expanded.text)
    }

    /// The value that a stage gets that declares this argument without a default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The names of all that have a value.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// What `--build-arg` says of this argument.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// The names of all that `--build-arg` gives.
    pub fn given_names(&self) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str)
    }
}

/// As in `linux/arm64/v8`.
pub(crate) fn name_of(platform: &Platform) -> String {
    let mut name = format!("{}/{}", platform.os, platform.architecture);
    if let Some(variant) = &platform.variant {
        name.push('/');
        name.push_str(variant);
    }
    name
}
