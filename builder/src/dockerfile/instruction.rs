//! One instruction out of its line.

use super::ast::{
    Add, Command, CommandLine, Copy, CopySource, Healthcheck, Heredoc, Instruction, Run, Trigger,
    Warning, WarningKind, Word,
};
use super::duration;
use super::error::{ParseError, ParseErrorKind};
use super::flags::Flags;
use super::heredoc;
use super::run::{check_rights, mounts, network};
use super::statement::Statement;

/// The instructions of the language.
pub(super) const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Whether a keyword is that of an instruction, in any case.
pub(super) fn known(keyword: &str) -> Option<&'static str> {
    let is = |name: &&str| keyword.eq_ignore_ascii_case(name);
    NAMES.into_iter().find(is)
}

impl Statement<'_> {
    /// What the instruction says. `name` is one of [`NAMES`], but not `FROM`.
    pub(super) fn instruction(
        &self,
        name: &'static str,
        warnings: &mut Vec<Warning>,
    ) -> Result<Instruction, ParseError> {
        let mut flags = self.flags(name)?;
        let command = match name {
            "ADD" => Command::Add(self.add(&mut flags, warnings)?),
            "ARG" => Command::Arg(self.declarations()?),
            "CMD" => Command::Cmd(self.command_line(warnings)?),
            "COPY" => Command::Copy(self.copy(name, &mut flags, warnings)?),
            "ENTRYPOINT" => Command::Entrypoint(self.command_line(warnings)?),
            "ENV" => Command::Env(self.pairs(name)?),
            "EXPOSE" => Command::Expose(self.at_least_one(name, "a port")?),
            "HEALTHCHECK" => Command::Healthcheck(self.healthcheck(&mut flags, warnings)?),
            "LABEL" => Command::Label(self.pairs(name)?),
            "MAINTAINER" => {
                warnings.push(Warning {
                    kind: WarningKind::Maintainer,
                    span: self.keyword_span(),
                });
                Command::Maintainer(self.rest_as_word(name, "a name")?)
            }
            "ONBUILD" => Command::Onbuild(self.trigger(warnings)?),
            "RUN" => {
                check_rights(&mut flags)?;
                Command::Run(Run {
                    command: self.command_line(warnings)?,
                    heredocs: self.heredocs().to_vec(),
                    mounts: mounts(&mut flags)?,
                    network: network(&mut flags)?,
                })
            }
            "SHELL" => Command::Shell(self.shell()?),
            "STOPSIGNAL" => Command::StopSignal(self.rest_as_word(name, "a signal")?),
            "USER" => Command::User(self.rest_as_word(name, "a user")?),
            "VOLUME" => Command::Volume(self.volumes()?),
            _ => Command::Workdir(self.rest_as_word(name, "a directory")?),
        };
        Ok(Instruction {
            span: self.whole_span(),
            keyword: self.keyword_span(),
            command,
        })
    }

    fn copy(
        &self,
        name: &'static str,
        flags: &mut Flags,
        warnings: &mut Vec<Warning>,
    ) -> Result<Copy, ParseError> {
        let mut words = match self.json()? {
            Some(words) => words,
            None => self.blank_separated(),
        };
        let Some(destination) = words.pop().filter(|_| !words.is_empty()) else {
            return Err(self.missing(name, "a source and a destination"));
        };
        if heredoc::opening(&destination.text).is_some() {
            let kind = ParseErrorKind::HeredocAsDestination { instruction: name };
            return Err(ParseError::new(kind, destination.span)
                .hint("the last word is the path to write it to"));
        }
        let from = flags.take("from");
        if let Some(from) = &from {
            let plain = from.expand(self.escape(), &|_| None, &mut Default::default());
            if !plain.is_ok_and(|plain| plain.text == from.text) {
                return Err(ParseError::new(ParseErrorKind::VariableInFrom, from.span)
                    .hint("name a stage for it: FROM $image AS name, and then COPY --from=name"));
            }
        }
        let sources = words.into_iter().map(|word| self.source(word));
        let sources: Vec<CopySource> = sources.collect();
        self.warn_of_unused(&sources, warnings);
        Ok(Copy {
            from,
            chown: flags.take("chown"),
            chmod: flags.take("chmod"),
            link: flags.take_bool("link")?.unwrap_or(false),
            parents: flags.take_bool("parents")?.unwrap_or(false),
            exclude: flags.take_all("exclude"),
            closure: flags.take_bool("closure")?.unwrap_or(false),
            sources,
            destination,
        })
    }

    /// A word of `COPY`. One that looks like a heredoc and opened none, as in the JSON form, is an empty
    /// file to docker.
    fn source(&self, word: Word) -> CopySource {
        let Some(opening) = heredoc::opening(&word.text) else {
            return CopySource::Path(word);
        };
        let mut read = self.heredocs().iter();
        let read = read.rfind(|read| read.name == opening.name);
        CopySource::Heredoc(Heredoc {
            text: read.map(|read| read.text.clone()).unwrap_or_default(),
            lines: read.map_or(word.span, |read| read.lines),
            name: opening.name,
            strip_tabs: opening.strip_tabs,
            expand: opening.expand,
            span: word.span,
        })
    }

    fn warn_of_unused(&self, sources: &[CopySource], warnings: &mut Vec<Warning>) {
        let used = |heredoc: &Heredoc| {
            sources.iter().any(
                |source| matches!(source, CopySource::Heredoc(used) if used.name == heredoc.name),
            )
        };
        for heredoc in self.heredocs().iter().filter(|heredoc| !used(heredoc)) {
            warnings.push(Warning {
                kind: WarningKind::HeredocUnused,
                span: heredoc.span,
            });
        }
    }

    fn add(&self, flags: &mut Flags, warnings: &mut Vec<Warning>) -> Result<Add, ParseError> {
        Ok(Add {
            copy: self.copy("ADD", flags, warnings)?,
            checksum: flags.take("checksum"),
            keep_git_dir: flags.take_bool("keep-git-dir")?.unwrap_or(false),
            unpack: flags.take_bool("unpack")?,
        })
    }

    fn healthcheck(
        &self,
        flags: &mut Flags,
        warnings: &mut Vec<Warning>,
    ) -> Result<Healthcheck, ParseError> {
        if self.rest().is_empty() {
            return Err(self.missing("HEALTHCHECK", "CMD and a command, or NONE"));
        }
        let (kind, command) = self.word_and_command(warnings)?;
        let is_empty = command.is_empty();
        let check = Healthcheck {
            test: Some(command),
            interval: duration_of(flags.take("interval"))?,
            timeout: duration_of(flags.take("timeout"))?,
            start_period: duration_of(flags.take("start-period"))?,
            start_interval: duration_of(flags.take("start-interval"))?,
            retries: flags.take("retries"),
        };
        if let Some(retries) = &check.retries
            && retries
                .text
                .parse()
                .ok()
                .filter(|count: &i32| *count >= 0)
                .is_none()
        {
            let value = retries.text.clone();
            let kind = ParseErrorKind::BadRetries { value };
            return Err(ParseError::new(kind, retries.span));
        }
        match kind.text.to_ascii_uppercase().as_str() {
            "CMD" if is_empty => Err(self.missing("HEALTHCHECK CMD", "a command")),
            "CMD" => Ok(check),
            "NONE" if !is_empty => {
                let kind = ParseErrorKind::HealthcheckNone;
                Err(ParseError::new(kind, self.whole_span()))
            }
            "NONE" => Ok(Healthcheck {
                test: None,
                ..check
            }),
            _ => {
                let word = kind.text;
                let error = ParseErrorKind::BadHealthcheck { word };
                Err(ParseError::new(error, kind.span)
                    .hint("write HEALTHCHECK CMD and the command, or HEALTHCHECK NONE"))
            }
        }
    }

    /// The argument of `ONBUILD`. Docker keeps whatever it can cut into words, and so does this; what will
    /// fail later is warned of.
    fn trigger(&self, warnings: &mut Vec<Warning>) -> Result<Trigger, ParseError> {
        if self.rest().is_empty() {
            return Err(self.missing("ONBUILD", "an instruction"));
        }
        let inner = self.inner();
        let keyword = Word {
            text: inner.keyword().to_owned(),
            span: inner.keyword_span(),
        };
        let name = keyword.text.to_uppercase();
        if ["FROM", "MAINTAINER", "ONBUILD"].contains(&name.as_str()) {
            let kind = ParseErrorKind::NotATrigger { name };
            return Err(ParseError::new(kind, keyword.span));
        }
        let checked = match known(&name) {
            Some(name) => inner.instruction(name, warnings).map(|_| ()),
            None => Err(inner.missing("ONBUILD", "an instruction")),
        };
        if let Err(error) = checked {
            if inner.is_cut_wrongly(&error.kind) {
                return Err(error);
            }
            warnings.push(Warning {
                kind: WarningKind::BadTrigger,
                span: error.span,
            });
        }
        let mut text = inner.to_the_end().to_owned();
        for heredoc in self.heredocs() {
            text.push('\n');
            text.push_str(&heredoc.text);
            text.push_str(&heredoc.name);
        }
        Ok(Trigger { text, keyword })
    }

    /// Whether this is a mistake that docker sees when it cuts an instruction into words, and not when it
    /// follows it.
    fn is_cut_wrongly(&self, kind: &ParseErrorKind) -> bool {
        match kind {
            ParseErrorKind::NotAString
            | ParseErrorKind::BadJsonString
            | ParseErrorKind::MissingEquals { .. } => true,
            ParseErrorKind::MissingArgument { instruction, .. } => {
                ["ENV", "LABEL"].contains(instruction) && !self.rest().is_empty()
            }
            _ => false,
        }
    }

    fn shell(&self) -> Result<Vec<Word>, ParseError> {
        match self.json()? {
            Some(words) if !words.is_empty() => Ok(words),
            None if !self.rest().is_empty() => {
                let kind = ParseErrorKind::ShellNeedsJson;
                Err(ParseError::new(kind, self.whole_span())
                    .hint("write SHELL [\"/bin/bash\", \"-c\"]"))
            }
            _ => Err(self.missing("SHELL", "a program")),
        }
    }

    fn volumes(&self) -> Result<Vec<Word>, ParseError> {
        let mut words = match self.json()? {
            Some(words) if !words.is_empty() => words,
            Some(_) => return Err(self.missing("VOLUME", "a path")),
            None => self.at_least_one("VOLUME", "a path")?,
        };
        for word in &mut words {
            let trimmed = word.text.trim();
            if trimmed.is_empty() {
                return Err(ParseError::new(ParseErrorKind::EmptyVolume, word.span));
            }
            if trimmed.len() < word.text.len() {
                word.text = trimmed.to_owned();
            }
        }
        Ok(words)
    }
}

/// A flag's value, checked to be a duration.
fn duration_of(value: Option<Word>) -> Result<Option<Word>, ParseError> {
    if let Some(word) = &value {
        let nanoseconds = duration::interval(&word.text);
        nanoseconds.map_err(|error| ParseError::new(error.into(), word.span))?;
    }
    Ok(value)
}

impl CommandLine {
    fn is_empty(&self) -> bool {
        match self {
            CommandLine::Shell(word) => word.text.is_empty(),
            CommandLine::Exec(words) => words.is_empty(),
        }
    }
}
