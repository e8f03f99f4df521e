//! What a Dockerfile says, before any variable is expanded.
//!
//! Every word keeps the place it was written at, so that whatever goes wrong later can be shown there.

use super::span::{Source, Span};

/// A parsed Dockerfile.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    /// The text as it was given; spans point into it.
    pub source: Source,
    /// The escape character: `\`, or `` ` `` by `# escape`.
    pub escape: char,
    /// What `# check` says.
    pub checks: Checks,
    /// The `ARG`s before the first `FROM`; only `FROM` lines see them, and stages that ask by `ARG name`.
    pub global_args: Vec<Instruction>,
    /// The stages, at least one, in the order of the file.
    pub stages: Vec<Stage>,
    /// The comments before instructions, in the order of the file.
    pub comments: Vec<Comment>,
    /// What docker accepts and people rarely mean.
    pub warnings: Vec<Warning>,
}

/// What `# check` says to a linter; it changes nothing that is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// The rules that are left out.
    pub skip: Rules,
    /// The rules on trial that are looked at too.
    pub experimental: Rules,
    /// Whether a violation is an error.
    pub error: bool,
    /// Where it is written, if it is.
    pub span: Option<Span>,
}

/// Rules of a linter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Every one.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

impl Default for Rules {
    fn default() -> Self {
        Rules::Named(Vec::new())
    }
}

/// A comment among those right before an instruction; a `#` alone ends those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What it says, without the `#` and the blanks around.
    pub text: String,
    /// The first byte of the instruction that it stands before.
    pub before: usize,
    /// Where.
    pub span: Span,
}

/// A `FROM` and what follows it up to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `--platform`; may hold variables, as `base`.
    pub platform: Option<Word>,
    /// The image, `scratch` or earlier stage it stands on; may hold variables, which `global_args` give.
    pub base: Word,
    /// The name given by `AS`, in lower case.
    pub name: Option<Word>,
    /// The whole `FROM` instruction.
    pub span: Span,
    /// The word `FROM` itself.
    pub keyword: Span,
    /// The instructions after `FROM`.
    pub instructions: Vec<Instruction>,
    /// Once it is planned: the triggers that its base brings, as its config keeps them. They are the first
    /// instructions, and their places are that of the `FROM`.
    pub triggers: Vec<String>,
}

impl Dockerfile {
    /// The instruction that a byte is in; `FROM` is none of them.
    #[must_use]
    pub fn instruction_at(&self, at: usize) -> Option<&Instruction> {
        let next = self.stages.partition_point(|stage| stage.span.start <= at);
        let all = match next.checked_sub(1) {
            Some(stage) => &self.stages.get(stage)?.instructions,
            None => &self.global_args,
        };
        let next = all.partition_point(|one| one.span.start <= at);
        let found = all.get(next.checked_sub(1)?)?;
        (at < found.span.end).then_some(found)
    }

    /// The comments right before the instruction that begins at this byte.
    #[must_use]
    pub fn comments_before(&self, instruction: usize) -> &[Comment] {
        let from = self
            .comments
            .partition_point(|one| one.before < instruction);
        let rest = &self.comments[from..];
        &rest[..rest.partition_point(|one| one.before == instruction)]
    }
}

impl Stage {
    /// Whether `COPY --from=name` means this stage: in any case.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let own = self.name.as_ref();
        own.is_some_and(|own| own.text.eq_ignore_ascii_case(name))
    }

    /// Where the word `AS` stands, as it is written.
    #[must_use]
    pub fn as_keyword(&self, source: &Source) -> Option<Span> {
        let (from, to) = (self.base.span.end, self.name.as_ref()?.span.start);
        let between = source.text().get(from..to)?.trim_end();
        let start = from + between.len().checked_sub(2)?;
        Some(source.span(start, from + between.len()))
    }
}

impl Comment {
    /// What it says to a linter about the instruction that it stands before.
    #[must_use]
    pub fn check(&self) -> Option<Word> {
        let (name, value) = self.text.split_once('=')?;
        let is = name.trim_end().eq_ignore_ascii_case("check");
        is.then(|| Word {
            text: value.trim_start().to_owned(),
            span: self.span,
        })
    }
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// From its keyword to its last character, continuation lines and heredocs included.
    pub span: Span,
    /// The keyword alone.
    pub keyword: Span,
    /// What it says.
    pub command: Command,
}

