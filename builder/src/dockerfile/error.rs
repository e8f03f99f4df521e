//! What can be wrong with a Dockerfile.

use super::duration::DurationError;
use super::expand::ExpandError;
use super::mount::MountError;
use super::port::PortError;
use super::span::Span;

/// A Dockerfile, or a word in it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The exact place.
    pub span: Span,
    /// What to do, where something better than the obvious is known.
    pub hint: Option<String>,
}

impl ParseError {
    /// An error without a hint.
    pub fn new(kind: ParseErrorKind, span: Span) -> Self {
        ParseError {
            kind,
            span,
            hint: None,
        }
    }

    /// The same error with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The kinds of [`ParseError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// More than [`super::MAX_FILE_BYTES`].
    #[error("the Dockerfile has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A line longer than docker reads ([`super::MAX_LINE_BYTES`]).
    #[error("this line has {bytes} bytes, more than the {limit} allowed")]
    LineTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// More than [`super::MAX_STAGES`].
    #[error("more than {limit} stages")]
    TooManyStages {
        /// The limit.
        limit: usize,
    },
    /// A NUL byte: no command line, path or variable can hold it.
    #[error("a NUL byte")]
    NulByte,
    /// No instruction at all.
    #[error("the Dockerfile has no instructions")]
    NoInstructions,
    /// No `FROM`, so there is nothing to build on.
    #[error("the Dockerfile has no FROM")]
    NoFrom,
    /// Another instruction than `ARG` before the first `FROM`.
    #[error("{name} before the first FROM")]
    BeforeFrom {
        /// The instruction.
        name: &'static str,
    },
    /// The same directive twice.
    #[error("the directive `{name}` is given twice")]
    DirectiveTwice {
        /// The directive, in lower case.
        name: String,
    },
    /// `# escape=` with anything but `\` or `` ` ``.
    #[error("the escape character must be \\ or `, not `{value}`")]
    BadEscape {
        /// What was given.
        value: String,
    },
    /// `# syntax=` with another front end than Docker's own for Dockerfiles, version 1.
    #[error("the front end `{value}` is not supported")]
    UnknownSyntax {
        /// What was given.
        value: String,
    },
    /// `# syntax=` with a version of Docker's front end that is not known.
    #[error("version {version} of the Dockerfile language is not known")]
    SyntaxVersion {
        /// The version.
        version: String,
    },
    /// `# check=` with something else than its options.
    #[error("`{option}` is not an option of a check")]
    BadCheck {
        /// What was given.
        option: String,
    },
    /// The file ends before a heredoc does.
    #[error("the heredoc {name} has no end")]
    HeredocNotEnded {
        /// Its name.
        name: String,
    },
    /// `COPY x <<EOF`
    #[error("a heredoc cannot be the destination of {instruction}")]
    HeredocAsDestination {
        /// The instruction.
        instruction: &'static str,
    },
    /// `ONBUILD ONBUILD`, `ONBUILD FROM`, `ONBUILD MAINTAINER`.
    #[error("ONBUILD cannot hold {name}")]
    NotATrigger {
        /// The instruction that was to be a trigger.
        name: String,
    },
    /// A trigger that a base image brings has more than one instruction.
    #[error("a trigger is one instruction, and this has {count}")]
    TriggerCount {
        /// How many there are.
        count: usize,
    },
    /// `SHELL` in another form than that of JSON.
    #[error("SHELL takes a JSON array")]
    ShellNeedsJson,
    /// `HEALTHCHECK` without `CMD` or `NONE`.
    #[error("`{word}` is neither CMD nor NONE")]
    BadHealthcheck {
        /// What stands in its place.
        word: String,
    },
    /// `HEALTHCHECK NONE` with something behind it.
    #[error("HEALTHCHECK NONE takes nothing else")]
    HealthcheckNone,
    /// A flag whose value is no duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// `--retries` with something else than a number.
    #[error("`{value}` is not a number from 0 to 2147483647")]
    BadRetries {
        /// What was given.
        value: String,
    },
    /// `VOLUME [""]`
    #[error("VOLUME with an empty path")]
    EmptyVolume,
    /// `STOPSIGNAL` with no signal.
    #[error("`{name}` is not a signal")]
    BadSignal {
        /// What was given.
        name: String,
    },
    /// Not an instruction of the language.
    #[error("unknown instruction `{name}`")]
    UnknownInstruction {
        /// What was written.
        name: String,
    },
    /// Part of the language, but not of what mkimg builds yet.
    #[error("{what} is not supported yet")]
    NotSupported {
        /// The instruction, flag, directive or form.
        what: String,
    },
    /// Not a flag of this instruction.
    #[error("{instruction} has no flag `--{flag}`")]
    UnknownFlag {
        /// The instruction.
        instruction: &'static str,
        /// The flag, without dashes and value.
        flag: String,
    },
    /// The same flag twice.
    #[error("the flag `--{flag}` is given twice")]
    FlagTwice {
        /// The flag, without dashes.
        flag: String,
    },
    /// A flag without its value.
    #[error("the flag `--{flag}` needs a value")]
    FlagWithoutValue {
        /// The flag, without dashes.
        flag: String,
    },
    /// A flag that is neither true nor false.
    #[error("the flag `--{flag}` is true or false, not `{value}`")]
    NotABoolean {
        /// The flag, without dashes.
        flag: String,
        /// What was given.
        value: String,
    },
    /// An instruction without what it needs.
    #[error("{instruction} needs {needs}")]
    MissingArgument {
        /// The instruction.
        instruction: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// `FROM` with two words, or with more than three, or with something else than `AS`.
    #[error("FROM takes an image, and after it nothing or AS and a name")]
    BadFrom,
    /// A stage name docker refuses.
    #[error("`{name}` cannot be a stage's name")]
    BadStageName {
        /// What was given.
        name: String,
    },
    /// `name value` where only `name=value` is possible.
    #[error("`{word}` has no `=`")]
    MissingEquals {
        /// The word.
        word: String,
    },
    /// `=value`
    #[error("{instruction} with an empty name")]
    EmptyName {
        /// The instruction.
        instruction: &'static str,
    },
    /// An array in JSON form holds something else than strings.
    #[error("a JSON array of arguments may hold strings only")]
    NotAString,
    /// A JSON string whose `\u` escapes are no text.
    #[error("a JSON string that is not valid Unicode")]
    BadJsonString,
    /// A variable in `COPY --from`.
    #[error("`--from` takes no variables")]
    VariableInFrom,
    /// `COPY https://...`
    #[error("COPY cannot fetch `{url}`")]
    CopyFromUrl {
        /// What was to be copied.
        url: String,
    },
    /// A word that cannot be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// What docker can grant a command, and mkimg does not.
    #[error("{what} is not granted")]
    NotGranted {
        /// The flag, with its value.
        what: String,
    },
    /// A flag whose value is none of those it has.
    #[error("there is no `--{flag}={value}`")]
    NotAChoice {
        /// The flag, without dashes.
        flag: &'static str,
        /// What was given.
        value: String,
    },
    /// A `--mount` of `RUN`.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A port of `EXPOSE`.
    #[error(transparent)]
    Port(#[from] PortError),
}
