//! Places in a Dockerfile: byte ranges for the machine, lines and columns for people.

/// A range of bytes in a [`Source`], and the line it begins on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte, counted from 0.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line of `start`, counted from 1; 0 only in a span that belongs to no text.
    pub line: usize,
}

impl Span {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether no byte is covered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From the beginning of `self` to the end of `last`.
    pub fn to(self, last: Span) -> Span {
        Span {
            end: last.end.max(self.end),
            ..self
        }
    }
}

/// A line and a column, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A text and where its lines begin.
#[derive(Clone, Debug)]
pub struct Source {
    text: String,
    line_starts: Vec<usize>,
    /// The place that stands for all of them.
    at: Option<Span>,
}

impl Source {
    /// Keeps `text` as it is, byte order mark and carriage returns included.
    pub fn new(text: &str) -> Self {
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        Source {
            text: text.to_owned(),
            line_starts,
            at: None,
        }
    }

    /// A text that another one brings in at `at`: every place in it is that one.
    pub(super) fn at(text: &str, at: Span) -> Self {
        Source {
            at: Some(at),
            ..Self::new(text)
        }
    }

    /// The whole text, unchanged.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of `span`; empty where the span does not fit this text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Line and column of a byte offset; an offset past the end is the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self
            .line_starts
            .get(line.wrapping_sub(1))
            .copied()
            .unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }

    /// The line (from 1) without its line end; empty where there is no such line.
    pub fn line(&self, line: usize) -> &str {
        let Some(start) = line.checked_sub(1).and_then(|at| self.line_starts.get(at)) else {
            return "";
        };
        let end = self
            .line_starts
            .get(line)
            .copied()
            .unwrap_or(self.text.len());
        self.text
            .get(*start..end)
            .unwrap_or_default()
            .trim_end_matches(['\r', '\n'])
    }

    /// A span of `start..end`, its line filled in.
    pub fn span(&self, start: usize, end: usize) -> Span {
        if let Some(at) = self.at {
            return at;
        }
        Span {
            start,
            end,
            line: self.line_starts.partition_point(|begin| *begin <= start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = Source::new("FROM a\nRUN ü x\r\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(7), Position { line: 2, column: 1 });
        // the u with its dots is two bytes, one column
        assert_eq!(source.position(14), Position { line: 2, column: 7 });
        assert_eq!(source.line(2), "RUN ü x");
        assert_eq!(source.line(3), "");
        assert_eq!(source.line(9), "");
    }
}
