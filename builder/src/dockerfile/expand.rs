//! The expansion of variables in words, as docker does it.

use std::collections::BTreeSet;

use super::ast::{Add, Command, Copy, CopySource, Heredoc, Instruction, Pair, Run, Word};
use super::error::{ParseError, ParseErrorKind};
use super::shell_word::{Fault, Keep, ShellWord};
use super::span::Span;

/// What a name stands for; `None` where it is not set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How deep `${a:-${b:-...}}` may go.
pub const MAX_DEPTH: usize = 64;
/// Longest word after expansion in bytes: longer than any argument or variable a program can be given.
pub const MAX_EXPANDED_BYTES: usize = 1 << 20;

/// A word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote or `${` that is not closed.
    #[error("`{what}` is not closed")]
    NotClosed {
        /// What is not closed.
        what: &'static str,
    },
    /// `${}`, `${:-a}`.
    #[error("`${{` without a name")]
    NoName,
    /// `${a:=b}`, `${a^}`: of a shell, but not of docker.
    #[error("`{modifier}` is not among the modifiers of a variable")]
    UnknownModifier {
        /// What follows the name.
        modifier: String,
    },
    /// `${a:?message}`, and the variable is not set or empty.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message after the `?`, or what is wrong.
        message: String,
    },
    /// A `\` in a pattern before something else than `*`, `?` and `\`.
    #[error("`{pattern}` is not a valid pattern: \\ may stand before *, ? and \\ only")]
    BadPattern {
        /// The pattern.
        pattern: String,
    },
    /// More than [`MAX_DEPTH`].
    #[error("variables are nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// More than [`MAX_EXPANDED_BYTES`].
    #[error("the word has more than {limit} bytes after expansion")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Long patterns on long values.
    #[error("the patterns of this word would take too long to match")]
    TooMuchWork,
}

/// The names that an expansion asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Those that were set.
    pub set: BTreeSet<String>,
    /// Those that were not, and stood for nothing.
    pub unset: BTreeSet<String>,
}

impl Instruction {
    /// The same instruction with its variables expanded where docker expands them (not in `RUN`, `CMD` and
    /// `ENTRYPOINT`, and not in the names of `ARG`), its quotes and escapes resolved; and the names it asked
    /// for. `escape` is [`super::Dockerfile::escape`].
    ///
    /// All words see the same variables, as docker has it: `ENV a=1 b=$a` does not see the new `a`. In an
    /// `ARG` with several names each default does see the earlier ones: expand those one by one with
    /// [`super::Word::expand`]. A word of `EXPOSE` may become several, or none.
    ///
    /// # Errors
    /// When a word cannot be expanded, or `COPY` is to fetch from a URL.
    pub fn expand(
        &self,
        escape: char,
        lookup: Lookup<'_>,
    ) -> Result<(Instruction, Asked), ParseError> {
        let mut asked = Asked::default();
        let mut expand = |word: &Word| word.expand(escape, lookup, &mut asked);
        let command = match &self.command {
            Command::Cmd(_)
            | Command::Entrypoint(_)
            | Command::Healthcheck(_)
            | Command::Maintainer(_)
            | Command::Onbuild(_)
            | Command::Shell(_) => self.command.clone(),
            Command::Run(run) => Command::Run(expand_run(run, escape, lookup, &mut asked)?),
            Command::Arg(declarations) => {
                let mut declarations = declarations.clone();
                for default in declarations
                    .iter_mut()
                    .filter_map(|one| one.default.as_mut())
                {
                    *default = expand(default)?;
                }
                Command::Arg(declarations)
            }
            Command::Copy(copy) => {
                let mut copy = expand_copy(copy, expand)?;
                expand_heredocs(&mut copy, lookup, &mut asked)?;
                refuse_addresses(&copy)?;
                Command::Copy(copy)
            }
            Command::Add(add) => {
                let mut copy = expand_copy(&add.copy, &mut expand)?;
                let checksum = expand_optional(&add.checksum, &mut expand)?;
                expand_heredocs(&mut copy, lookup, &mut asked)?;
                Command::Add(Add {
                    copy,
                    checksum,
                    ..add.clone()
                })
            }
            Command::Env(pairs) => Command::Env(expand_pairs(pairs, expand)?),
            Command::Label(pairs) => Command::Label(expand_pairs(pairs, expand)?),
            Command::StopSignal(word) => Command::StopSignal(expand(word)?),
            Command::User(word) => Command::User(expand(word)?),
            Command::Volume(words) => {
                Command::Volume(words.iter().map(expand).collect::<Result<_, _>>()?)
            }
            Command::Workdir(word) => Command::Workdir(expand(word)?),
            Command::Expose(words) => {
                let mut ports = Vec::new();
                for word in words {
                    ports.extend(word.expand_to_words(escape, lookup, &mut asked)?);
                }
                Command::Expose(ports)
            }
        };
        let instruction = Instruction {
            span: self.span,
            keyword: self.keyword,
            command,
        };
        Ok((instruction, asked))
    }
}

fn expand_pairs(
    pairs: &[Pair],
    mut expand: impl FnMut(&Word) -> Result<Word, ParseError>,
) -> Result<Vec<Pair>, ParseError> {
    let one = |pair: &Pair| {
        Ok(Pair {
            name: expand(&pair.name)?,
            value: expand(&pair.value)?,
        })
    };
    pairs.iter().map(one).collect()
}

