//! The options of a mount, taken one after the other, and what they say together.

use super::super::ast::{MountFlag, MountOption, Word};
use super::super::error::ParseError;
use super::super::size::bytes;
use super::value::{ID, bad, boolean, kind, number, sharing};
use super::{Access, From, Kind, Mount, MountError, MountKind, Sharing, refuse_root};
use crate::lexical::clean;
use image_format::nearest::nearest;

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

/// What was read so far.
#[derive(Default)]
pub(super) struct Reader {
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
    pub(super) fn take(&mut self, option: &MountOption) -> Result<(), ParseError> {
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

    pub(super) fn finish(self, flag: &MountFlag) -> Result<Mount, ParseError> {
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
            refuse_root(&clean(&target.text), target)?;
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
            id: not_empty(&self.id).map_or_else(|| clean(target), |id| id.text),
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

/// The last name of a path.
fn base(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
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
