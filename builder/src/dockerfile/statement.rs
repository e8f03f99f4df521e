//! An instruction's line, cut into keyword, flags and the rest, and the forms that the rest has.

use std::ops::Range;

use super::ast::{ArgDeclaration, CommandLine, Heredoc, Pair, Warning, WarningKind, Word};
use super::error::{ParseError, ParseErrorKind};
use super::flags::{self, Flags};
use super::heredoc::{self, Opening};
use super::lexer::Line;
use super::span::{Source, Span};
use super::words::{self, BLANKS, Json, Piece};

/// An instruction's line, cut into keyword, flags and the rest.
pub(super) struct Statement<'a> {
    source: &'a Source,
    line: &'a Line,
    escape: char,
    keyword: Range<usize>,
    flags: Vec<Piece>,
    rest: Range<usize>,
    /// The heredocs that it opens, in that order.
    heredocs: Vec<Heredoc>,
}

impl<'a> Statement<'a> {
    /// Cuts a line.
    pub(super) fn new(source: &'a Source, line: &'a Line, escape: char) -> Self {
        Self::part(source, line, escape, 0..line.text.len())
    }

    /// Cuts a part of a line.
    fn part(source: &'a Source, line: &'a Line, escape: char, part: Range<usize>) -> Self {
        let text = &line.text;
        let whole = words::trimmed(text, part);
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
            heredocs: Vec::new(),
        }
    }

    /// The instruction that is the argument of this one, which is `ONBUILD`.
    pub(super) fn inner(&self) -> Self {
        let mut inner = Self::part(self.source, self.line, self.escape, self.rest.clone());
        inner.heredocs.clone_from(&self.heredocs);
        inner
    }

    /// The heredocs that the line opens, and where.
    pub(super) fn openings(&self) -> Vec<(Opening, Span)> {
        if !self.line.text.contains("<<") {
            return Vec::new();
        }
        if self.keyword().eq_ignore_ascii_case("ONBUILD") {
            return self.inner().own_openings();
        }
        self.own_openings()
    }

    fn own_openings(&self) -> Vec<(Opening, Span)> {
        let takes = |name: &&str| self.keyword().eq_ignore_ascii_case(name);
        let is_json = || !matches!(words::json(&self.line.text, self.rest.clone()), Json::No);
        if !["ADD", "COPY", "RUN"].iter().any(takes) || is_json() {
            return Vec::new();
        }
        let openings = heredoc::openings(&self.line.text).into_iter();
        openings
            .map(|(opening, range)| (opening, self.span(range)))
            .collect()
    }

    /// Takes in the heredocs that it opens.
    pub(super) fn with_heredocs(mut self, heredocs: Vec<Heredoc>) -> Self {
        self.heredocs = heredocs;
        self
    }

    /// The heredocs that it opens.
    pub(super) fn heredocs(&self) -> &[Heredoc] {
        &self.heredocs
    }

    /// The escape character.
    pub(super) fn escape(&self) -> char {
        self.escape
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
        let span = self.span(self.keyword.start..self.rest.end.max(self.keyword.end));
        match self.heredocs.last() {
            Some(last) => span.to(last.lines),
            None => span,
        }
    }

    /// The text from the keyword to the end of the line, blanks at the end included.
    pub(super) fn to_the_end(&self) -> &'a str {
        &self.line.text[self.keyword.start..]
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

    /// The text after the flags.
    pub(super) fn rest(&self) -> &'a str {
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

    /// The error that something is missing.
    pub(super) fn missing(&self, instruction: &'static str, needs: &'static str) -> ParseError {
        let kind = ParseErrorKind::MissingArgument { instruction, needs };
        ParseError::new(kind, self.whole_span())
    }

    /// All of the rest, as one word.
    pub(super) fn rest_as_word(
        &self,
        name: &'static str,
        needs: &'static str,
    ) -> Result<Word, ParseError> {
        if self.rest.is_empty() {
            return Err(self.missing(name, needs));
        }
        Ok(self.written(self.rest.clone()))
    }

    /// The words of the rest, cut at blanks.
    pub(super) fn at_least_one(
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
    pub(super) fn pairs(&self, instruction: &'static str) -> Result<Vec<Pair>, ParseError> {
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

    /// `name` or `name=value`, several times.
    pub(super) fn declarations(&self) -> Result<Vec<ArgDeclaration>, ParseError> {
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

    /// The rest as a command.
    pub(super) fn command_line(
        &self,
        warnings: &mut Vec<Warning>,
    ) -> Result<CommandLine, ParseError> {
        self.command_line_in(self.rest.clone(), warnings)
    }

    /// The first word of the rest, and what follows it as a command.
    pub(super) fn word_and_command(
        &self,
        warnings: &mut Vec<Warning>,
    ) -> Result<(Word, CommandLine), ParseError> {
        let length = self.rest().find(char::is_whitespace);
        let end = length.map_or(self.rest.end, |length| self.rest.start + length);
        let command = words::trimmed(&self.line.text, end..self.rest.end);
        let command = self.command_line_in(command, warnings)?;
        Ok((self.written(self.rest.start..end), command))
    }

    fn command_line_in(
        &self,
        range: Range<usize>,
        warnings: &mut Vec<Warning>,
    ) -> Result<CommandLine, ParseError> {
        if let Some(words) = self.json_in(range.clone())? {
            return Ok(CommandLine::Exec(words));
        }
        let word = self.written(range);
        if words::is_nearly_json(&word.text) {
            warnings.push(Warning {
                kind: WarningKind::NotQuiteJson,
                span: word.span,
            });
        }
        Ok(CommandLine::Shell(word))
    }

    /// The words of the JSON form; nothing where it is another form.
    pub(super) fn json(&self) -> Result<Option<Vec<Word>>, ParseError> {
        self.json_in(self.rest.clone())
    }

    fn json_in(&self, range: Range<usize>) -> Result<Option<Vec<Word>>, ParseError> {
        let error = |kind, range| Err(ParseError::new(kind, self.span(range)));
        match words::json(&self.line.text, range) {
            Json::No => Ok(None),
            Json::Strings(pieces) => {
                let words = pieces.into_iter().map(|piece| self.word(piece)).collect();
                Ok(Some(words))
            }
            Json::NotAString(range) => error(ParseErrorKind::NotAString, range),
            Json::BadString(range) => error(ParseErrorKind::BadJsonString, range),
        }
    }
}
