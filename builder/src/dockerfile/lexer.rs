//! From the text to logical lines: comments, continuations and heredocs.

use super::ast::{Checks, Comment, Heredoc, Warning, WarningKind};
use super::directive;
use super::error::{ParseError, ParseErrorKind};
use super::heredoc::Opening;
use super::span::{Source, Span};
use super::{MAX_FILE_BYTES, MAX_LINE_BYTES};

/// One instruction's text with its continuations joined, and where each piece of it was written.
#[derive(Debug)]
pub(super) struct Line {
    /// The joined text.
    pub text: String,
    /// Offset in `text` and offset in the source of each piece.
    pieces: Vec<(usize, usize)>,
    /// Lines of the source that a continuation skipped because nothing stood on them.
    pub empty: Option<Span>,
}

impl Line {
    /// Where a byte of `text` was written.
    fn origin(&self, at: usize) -> usize {
        let piece = self.pieces.partition_point(|(start, _)| *start <= at);
        match self.pieces.get(piece.wrapping_sub(1)) {
            Some((start, origin)) => origin + (at - start),
            None => 0,
        }
    }

    /// The place of a range of `text`.
    pub fn span(&self, source: &Source, range: std::ops::Range<usize>) -> Span {
        let start = self.origin(range.start);
        let end = if range.is_empty() {
            start
        } else {
            self.origin(range.end - 1) + 1
        };
        source.span(start, end)
    }
}

/// A line of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhysicalLine<'a> {
    /// Where `body` begins.
    pub start: usize,
    /// The line without line end and byte order mark.
    pub body: &'a str,
    /// Its line end.
    pub ending: &'a str,
}

impl PhysicalLine<'_> {
    /// One past its last byte, without the line end.
    fn end(&self) -> usize {
        self.start + self.body.len()
    }
}

/// Hands out the logical lines, and the heredocs between them.
pub(super) struct Lexer<'a> {
    source: &'a Source,
    lines: std::iter::Peekable<std::vec::IntoIter<PhysicalLine<'a>>>,
    read: Read,
}

/// What is left of the lines when all instructions are read.
#[derive(Default)]
pub(super) struct Read {
    /// The escape character.
    pub escape: char,
    /// `# check`
    pub checks: Checks,
    /// What docker warns of.
    pub warnings: Vec<Warning>,
    /// The comments before instructions.
    pub comments: Vec<Comment>,
}

impl<'a> Lexer<'a> {
    /// Ends the reading.
    pub(super) fn finish(self) -> Read {
        self.read
    }

    /// Reads the directives at the top.
    pub(super) fn new(source: &'a Source) -> Result<Self, ParseError> {
        let text = source.text();
        if text.len() > MAX_FILE_BYTES {
            let kind = ParseErrorKind::TooLarge {
                bytes: text.len(),
                limit: MAX_FILE_BYTES,
            };
            return Err(ParseError::new(kind, source.span(0, 0)));
        }
        if let Some(at) = text.find('\0') {
            let span = source.span(at, at + 1);
            return Err(ParseError::new(ParseErrorKind::NulByte, span));
        }
        let mut lines = physical(source)?.into_iter().peekable();
        let directives = directive::read(source, &mut lines)?;
        Ok(Lexer {
            source,
            lines,
            read: Read {
                escape: directives.escape,
                checks: directives.checks,
                ..Read::default()
            },
        })
    }

    /// The escape character.
    pub(super) fn escape(&self) -> char {
        self.read.escape
    }