/// The command itself is for its shell to expand.
fn expand_run(
    run: &Run,
    escape: char,
    lookup: Lookup<'_>,
    asked: &mut Asked,
) -> Result<Run, ParseError> {
    let mounts = run.mounts.iter().map(|mount| {
        let mount = mount.expand(escape, lookup, asked)?;
        mount.read()?;
        Ok(mount)
    });
    Ok(Run {
        mounts: mounts.collect::<Result<_, _>>()?,
        ..run.clone()
    })
}

fn expand_copy(
    copy: &Copy,
    mut expand: impl FnMut(&Word) -> Result<Word, ParseError>,
) -> Result<Copy, ParseError> {
    let sources = copy.sources.iter().map(|source| match source {
        CopySource::Path(word) => Ok(CopySource::Path(expand(word)?)),
        CopySource::Heredoc(heredoc) => Ok(CopySource::Heredoc(heredoc.clone())),
    });
    Ok(Copy {
        sources: sources.collect::<Result<_, _>>()?,
        chown: expand_optional(&copy.chown, &mut expand)?,
        chmod: expand_optional(&copy.chmod, &mut expand)?,
        exclude: copy
            .exclude
            .iter()
            .map(&mut expand)
            .collect::<Result<_, _>>()?,
        destination: expand(&copy.destination)?,
        ..copy.clone()
    })
}

/// Makes of each heredoc what its file is to hold.
fn expand_heredocs(
    copy: &mut Copy,
    lookup: Lookup<'_>,
    asked: &mut Asked,
) -> Result<(), ParseError> {
    for source in &mut copy.sources {
        if let CopySource::Heredoc(heredoc) = source {
            heredoc.text = heredoc.expanded(lookup, asked)?;
            (heredoc.strip_tabs, heredoc.expand) = (false, false);
        }
    }
    Ok(())
}

impl Heredoc {
    /// The content, its variables expanded where they are to be.
    pub(super) fn expanded(
        &self,
        lookup: Lookup<'_>,
        asked: &mut Asked,
    ) -> Result<String, ParseError> {
        let content = self.content();
        if !self.expand || !content.contains(['$', '\\']) {
            return Ok(content);
        }
        let expanded = ShellWord::text(&content, lookup, asked).one();
        expanded.map_err(|fault| {
            let before = &content[..fault.range.start];
            let line = self.lines.line + before.matches('\n').count();
            // where tabs were taken away, the line is known and the bytes are not
            let exact = content.len() == self.text.len() && self.lines.len() > content.len();
            let span = match exact {
                true => Span {
                    start: self.lines.start + fault.range.start,
                    end: self.lines.start + fault.range.end,
                    line,
                },
                false => self.span,
            };
            fault.at(span)
        })
    }
}

/// What expands to nothing says nothing.
fn expand_optional(
    word: &Option<Word>,
    expand: impl FnMut(&Word) -> Result<Word, ParseError>,
) -> Result<Option<Word>, ParseError> {
    let word = word.as_ref().map(expand).transpose()?;
    Ok(word.filter(|word| !word.text.is_empty()))
}

fn refuse_addresses(copy: &Copy) -> Result<(), ParseError> {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@"];
    let remote = |source: &&Word| schemes.iter().any(|scheme| source.text.starts_with(scheme));
    let Some(source) = copy.paths().find(remote) else {
        return Ok(());
    };
    let kind = ParseErrorKind::CopyFromUrl {
        url: source.text.clone(),
    };
    Err(ParseError::new(kind, source.span)
        .hint("put the file into the context, or fetch it in a RUN"))
}

impl Word {
    /// The word expanded: one word, whatever spaces its variables bring.
    ///
    /// # Errors
    /// When a quote or brace is not closed, a modifier or pattern is wrong, a variable that must be set is
    /// not, or a limit is passed.
    pub fn expand(
        &self,
        escape: char,
        lookup: Lookup<'_>,
        asked: &mut Asked,
    ) -> Result<Word, ParseError> {
        if !self.text.contains(['$', '\'', '"', escape]) {
            return Ok(self.clone());
        }
        let text = ShellWord::new(&self.text, escape, Keep::Nothing, lookup, asked)
            .one()
            .map_err(|fault| self.error(fault))?;
        Ok(Word {
            text,
            span: self.span,
        })
    }

    /// The words it is after expansion: unquoted white space separates them, that of variables too.
    fn expand_to_words(
        &self,
        escape: char,
        lookup: Lookup<'_>,
        asked: &mut Asked,
    ) -> Result<Vec<Word>, ParseError> {
        let words = ShellWord::new(&self.text, escape, Keep::Nothing, lookup, asked)
            .several()
            .map_err(|fault| self.error(fault))?;
        let word = |text| Word {
            text,
            span: self.span,
        };
        Ok(words.into_iter().map(word).collect())
    }

    fn error(&self, fault: Fault) -> ParseError {
        let span = self.part(fault.range.clone());
        fault.at(span)
    }
}

impl Fault {
    fn at(self, span: Span) -> ParseError {
        let hint = match &self.error {
            ExpandError::NotClosed { what: "\'" | "\"" } => {
                Some("close it, or put the escape character before it")
            }
            ExpandError::UnknownModifier { .. } => {
                Some("there are :- - :+ + :? ? # ## % %% / and //")
            }
            _ => None,
        };
        let error = ParseError::new(self.error.into(), span);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