/// What an instruction says. Those that docker expands hold words that may contain variables:
/// see [`Instruction::expand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `ADD`
    Add(Add),
    /// `ARG`
    Arg(Vec<ArgDeclaration>),
    /// `CMD`; never expanded
    Cmd(CommandLine),
    /// `COPY`
    Copy(Copy),
    /// `ENTRYPOINT`; never expanded
    Entrypoint(CommandLine),
    /// `ENV`
    Env(Vec<Pair>),
    /// `EXPOSE`; after expansion one word a port: see [`super::port::exposed`]
    Expose(Vec<Word>),
    /// `HEALTHCHECK`; never expanded
    Healthcheck(Healthcheck),
    /// `LABEL`
    Label(Vec<Pair>),
    /// `MAINTAINER`; never expanded
    Maintainer(Word),
    /// `ONBUILD`; never expanded
    Onbuild(Trigger),
    /// `RUN`; never expanded here, the shell does it
    Run(Run),
    /// `SHELL`: the program of the shell form and its arguments, at least one; never expanded
    Shell(Vec<Word>),
    /// `STOPSIGNAL`
    StopSignal(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
}

impl Command {
    /// The instruction's name in upper case.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Add(_) => "ADD",
            Command::Arg(_) => "ARG",
            Command::Cmd(_) => "CMD",
            Command::Copy(_) => "COPY",
            Command::Entrypoint(_) => "ENTRYPOINT",
            Command::Env(_) => "ENV",
            Command::Expose(_) => "EXPOSE",
            Command::Healthcheck(_) => "HEALTHCHECK",
            Command::Label(_) => "LABEL",
            Command::Maintainer(_) => "MAINTAINER",
            Command::Onbuild(_) => "ONBUILD",
            Command::Run(_) => "RUN",
            Command::Shell(_) => "SHELL",
            Command::StopSignal(_) => "STOPSIGNAL",
            Command::User(_) => "USER",
            Command::Volume(_) => "VOLUME",
            Command::Workdir(_) => "WORKDIR",
        }
    }
}

/// A word and where it stands.
///
/// `text` has its continuations joined and, in a JSON form, its escapes resolved; quotes and variables are
/// still in it until it is expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// Where it was written.
    pub span: Span,
}

impl Word {
    /// The place of a byte range of `text`: exact where the word was written in one piece, else the whole word.
    pub fn part(&self, range: std::ops::Range<usize>) -> Span {
        if self.span.len() != self.text.len() || range.end > self.text.len() {
            return self.span;
        }
        Span {
            start: self.span.start + range.start,
            end: self.span.start + range.end,
            line: self.span.line,
        }
    }
}

/// `name=value` of `ENV` and `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value.
    pub value: Word,
}

/// One `name` or `name=default` of `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// The name; docker does not expand it.
    pub name: Word,
    /// The default, where there is one (`ARG a=` has an empty one).
    pub default: Option<Word>,
}

/// The command of `RUN`, `CMD` or `ENTRYPOINT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// Shell form: one text, to be given to `/bin/sh -c`. Empty for an instruction without arguments.
    Shell(Word),
    /// Exec form: a JSON array of strings, possibly empty.
    Exec(Vec<Word>),
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What is run.
    pub command: CommandLine,
    /// The heredocs that a shell form opens, in that order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`
    pub mounts: Vec<MountFlag>,
    /// `--network`
    pub network: CommandNetwork,
}

/// The network of a `RUN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommandNetwork {
    /// The build's.
    #[default]
    Default,
    /// Its own loopback alone.
    None,
    /// The host's.
    Host,
}

/// A `--mount` of `RUN`, cut into its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlag {
    /// Its options, in that order: see [`MountFlag::read`].
    pub options: Vec<MountOption>,
    /// Its value.
    pub span: Span,
}

/// An option of a mount: `name=value`, or `name` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    /// The name, in lower case.
    pub name: Word,
    /// The value; may hold variables.
    pub value: Option<Word>,
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// `--from`: a stage's name or number, a named context or an image; never expanded.
    pub from: Option<Word>,
    /// `--chown`: see [`super::ownership::Owner`].
    pub chown: Option<Word>,
    /// `--chmod`: see [`super::mode::Mode`].
    pub chmod: Option<Word>,
    /// `--link`: the layer does not depend on those below.
    pub link: bool,
    /// `--parents`: the directories that a source's path names are made too.
    pub parents: bool,
    /// `--exclude`: patterns of what is left out, relative to the source.
    pub exclude: Vec<Word>,
    /// `--closure`: the shared libraries that the copied programs need come along (mkimg's own).
    pub closure: bool,
    /// What is copied, in order, at least one.
    pub sources: Vec<CopySource>,
    /// Where to.
    pub destination: Word,
}

