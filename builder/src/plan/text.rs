//! An instruction as people want to see it: on one line.

use crate::dockerfile::ast::{Heredoc, Run};
use crate::dockerfile::{Command, Dockerfile, Instruction, Source, Span};

/// An instruction; of a heredoc after it the first line.
pub(super) fn of_instruction(dockerfile: &Dockerfile, instruction: &Instruction) -> String {
    let heredocs: Vec<&Heredoc> = match &instruction.command {
        Command::Run(Run { heredocs, .. }) => heredocs.iter().collect(),
        Command::Copy(copy) => copy.heredocs().collect(),
        Command::Add(add) => add.copy.heredocs().collect(),
        _ => Vec::new(),
    };
    let mut span = instruction.span;
    let bodies = heredocs.iter().map(|heredoc| heredoc.lines.start);
    // one of the JSON form has no lines of its own
    if let Some(first) = bodies
        .filter(|start| *start > instruction.keyword.end)
        .min()
        && instruction.span.line < dockerfile.source.position(first).line
    {
        span.end = span.end.min(first);
    }
    let mut text = on_one_line(&dockerfile.source, span, dockerfile.escape);
    let body = heredocs.first().map_or("", |heredoc| heredoc.text.trim());
    let mut lines = body.lines();
    if let Some(first) = lines.next() {
        let more = if lines.next().is_some() { "..." } else { "" };
        text.push_str(&format!(" ({first}{more})"));
    }
    text
}

/// An instruction that a base brings.
pub(super) fn of_trigger(text: &str) -> String {
    let (first, more) = match text.split_once('\n') {
        Some((first, _)) => (first, "..."),
        None => (text, ""),
    };
    format!("ONBUILD {}{more}", first.trim_end())
}

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
