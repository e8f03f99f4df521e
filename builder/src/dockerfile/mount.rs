//! `RUN --mount`: what is written, option by option, and what it means.
//!
//! What an option may be depends on the type that was named before it, as docker has it.

use image_format::nearest::nearest;

use super::ast::{MountFlag, MountOption, Word};
use super::error::ParseError;
use super::expand::{Asked, Lookup};
use super::size::bytes;
use csv::{Field, Malformed};

pub mod csv;
#[cfg(test)]
mod tests;

/// All options, by all their names.
const OPTIONS: &[&str] = &[
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "mode",
    "uid",
    "gid",
    "size",
    "env",
];
/// Where secrets are, each under the last name of its id.
const SECRETS: &str = "/run/secrets";

/// What is wrong with a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// A quote inside of an option, or one that is not closed.
    #[error("the options of a mount are not well-formed: {reason}")]
    Quotes {
        /// What is wrong.
        reason: &'static str,
    },
    /// No option has this name.
    #[error("a mount has no option `{name}`")]
    UnknownOption {
        /// What was written.
        name: String,
    },
    /// An option that needs a value.
    #[error("the option `{name}` of a mount needs a value")]
    NoValue {
        /// The option.
        name: String,
    },
    /// A value that is none for this option.
    #[error("`{name}` of a mount is {takes}, not `{value}`")]
    BadValue {
        /// The option.
        name: String,
        /// What it takes.
        takes: &'static str,
        /// What was given.
        value: String,
    },
    /// An option of another type of mounts.
    #[error("a mount of type {kind} takes no `{name}`")]
    NotOfType {
        /// The option.
        name: String,
        /// The type.
        kind: Kind,
    },
    /// A variable in `from`: the stages must be known before any of them is built.
    #[error("`from` of a mount takes no variables")]
    VariableInFrom,
    /// A secret without a name.
    #[error("a mount of type secret needs an `id`")]
    NamelessSecret,
    /// A secret with two names.
    #[error("a mount of type secret takes `id` or `source`, not both")]
    TwoNames,
    /// A mount over all that there is.
    #[error("the target of a mount cannot be /")]
    Root,
}

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

/// What was read so far.
#[derive(Default)]
struct Reader {
    kind: Kind,
    from: Option<Word>,
    source: Option<Word>,
    target: Option<Word>,
    read_only: Option<bool>,
    id: Option<Word>,
    sharing: Option<(Sharing, Word)>,
    required: bool,
    access: Access,
    /// The first option that gives owner or permissions.
    access_name: Option<Word>,
    size: Option<u64>,
    env: Option<Word>,
}