impl Copy {
    /// A copy of paths without any flag.
    pub fn plain(sources: Vec<Word>, destination: Word) -> Self {
        Copy {
            from: None,
            chown: None,
            chmod: None,
            link: false,
            parents: false,
            exclude: Vec::new(),
            closure: false,
            sources: sources.into_iter().map(CopySource::Path).collect(),
            destination,
        }
    }

    /// The sources that are paths, patterns or addresses.
    pub fn paths(&self) -> impl Iterator<Item = &Word> + Clone {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Path(word) => Some(word),
            CopySource::Heredoc(_) => None,
        })
    }

    /// The sources that stand in the Dockerfile itself.
    pub fn heredocs(&self) -> impl Iterator<Item = &Heredoc> + Clone {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Heredoc(heredoc) => Some(heredoc),
            CopySource::Path(_) => None,
        })
    }
}

/// One thing that a `COPY` or an `ADD` copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A path or a pattern of [`crate::glob`]; of an `ADD` possibly an address.
    Path(Word),
    /// A file that stands in the Dockerfile itself; its name is the heredoc's.
    Heredoc(Heredoc),
}

/// `ADD`: a `COPY` that fetches and unpacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// What it has in common with `COPY`; neither `from`, `parents` nor `closure` is ever set.
    pub copy: Copy,
    /// `--checksum`: the digest that what is fetched must have.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`
    pub keep_git_dir: bool,
    /// `--unpack`; where it is absent, archives of the context are unpacked and fetched ones not.
    pub unpack: Option<bool>,
}

/// `<<NAME` and the lines up to `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// Its name, without quotes.
    pub name: String,
    /// The lines between, each with its line end. Once a `COPY` or `ADD` is expanded it is what the file is
    /// to hold; before, see [`Heredoc::content`].
    pub text: String,
    /// Whether the tabs at the beginning of its lines go: opened by `<<-`.
    pub strip_tabs: bool,
    /// Whether variables are expanded in it: not where its name was quoted.
    pub expand: bool,
    /// Where it is opened: the `<<NAME`.
    pub span: Span,
    /// The lines between, and the one that ends it.
    pub lines: Span,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthcheck {
    /// What is run; nothing for `HEALTHCHECK NONE`, which takes away that of the base.
    pub test: Option<CommandLine>,
    /// `--interval`: a duration, see [`super::duration`].
    pub interval: Option<Word>,
    /// `--timeout`: a duration.
    pub timeout: Option<Word>,
    /// `--start-period`: a duration.
    pub start_period: Option<Word>,
    /// `--start-interval`: a duration.
    pub start_interval: Option<Word>,
    /// `--retries`: a number.
    pub retries: Option<Word>,
}

/// What `ONBUILD` leaves for the images on this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The instruction as the image's config keeps it: on one line, its heredocs behind.
    pub text: String,
    /// Its keyword.
    pub keyword: Word,
}

/// Something docker accepts and people rarely mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What is odd.
    pub kind: WarningKind,
    /// Where.
    pub span: Span,
}

/// What is odd about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WarningKind {
    /// Docker joins such lines, and says it will stop doing so.
    #[error("empty line inside a continued instruction")]
    EmptyContinuation {
        /// The last line that is joined, from 1: where docker says it.
        last_line: usize,
    },
    /// `CMD ["a" "b"]`: run by a shell, brackets and all.
    #[error("this looks like a JSON array but is not one, so a shell gets it as it is")]
    NotQuiteJson,
    /// `MAINTAINER`
    #[error("MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors=\"...\"")]
    Maintainer,
    /// `COPY << EOF /x`: the heredoc is read, and `<<` and `EOF` are files of the context to docker.
    #[error("nothing uses this heredoc: its name must follow the << at once")]
    HeredocUnused,
    /// `ONBUILD` keeps what no image can be built with; docker takes it.
    #[error("this trigger will fail in every image that is built on this one")]
    BadTrigger,
}
