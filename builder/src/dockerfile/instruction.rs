//! One instruction out of its line.

use std::ops::Range;

use super::ast::{
    ArgDeclaration, Command, CommandLine, Copy, CopySource, Instruction, Pair, Run, Word,
};
use super::error::{ParseError, ParseErrorKind};
use super::flags::{self, Flags};
use super::lexer::Line;
use super::span::{Source, Span};
use super::words::{self, BLANKS, Json, Piece};

/// The instructions that are built.
pub(super) const SUPPORTED: [&str; 11] = [
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "LABEL",
    "RUN",
    "USER",
    "WORKDIR",
];

/// Those that docker has besides, and what to do without them.
pub(super) const REFUSED: [(&str, Option<&str>); 7] = [
    (
        "ADD",
        Some("COPY takes files from the context; fetch and unpack others in a RUN"),
    ),
    ("HEALTHCHECK", None),
    (
        "MAINTAINER",
        Some("docker deprecates it: use LABEL org.opencontainers.image.authors=\"...\""),
    ),
    ("ONBUILD", None),
    (
        "SHELL",
        Some("name the shell in the RUN itself: RUN [\"/bin/bash\", \"-c\", \"...\"]"),
    ),
    ("STOPSIGNAL", None),
    (
        "VOLUME",
        Some("leave it out: what is to outlive a container is mounted when it is run"),
    ),
];

/// An instruction's line, cut into keyword, flags and the rest.
pub(super) struct Statement<'a> {
    source: &'a Source,
    line: &'a Line,
    escape: char,
    keyword: Range<usize>,
    flags: Vec<Piece>,
    rest: Range<usize>,
}

impl<'a> Statement<'a> {
    /// Cuts a line.
    pub(super) fn new(source: &'a Source, line: &'a Line, escape: char) -> Self {
        let text = &line.text;
        let whole = words::trimmed(text, 0..text.len());
        let length = text[whole.clone()].find(BLANKS);
        let keyword = whole.start..length.map_or(whole.end, |length| whole.start + length);
        let (flags, rest) = words::flags(text, keyword.end..whole.end, escape);
        Statement {
            source,
            line,
            escape,
            keyword,
            flags,
            rest: words::trimmed(text, rest..whole.end),
        }
    }

