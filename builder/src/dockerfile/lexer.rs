//! From the text to logical lines: directives, comments and continuations.

use super::ast::{Checks, Comment, Gap, Word};
use super::check::checks;
use super::error::{ParseError, ParseErrorKind};
use super::span::{Source, Span};
use super::{MAX_FILE_BYTES, MAX_LINE_BYTES};

/// One instruction's text with its continuations joined, and where each piece of it was written.
#[derive(Debug)]
pub(super) struct Line {
    /// The joined text.
    pub text: String,
    /// Offset in `text` and offset in the source of each piece.
    pieces: Vec<(usize, usize)>,
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

/// The text cut into logical lines.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    /// The escape character.
    pub escape: char,
    /// The lines that hold instructions.
    pub lines: Vec<Line>,
    /// What `# check` says.
    pub checks: Checks,
    /// The comments before instructions.
    pub comments: Vec<Comment>,
    /// The lines on which nothing stands in the middle of instructions.
    pub gaps: Vec<Gap>,
}

/// Cuts the text into logical lines.
pub(super) fn lex(source: &Source) -> Result<Lexed, ParseError> {
    let text = source.text();
    if text.len() > MAX_FILE_BYTES {
        return Err(ParseError::new(
            ParseErrorKind::TooLarge {
                bytes: text.len(),
                limit: MAX_FILE_BYTES,
            },
            source.span(0, 0),
        ));
    }
    if let Some(at) = text.find('\0') {
        return Err(ParseError::new(
            ParseErrorKind::NulByte,
            source.span(at, at + 1),
        ));
    }
    let mut lines = physical(source)?.into_iter().peekable();
    let (escape, checks) = directives(source, &mut lines)?;
    let mut lexed = Lexed {
        escape,
        lines: Vec::new(),
        checks,
        comments: Vec::new(),
        gaps: Vec::new(),
    };
    let mut comments = Vec::new();
    while let Some((start, line)) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with('#') {
            match comment(source, start, line) {
                Some(comment) => comments.push(comment),
                None => comments.clear(),
            }
            continue;
        }
        let start = start + (line.len() - trimmed.len());
        let (first, mut continued) = without_continuation(trimmed, escape);
        if first.is_empty() && !continued {
            continue;
        }
        let mut joined = Line {
            text: first.to_owned(),
            pieces: vec![(0, start)],
        };
        lexed
            .comments
            .extend(comments.drain(..).map(|comment| Comment {
                before: start,
                ..comment
            }));
        let mut gap: Option<Span> = None;
        let mut last = start;
        while continued {
            let Some((start, line)) = lines.next() else {
                break;
            };
            last = start;
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim_start().is_empty() {
                gap.get_or_insert(source.span(start, start + line.len()));
                continue;
            }
            let (piece, more) = without_continuation(line, escape);
            joined.pieces.push((joined.text.len(), start));
            joined.text.push_str(piece);
            continued = more;
        }
        lexed.gaps.extend(gap.map(|span| Gap {
            span,
            last_line: source.span(last, last).line,
        }));
        lexed.lines.push(joined);
    }
    Ok(lexed)
}

/// The lines with their offsets, without line ends and byte order mark.
fn physical(source: &Source) -> Result<Vec<(usize, &str)>, ParseError> {
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
        lines.push((start + (body.len() - shown.len()), shown));
        start += line.len();
    }
    Ok(lines)
}

/// A comment, still without its instruction; none of a `#` alone. As docker has it, one that is indented keeps
/// its `#`, and so is neither a description nor an option.
fn comment(source: &Source, start: usize, line: &str) -> Option<Comment> {
    let mut letters = line.chars();
    letters.next();
    let text = letters.as_str().trim();
    let comment = Comment {
        text: text.to_owned(),
        before: 0,
        span: source.span(start, start + line.trim_end().len()),
    };
    (!text.is_empty()).then_some(comment)
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

/// Reads the parser directives at the top: comments of the form `# name=value`, up to the first other line.
fn directives<'a>(
    source: &Source,
    lines: &mut std::iter::Peekable<impl Iterator<Item = (usize, &'a str)>>,
) -> Result<(char, Checks), ParseError> {
    let mut escape = '\\';
    let mut said = Checks::default();
    let mut seen: Vec<String> = Vec::new();
    // docker looks past it for the syntax, but not for the escape character
    let shebang = lines.next_if(|(_, line)| line.starts_with("#!")).is_some();
    while let Some((start, line)) = lines.peek() {
        let trimmed = line.trim_start();
        let Some((name, value)) = directive(trimmed) else {
            break;
        };
        let begin = start + (line.len() - trimmed.len());
        let span = source.span(begin, start + line.trim_end().len());
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "escape" | "syntax" | "check" if seen.contains(&name) => {
                return Err(ParseError::new(
                    ParseErrorKind::DirectiveTwice { name },
                    span,
                ));
            }
            "escape" if !shebang => escape = escape_character(value, span)?,
            "syntax" => known_syntax(value, span)?,
            "check" => {
                let text = value.to_owned();
                said = checks(&Word { text, span })?;
            }
            "escape" => {}
            _ => break,
        }
        seen.push(name);
        lines.next();
    }
    Ok((escape, said))
}

/// `# name = value`
fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let named = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((name, value))
}

fn escape_character(value: &str, span: Span) -> Result<char, ParseError> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        _ => Err(ParseError::new(
            ParseErrorKind::BadEscape {
                value: value.to_owned(),
            },
            span,
        )),
    }
}

/// Accepts docker's own front ends, whose language this is, in any version.
fn known_syntax(value: &str, span: Span) -> Result<(), ParseError> {
    let name = value.split(['@', ' ', '\t']).next().unwrap_or_default();
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.split(':').next().unwrap_or_default();
    if matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream") {
        return Ok(());
    }
    Err(ParseError::new(
        ParseErrorKind::UnknownSyntax {
            value: value.to_owned(),
        },
        span,
    )
    .hint("only docker/dockerfile is read: remove the line if the file is an ordinary Dockerfile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let lexed = lex(&Source::new(text)).unwrap();
        lexed.lines.into_iter().map(|line| line.text).collect()
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
            assert!(lex(&Source::new(bad)).is_err(), "{bad}");
        }
        for good in ["1", "1.7-labs", "latest", "1@sha256:00"] {
            assert!(texts(&format!("# syntax = docker/dockerfile:{good}\n")).is_empty());
        }
    }

    #[test]
    fn places_survive_joining() {
        let source = Source::new("  RUN a \\\n# x\n  bc\n");
        let lexed = lex(&source).unwrap();
        let line = &lexed.lines[0];
        let at = line.text.find("bc").unwrap();
        let span = line.span(&source, at..at + 2);
        assert_eq!((source.slice(span), span.line), ("bc", 3));
        assert_eq!(
            source.slice(line.span(&source, 0..line.text.len())),
            "RUN a \\\n# x\n  bc"
        );
    }
}
