//! An instruction as people want to see it: on one line.

use crate::dockerfile::{Source, Span};

/// The text of a span with its continuations joined and the comments between them left out.
pub(super) fn on_one_line(source: &Source, span: Span, escape: char) -> String {
    let text = source.text().get(span.start..span.end).unwrap_or_default();
    let mut joined = String::with_capacity(text.len());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if at > 0 && line.starts_with('#') {
            continue;
        }
        let line = line.strip_suffix(escape).map_or(line, str::trim_end);
        if line.is_empty() {
            continue;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(line);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuations_become_spaces() {
        let source = Source::new("RUN a && \\\n  # why\n\n    b \\\n  c");
        let whole = source.span(0, source.text().len());
        assert_eq!(on_one_line(&source, whole, '\\'), "RUN a && b c");
    }
}