    /// The keyword as it is written.
    pub(super) fn keyword(&self) -> &'a str {
        &self.line.text[self.keyword.clone()]
    }

    /// The place of the keyword.
    pub(super) fn keyword_span(&self) -> Span {
        self.span(self.keyword.clone())
    }

    /// The place of the whole instruction.
    pub(super) fn whole_span(&self) -> Span {
        let text = &self.line.text;
        self.span(words::trimmed(text, 0..text.len()))
    }

    /// The words after the flags, cut at blanks.
    pub(super) fn blank_separated(&self) -> Vec<Word> {
        let pieces = words::blank_separated(&self.line.text, self.rest.clone());
        pieces.into_iter().map(|piece| self.word(piece)).collect()
    }

    /// The flags, checked against those of the instruction.
    pub(super) fn flags(&self, name: &'static str) -> Result<Flags, ParseError> {
        flags::check(name, &self.flags, |piece| self.word(piece), self.rest())
    }

    /// What the instruction says. `name` is one of [`SUPPORTED`], but not `FROM`.
    pub(super) fn instruction(&self, name: &'static str) -> Result<Instruction, ParseError> {
        let mut flags = self.flags(name)?;
        let command = match name {
            "ARG" => Command::Arg(self.declarations()?),
            "CMD" => Command::Cmd(self.command_line()?),
            "COPY" => Command::Copy(self.copy(&mut flags)?),
            "ENTRYPOINT" => Command::Entrypoint(self.command_line()?),
            "ENV" => Command::Env(self.pairs(name)?),
            "EXPOSE" => Command::Expose(self.at_least_one(name, "a port")?),
            "LABEL" => Command::Label(self.pairs(name)?),
            "RUN" => {
                let command = self.command_line()?;
                if let CommandLine::Shell(_) = command {
                    self.refuse_heredocs("RUN")?;
                }
                Command::Run(Run {
                    command,
                    heredocs: Vec::new(),
                    mounts: flags.take_all("mount"),
                    network: flags.take("network"),
                    security: flags.take("security"),
                })
            }
            "USER" => Command::User(self.rest_as_word(name, "a user")?),
            _ => Command::Workdir(self.rest_as_word(name, "a directory")?),
        };
        Ok(Instruction {
            span: self.whole_span(),
            keyword: self.keyword_span(),
            command,
        })
    }

    fn rest(&self) -> &'a str {
        &self.line.text[self.rest.clone()]
    }

    fn span(&self, range: Range<usize>) -> Span {
        self.line.span(self.source, range)
    }

    fn word(&self, piece: Piece) -> Word {
        Word {
            text: piece.text,
            span: self.span(piece.range),
        }
    }

    /// The text of a range, as a word.
    fn written(&self, range: Range<usize>) -> Word {
        Word {
            text: self.line.text[range.clone()].to_owned(),
            span: self.span(range),
        }
    }

    fn missing(&self, instruction: &'static str, needs: &'static str) -> ParseError {
        let kind = ParseErrorKind::MissingArgument { instruction, needs };
        ParseError::new(kind, self.whole_span())
    }

    fn rest_as_word(&self, name: &'static str, needs: &'static str) -> Result<Word, ParseError> {
        if self.rest.is_empty() {
            return Err(self.missing(name, needs));
        }
        Ok(self.written(self.rest.clone()))
    }

    fn at_least_one(
        &self,
        name: &'static str,
        needs: &'static str,
    ) -> Result<Vec<Word>, ParseError> {
        let words = self.blank_separated();
        if words.is_empty() {
            return Err(self.missing(name, needs));
        }
        Ok(words)
    }

    /// `name=value ...`, or the old form `name value` that takes the rest of the line.
    fn pairs(&self, instruction: &'static str) -> Result<Vec<Pair>, ParseError> {
        let pieces = words::quoted(&self.line.text, self.rest.clone(), self.escape);
        let Some(first) = pieces.first() else {
            return Err(self.missing(instruction, "a name and a value"));
        };
        if !first.text.contains('=') {
            let Some(blank) = self.rest().find(BLANKS) else {
                return Err(self
                    .missing(instruction, "a name and a value")
                    .hint(format!("write {instruction} name=value")));
            };
            let blank = self.rest.start + blank;
            let value = words::trimmed(&self.line.text, blank..self.rest.end);
            return Ok(vec![Pair {
                name: self.written(self.rest.start..blank),
                value: self.written(value),
            }]);
        }
        pieces
            .into_iter()
            .map(|piece| {
                let span = self.span(piece.range.clone());
                let Some((name, Some(value))) = self.split_at_equals(&piece) else {
                    let kind = ParseErrorKind::MissingEquals { word: piece.text };
                    return Err(ParseError::new(kind, span)
                        .hint("a value with spaces needs quotes: name=\"a b\""));
                };
                if name.text.is_empty() {
                    let kind = ParseErrorKind::EmptyName { instruction };
                    return Err(ParseError::new(kind, span));
                }
                Ok(Pair { name, value })
            })
            .collect()
    }

    fn declarations(&self) -> Result<Vec<ArgDeclaration>, ParseError> {
        let pieces = words::quoted(&self.line.text, self.rest.clone(), self.escape);
        if pieces.is_empty() {
            return Err(self.missing("ARG", "a name"));
        }
        pieces
            .into_iter()
            .map(|piece| match self.split_at_equals(&piece) {
                Some((name, default)) if !name.text.is_empty() => {
                    Ok(ArgDeclaration { name, default })
                }
                _ => {
                    let kind = ParseErrorKind::EmptyName { instruction: "ARG" };
                    Err(ParseError::new(kind, self.span(piece.range)))
                }
            })
            .collect()
    }

    /// `name` or `name=value`. The word's bytes are those of its place, but for an escape character that
    /// ended the line.
    fn split_at_equals(&self, piece: &Piece) -> Option<(Word, Option<Word>)> {
        let Some((name, value)) = piece.text.split_once('=') else {
            let name = self.word(piece.clone());
            return Some((name, None));
        };
        let start = piece.range.start;
        let name = Piece {
            text: name.to_owned(),
            range: start..start + name.len(),
        };
        let value = Piece {
            text: value.to_owned(),
            range: name.range.end + 1..name.range.end + 1 + value.len(),
        };
        Some((self.word(name), Some(self.word(value))))
    }

    fn command_line(&self) -> Result<CommandLine, ParseError> {
        Ok(match self.json()? {
            Some(words) => CommandLine::Exec(words),
            None => CommandLine::Shell(self.written(self.rest.clone())),
        })
    }

    /// The words of the JSON form; nothing where it is another form.
    fn json(&self) -> Result<Option<Vec<Word>>, ParseError> {
        let error = |kind, range| Err(ParseError::new(kind, self.span(range)));
        match words::json(&self.line.text, self.rest.clone()) {
            Json::No => Ok(None),
            Json::Strings(pieces) => {
                let words = pieces.into_iter().map(|piece| self.word(piece)).collect();
                Ok(Some(words))
            }
            Json::NotAString(range) => error(ParseErrorKind::NotAString, range),
            Json::BadString(range) => error(ParseErrorKind::BadJsonString, range),
        }
    }

    fn refuse_heredocs(&self, instruction: &str) -> Result<(), ParseError> {
        let text = &self.line.text;
        match words::heredoc(text, 0..text.len()) {
            Some(range) => Err(heredoc_refused(instruction, self.span(range))),
            None => Ok(()),
        }
    }

    fn copy(&self, flags: &mut Flags) -> Result<Copy, ParseError> {
        let json = self.json()?;
        if json.is_none() {
            self.refuse_heredocs("COPY")?;
        }
        let mut words = json.unwrap_or_else(|| self.blank_separated());
        if let Some(word) = words.iter().find(|word| words::is_heredoc(&word.text)) {
            return Err(heredoc_refused("COPY", word.span));
        }
        let Some(destination) = words.pop().filter(|_| !words.is_empty()) else {
            return Err(self.missing("COPY", "a source and a destination"));
        };
        let from = flags.take("from");
        if let Some(from) = &from {
            let plain = from.expand(self.escape, &|_| None, &mut Default::default());
            if !plain.is_ok_and(|plain| plain.text == from.text) {
                return Err(ParseError::new(ParseErrorKind::VariableInFrom, from.span)
                    .hint("name a stage for it: FROM $image AS name, and then COPY --from=name"));
            }
        }
        Ok(Copy {
            from,
            chown: flags.take("chown"),
            chmod: flags.take("chmod"),
            link: flags.take_bool("link")?.unwrap_or(false),
            parents: flags.take_bool("parents")?.unwrap_or(false),
            exclude: flags.take_all("exclude"),
            closure: flags.take_bool("closure")?.unwrap_or(false),
            sources: words.into_iter().map(CopySource::Path).collect(),
            destination,
        })
    }
}

fn heredoc_refused(instruction: &str, span: Span) -> ParseError {
    let kind = ParseErrorKind::NotSupported {
        what: format!("a heredoc in {instruction}"),
    };
    let hint = match instruction {
        "RUN" => "put the text into a file of the context, or quote the << if no heredoc is meant",
        _ => "put the text into a file of the context",
    };
    ParseError::new(kind, span).hint(hint)
}