    /// The text.
    pub(super) fn source(&self) -> &'a Source {
        self.source
    }

    /// The next line that holds an instruction.
    pub(super) fn line(&mut self) -> Option<Line> {
        let mut comments = Vec::new();
        loop {
            let line = self.lines.next()?;
            let trimmed = line.body.trim_start();
            if trimmed.starts_with('#') {
                match self.comment(line) {
                    Some(comment) => comments.push(comment),
                    None => comments.clear(),
                }
                continue;
            }
            let start = line.start + (line.body.len() - trimmed.len());
            let (first, continued) = without_continuation(trimmed, self.read.escape);
            if first.is_empty() && !continued {
                continue;
            }
            let comments = comments.into_iter();
            self.read.comments.extend(comments.map(|comment| Comment {
                before: start,
                ..comment
            }));
            let joined = Line {
                text: first.to_owned(),
                pieces: vec![(0, start)],
                empty: None,
            };
            return Some(if continued { self.join(joined) } else { joined });
        }
    }

    /// A comment, still without its instruction; none of a `#` alone. As docker has it, one that is indented
    /// keeps its `#`, and so is neither a description nor an option.
    fn comment(&self, line: PhysicalLine<'_>) -> Option<Comment> {
        let mut letters = line.body.chars();
        letters.next();
        let text = letters.as_str().trim();
        (!text.is_empty()).then(|| Comment {
            text: text.to_owned(),
            before: 0,
            span: self.source.span(line.start, line.end()),
        })
    }

    /// Appends the lines that continue one.
    fn join(&mut self, mut joined: Line) -> Line {
        let mut last = 0;
        for line in self.lines.by_ref() {
            last = line.start;
            let trimmed = line.body.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                let span = || self.source.span(line.start, line.end());
                joined.empty.get_or_insert_with(span);
                continue;
            }
            let (piece, more) = without_continuation(line.body, self.read.escape);
            joined.pieces.push((joined.text.len(), line.start));
            joined.text.push_str(piece);
            if !more {
                break;
            }
        }
        if let Some(span) = joined.empty {
            self.read.warnings.push(Warning {
                kind: WarningKind::EmptyContinuation {
                    last_line: self.source.span(last, last).line,
                },
                span,
            });
        }
        joined
    }

    /// The text of a heredoc: the lines up to that which is its name. `span` is where it is opened.
    pub(super) fn heredoc(&mut self, opening: Opening, span: Span) -> Result<Heredoc, ParseError> {
        let start = self.lines.peek().map_or(span.end, |line| line.start);
        let mut text = String::new();
        for line in self.lines.by_ref() {
            let candidate = if opening.strip_tabs {
                line.body.trim_start_matches('\t')
            } else {
                line.body
            };
            if candidate == opening.name {
                return Ok(Heredoc {
                    name: opening.name,
                    text,
                    strip_tabs: opening.strip_tabs,
                    expand: opening.expand,
                    span,
                    lines: self.source.span(start, line.end()),
                });
            }
            text.push_str(line.body);
            text.push_str(line.ending);
        }
        let name = opening.name;
        let hint = format!("it ends with a line that is {name} and nothing else");
        let kind = ParseErrorKind::HeredocNotEnded { name };
        Err(ParseError::new(kind, span).hint(hint))
    }
}

/// The lines with their offsets, without line ends and byte order mark.
fn physical(source: &Source) -> Result<Vec<PhysicalLine<'_>>, ParseError> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in source.text().split_inclusive('\n') {
        let bytes = line.strip_suffix('\n').unwrap_or(line).len();
        if bytes > MAX_LINE_BYTES {
            return Err(ParseError::new(
                ParseErrorKind::LineTooLong {
                    bytes,
                    limit: MAX_LINE_BYTES,
                },
                source.span(start, start),
            )
            .hint("break it with the escape character at the end of a line"));
        }
        let body = line.trim_end_matches(['\r', '\n']);
        let shown = if start == 0 {
            body.strip_prefix('\u{feff}').unwrap_or(body)
        } else {
            body
        };
        lines.push(PhysicalLine {
            start: start + (body.len() - shown.len()),
            body: shown,
            ending: &line[body.len()..],
        });
        start += line.len();
    }
    Ok(lines)
}

/// Cuts off the escape character at the end of a line; whether there was one. Two of them are none.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    let Some(before) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
        return (line, false);
    };
    if before.ends_with(escape) {
        return (line, false);
    }
    (before, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let source = Source::new(text);
        let mut lexer = Lexer::new(&source).unwrap();
        std::iter::from_fn(|| lexer.line())
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn continuations() {
        assert_eq!(
            texts("RUN a \\\n  # no\n\n  b\\  \n\nc\nRUN d"),
            ["RUN a   bc", "RUN d"]
        );
        assert_eq!(texts("RUN a\\\\\nRUN b \\"), ["RUN a\\\\", "RUN b "]);
        assert_eq!(
            texts("#escape=`\nRUN c:\\\nRUN a`\nb"),
            ["RUN c:\\", "RUN ab"]
        );
        assert_eq!(texts("\u{feff}#escape=`\r\nRUN a`\r\nb\r\n"), ["RUN ab"]);
    }

    #[test]
    fn directives_end_at_the_first_other_line() {
        assert_eq!(texts("# hi\n# escape=`\nRUN a`\n"), ["RUN a`"]);
        assert_eq!(texts("# check=skip=all\n# escape=`\nRUN a`\nb"), ["RUN ab"]);
        assert_eq!(texts("# some=x\n# escape=`\nRUN a`\n"), ["RUN a`"]);
        assert_eq!(texts("#!/bin/x\n# escape=`\nRUN a`\n"), ["RUN a`"]);
        for bad in [
            "# escape=\\\n# escape=\\\n",
            "# escape=x\n",
            "# syntax=other/frontend:1\n",
            "#!/bin/x\n# syntax=other/frontend:1\n",
        ] {
            assert!(Lexer::new(&Source::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_survive_joining() {
        let source = Source::new("  RUN a \\\n# x\n  bc\n");
        let line = Lexer::new(&source).unwrap().line().unwrap();
        let at = line.text.find("bc").unwrap();
        let span = line.span(&source, at..at + 2);
        assert_eq!((source.slice(span), span.line), ("bc", 3));
        assert_eq!(
            source.slice(line.span(&source, 0..line.text.len())),
            "RUN a \\\n# x\n  bc"
        );
    }
}