impl Reader {
    fn take(&mut self, option: &MountOption) -> Result<(), ParseError> {
        let MountOption { name, value } = option;
        let Some(value) = value else {
            return self.take_bare(name);
        };
        match name.text.as_str() {
            "type" => self.kind = kind(value)?,
            "from" => self.from = Some(value.clone()),
            "source" | "src" => self.source = Some(value.clone()),
            "target" | "dst" | "destination" => self.target = Some(value.clone()),
            "readonly" | "ro" => self.read_only = Some(boolean(name, value)?),
            "readwrite" | "rw" => self.read_only = Some(!boolean(name, value)?),
            "required" => {
                self.only(name, &[Kind::Secret, Kind::Ssh])?;
                self.required = boolean(name, value)?;
            }
            "size" => {
                self.only(name, &[Kind::Tmpfs])?;
                let takes = "a number of bytes, as in 64m";
                let size = bytes(&value.text).ok_or_else(|| bad(name, takes, value))?;
                // Docker takes 0 for no limit.
                self.size = Some(size).filter(|size| *size > 0);
            }
            "id" => self.id = Some(value.clone()),
            "sharing" => self.sharing = Some((sharing(value)?, name.clone())),
            "mode" => {
                let mode = number(value, 8).filter(|mode| *mode <= 0o7777);
                self.access.mode = Some(mode.ok_or_else(|| bad(name, "an octal mode", value))?);
                self.access_name.get_or_insert_with(|| name.clone());
            }
            "uid" => {
                self.access.uid = Some(number(value, 10).ok_or_else(|| bad(name, ID, value))?);
                self.access_name.get_or_insert_with(|| name.clone());
            }
            "gid" => {
                self.access.gid = Some(number(value, 10).ok_or_else(|| bad(name, ID, value))?);
                self.access_name.get_or_insert_with(|| name.clone());
            }
            "env" => {
                if value.text.is_empty() || value.text.contains(['=', '\0']) {
                    return Err(bad(name, "the name of a variable", value));
                }
                self.env = Some(value.clone());
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// An option without a value.
    fn take_bare(&mut self, name: &Word) -> Result<(), ParseError> {
        match name.text.as_str() {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            "required" => {
                self.only(name, &[Kind::Secret, Kind::Ssh])?;
                self.required = true;
            }
            known if OPTIONS.contains(&known) => {
                let kind = MountError::NoValue {
                    name: known.to_owned(),
                };
                return Err(ParseError::new(kind.into(), name.span)
                    .hint(format!("write `{known}=…`, and no blank after a comma")));
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn only(&self, name: &Word, kinds: &[Kind]) -> Result<(), ParseError> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        let names: Vec<String> = kinds.iter().map(|kind| format!("`type={kind}`")).collect();
        let hint = format!("it takes {} before it", names.join(" or "));
        Err(self.not_of_type(name).hint(hint))
    }

    fn not_of_type(&self, name: &Word) -> ParseError {
        let kind = MountError::NotOfType {
            name: name.text.clone(),
            kind: self.kind,
        };
        ParseError::new(kind.into(), name.span)
    }

    fn finish(self, flag: &MountFlag) -> Result<Mount, ParseError> {
        if let Some(name) = &self.access_name
            && matches!(self.kind, Kind::Bind | Kind::Tmpfs)
        {
            return Err(self.not_of_type(name));
        }
        if let Some((_, name)) = &self.sharing
            && self.kind != Kind::Cache
        {
            return Err(self.not_of_type(name).hint("only a cache is shared"));
        }
        let given = not_empty(&self.target);
        let target = given.or_else(|| Some(empty(flag)));
        let (kind, target) = match self.kind {
            Kind::Bind => (MountKind::Bind(self.from(flag)), target),
            Kind::Cache => (self.cache(flag), target),
            Kind::Tmpfs => {
                let read_only = self.read_only.unwrap_or(false);
                let size = self.size;
                (MountKind::Tmpfs { size, read_only }, target)
            }
            Kind::Secret => self.secret(flag)?,
            Kind::Ssh => (self.ssh()?, not_empty(&self.target)),
        };
        if let Some(target) = target.as_ref().filter(|word| word.text.starts_with('/')) {
            refuse_root(&cleaned(&target.text), target)?;
        }
        let idle: &[&str] = match self.kind {
            Kind::Bind => &["id", "env"],
            Kind::Cache => &["env"],
            Kind::Tmpfs => &["from", "source", "src", "id", "env"],
            Kind::Secret => &["readonly", "ro", "readwrite", "rw"],
            Kind::Ssh => &["from", "env", "readonly", "ro", "readwrite", "rw"],
        };
        let names = flag.options.iter().map(|option| &option.name);
        let idle = names.filter(|name| idle.contains(&name.text.as_str()));
        let idle = idle.cloned().collect();
        Ok(Mount { kind, target, idle })
    }

    fn from(&self, flag: &MountFlag) -> From {
        From {
            source: not_empty(&self.source).unwrap_or_else(|| empty(flag)),
            read_only: self.read_only.unwrap_or(self.kind == Kind::Bind),
            from: not_empty(&self.from),
        }
    }

    fn cache(&self, flag: &MountFlag) -> MountKind {
        let target = self.target.as_ref().map_or("", |word| &word.text);
        MountKind::Cache {
            id: not_empty(&self.id).map_or_else(|| cleaned(target), |id| id.text),
            sharing: self.sharing.as_ref().map_or(Sharing::Shared, |one| one.0),
            from: self.from(flag),
            access: self.access,
        }
    }

    fn secret(&self, flag: &MountFlag) -> Result<(MountKind, Option<Word>), ParseError> {
        if let Some(from) = not_empty(&self.from) {
            return Err(self.not_of_type(&Word {
                text: "from".to_owned(),
                span: from.span,
            }));
        }
        let (id, source) = (not_empty(&self.id), not_empty(&self.source));
        if let (Some(_), Some(source)) = (&id, &source) {
            return Err(ParseError::new(MountError::TwoNames.into(), source.span));
        }
        let target = not_empty(&self.target);
        let named = target.as_ref().map(|word| base(&word.text).to_owned());
        let id = id.or(source).map(|word| word.text).or(named);
        let id = id.ok_or_else(|| {
            ParseError::new(MountError::NamelessSecret.into(), flag.span)
                .hint("write id=NAME, the name that --secret gives it")
        })?;
        let usual = || Word {
            text: format!("{SECRETS}/{}", base(&id)),
            span: flag.span,
        };
        let target = match self.env {
            Some(_) => target,
            None => target.or_else(|| Some(usual())),
        };
        let kind = MountKind::Secret {
            id,
            env: self.env.as_ref().map(|word| word.text.clone()),
            required: self.required,
            access: self.access,
        };
        Ok((kind, target))
    }

    fn ssh(&self) -> Result<MountKind, ParseError> {
        if let Some(source) = not_empty(&self.source) {
            return Err(self.not_of_type(&Word {
                text: "source".to_owned(),
                span: source.span,
            }));
        }
        Ok(MountKind::Ssh {
            id: not_empty(&self.id).map_or_else(|| "default".to_owned(), |id| id.text),
            required: self.required,
            access: self.access,
        })
    }
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
            true => cleaned(&target.text),
            false => cleaned(&format!("{workdir}/{}", target.text)),
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

fn empty(flag: &MountFlag) -> Word {
    Word {
        text: String::new(),
        span: flag.span,
    }
}

/// What is empty says nothing.
fn not_empty(word: &Option<Word>) -> Option<Word> {
    word.clone().filter(|word| !word.text.is_empty())
}

/// A path without `.`, empty names, and `..` where a name is before it, as docker's ids are.
fn cleaned(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            ".." if absolute => {}
            name => names.push(name),
        }
    }
    match (absolute, names.is_empty()) {
        (true, _) => format!("/{}", names.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => names.join("/"),
    }
}

/// The last name of a path.
fn base(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

const ID: &str = "a number below 2^32";

fn bad(name: &Word, takes: &'static str, value: &Word) -> ParseError {
    let kind = MountError::BadValue {
        name: name.text.clone(),
        takes,
        value: value.text.clone(),
    };
    ParseError::new(kind.into(), value.span)
}

fn unknown(name: &Word) -> ParseError {
    let kind = MountError::UnknownOption {
        name: name.text.clone(),
    };
    let error = ParseError::new(kind.into(), name.span);
    match nearest(&name.text, OPTIONS) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("there are type, from, source, target, readonly, readwrite, id, sharing, required, mode, uid, gid, size and env"),
    }
}

/// One of a few words, in any case.
fn one_of<T: Copy>(
    name: &str,
    takes: &'static str,
    value: &Word,
    words: &[(&'static str, T)],
) -> Result<T, ParseError> {
    let found = words
        .iter()
        .find(|(word, _)| value.text.eq_ignore_ascii_case(word));
    found.map(|(_, found)| *found).ok_or_else(|| {
        let name = Word {
            text: name.to_owned(),
            span: value.span,
        };
        let error = bad(&name, takes, value);
        match nearest(&value.text, words.iter().map(|(word, _)| word)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

fn kind(value: &Word) -> Result<Kind, ParseError> {
    let kinds = [
        Kind::Bind,
        Kind::Cache,
        Kind::Tmpfs,
        Kind::Secret,
        Kind::Ssh,
    ];
    let words = kinds.map(|kind| (kind.name(), kind));
    one_of("type", "bind, cache, tmpfs, secret or ssh", value, &words)
}

fn sharing(value: &Word) -> Result<Sharing, ParseError> {
    let words = [
        ("shared", Sharing::Shared),
        ("private", Sharing::Private),
        ("locked", Sharing::Locked),
    ];
    one_of("sharing", "shared, private or locked", value, &words)
}

/// What docker's flags take for true and false.
fn boolean(name: &Word, value: &Word) -> Result<bool, ParseError> {
    match value.text.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(name, "true or false", value)),
    }
}

/// A number without a sign.
fn number(value: &Word, radix: u32) -> Option<u32> {
    let digits = Some(&value.text).filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(digits, radix).ok()
}
