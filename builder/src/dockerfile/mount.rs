//! `RUN --mount`: what is written, option by option, and what it means.
//!
//! What an option may be depends on the type that was named before it, as docker has it.

use super::ast::{MountFlag, MountOption, Word};
use super::error::ParseError;
use super::expand::{Asked, Lookup};
use crate::lexical::clean;
use csv::{Field, Malformed};
use options::Reader;

pub use error::MountError;

pub mod csv;
mod error;
mod options;
#[cfg(test)]
mod tests;
mod value;

/// The type of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Files of the context, a stage, an image.
    #[default]
    Bind,
    /// A directory that builds share.
    Cache,
    /// A directory in memory.
    Tmpfs,
    /// A secret of the build.
    Secret,
    /// The socket of an agent.
    Ssh,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Everybody who shares it.
    #[default]
    Shared,
    /// One; who comes while it is in use gets another directory.
    Private,
    /// One; who comes while it is in use waits.
    Locked,
}

/// A mount with its variables expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where, as written; empty is the working directory.
    target: Option<Word>,
    /// Options that say nothing about a mount of this type; docker takes no notice of them.
    pub idle: Vec<Word>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files, possibly read-only; what is written to them is thrown away.
    Bind(From),
    /// A directory that lasts.
    Cache {
        /// Its name.
        id: String,
        /// Who uses it at once.
        sharing: Sharing,
        /// What it begins as, and what of it is mounted.
        from: From,
        /// How its root is made.
        access: Access,
    },
    /// A directory in memory.
    Tmpfs {
        /// The most it holds, in bytes.
        size: Option<u64>,
        /// Whether it cannot be written to.
        read_only: bool,
    },
    /// A secret, as a file, as a variable, or as both.
    Secret {
        /// The name it was given to the build by.
        id: String,
        /// The variable, where there is one.
        env: Option<String>,
        /// Whether the command fails without it.
        required: bool,
        /// The file's.
        access: Access,
    },
    /// An agent's socket.
    Ssh {
        /// The name it was given to the build by.
        id: String,
        /// Whether the command fails without it.
        required: bool,
        /// The socket's.
        access: Access,
    },
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The path inside of what it comes from, which is the root where it is empty.
    pub source: Word,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// The name of a stage, a context or an image; none for the build's context, or an empty cache.
    pub from: Option<Word>,
}

/// Owner and permissions, where they are not the type's usual ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

impl MountFlag {
    /// Cuts the value of a `--mount` into its options.
    ///
    /// # Errors
    /// When its quotes are wrong, or `from` holds a variable.
    pub(super) fn parse(word: &Word) -> Result<Self, ParseError> {
        let fields = csv::fields(&word.text).map_err(|Malformed { reason, range }| {
            ParseError::new(MountError::Quotes { reason }.into(), word.part(range))
        })?;
        let mut options = Vec::new();
        for Field { text, range } in fields {
            // Quotes make the place of a part of it a guess, so then it is the whole field's.
            let exact = text.len() == range.len();
            let part = |text: &str, from: usize| Word {
                text: text.to_owned(),
                span: match exact {
                    true => word.part(range.start + from..range.start + from + text.len()),
                    false => word.part(range.clone()),
                },
            };
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(part(value, name.len() + 1))),
                None => (text.as_str(), None),
            };
            let mut name = part(name, 0);
            name.text.make_ascii_lowercase();
            if let Some(value) = value.as_ref().filter(|_| name.text == "from")
                && has_variable(&value.text)
            {
                let kind = MountError::VariableInFrom.into();
                return Err(ParseError::new(kind, value.span).hint(
                    "name a stage: `FROM image:$VERSION AS name` takes variables, and `from=name` then",
                ));
            }
            options.push(MountOption { name, value });
        }
        let span = word.span;
        Ok(Self { options, span })
    }

    /// What `from` names, if anything.
    #[must_use]
    pub fn from(&self) -> Option<&Word> {
        let given = |option: &&MountOption| option.name.text == "from";
        let last = self.options.iter().rfind(given)?.value.as_ref()?;
        (!last.text.is_empty()).then_some(last)
    }

    /// Whether it could be of files of the build's context.
    #[must_use]
    pub fn may_read_context(&self) -> bool {
        let given = |option: &&MountOption| option.name.text == "type";
        let kind = self.options.iter().rfind(given);
        let kind = kind.and_then(|option| option.value.as_ref());
        let other =
            |word: &Word| !word.text.contains('$') && !word.text.eq_ignore_ascii_case("bind");
        self.from().is_none() && !kind.is_some_and(other)
    }

    /// Whether it says all before anything is built.
    pub(crate) fn is_constant(&self) -> bool {
        let values = self.options.iter().filter_map(|one| one.value.as_ref());
        !values.into_iter().any(|value| value.text.contains('$'))
    }

    /// The same with the variables of its values expanded.
    pub(crate) fn expand(
        &self,
        escape: char,
        lookup: Lookup<'_>,
        asked: &mut Asked,
    ) -> Result<Self, ParseError> {
        let options = self.options.iter().map(|option| {
            let value = option.value.as_ref();
            let value = value.map(|value| value.expand(escape, lookup, asked));
            Ok(MountOption {
                name: option.name.clone(),
                value: value.transpose()?,
            })
        });
        Ok(Self {
            options: options.collect::<Result<_, _>>()?,
            span: self.span,
        })
    }

    /// What it means, once it is expanded.
    ///
    /// # Errors
    /// When an option is not one, or not one of its type, or its value is none.
    pub fn read(&self) -> Result<Mount, ParseError> {
        let mut reader = Reader::default();
        for option in &self.options {
            reader.take(option)?;
        }
        reader.finish(self)
    }
}

fn has_variable(text: &str) -> bool {
    // As docker has it, one at the very end stands for itself.
    text.find('$').is_some_and(|at| at + 1 < text.len())
}

impl Mount {
    /// Where it is mounted, absolute and cleaned; `None` for a secret that is a variable alone, and
    /// for an agent's socket that is where such sockets usually are.
    ///
    /// # Errors
    /// When that is the root.
    pub fn target(&self, workdir: &str) -> Result<Option<String>, ParseError> {
        let Some(target) = &self.target else {
            return Ok(None);
        };
        let whole = match target.text.starts_with('/') {
            true => clean(&target.text),
            false => clean(&format!("{workdir}/{}", target.text)),
        };
        refuse_root(&whole, target)?;
        Ok(Some(whole))
    }
}

fn refuse_root(path: &str, target: &Word) -> Result<(), ParseError> {
    if path != "/" {
        return Ok(());
    }
    let hint = match target.text.is_empty() {
        true => "write target=…: without it, it is the working directory",
        false => "name a directory below it",
    };
    Err(ParseError::new(MountError::Root.into(), target.span).hint(hint))
}
