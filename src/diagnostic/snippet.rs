//! An error with the lines it is about, underlined.

use std::io::Write;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use builder::dockerfile::Span;

use crate::output::plain;

/// How bad it is.
#[derive(Clone, Copy, Debug)]
pub enum Severity<'a> {
    /// Nothing goes on.
    Error,
    /// It goes on; a rule of this name says it should not be so.
    Warning(&'a str),
}

/// A place in a text, and what is wrong there.
pub struct Place<'a> {
    /// How bad it is.
    pub severity: Severity<'a>,
    /// What the text is called: a path.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// The place.
    pub span: Span,
    /// What is wrong.
    pub message: &'a str,
    /// What to do.
    pub hint: Option<&'a str>,
}

/// Prints it on standard error, in colour where that is wanted.
pub fn print(place: &Place<'_>) {
    // Nobody is left to hear that standard error is closed.
    let _ = writeln!(anstream::stderr().lock(), "{}", render(place));
}

/// The text of it, in colour.
pub fn render(place: &Place<'_>) -> String {
    let Place {
        severity,
        name,
        text,
        span,
        message,
        hint,
    } = place;
    let end = span.end.min(text.len());
    let start = span.start.min(end);
    // A line end at the end would underline the line that follows.
    let shown = text.get(start..end).unwrap_or_default().trim_end();
    let range = start..start + shown.len();
    let source = Snippet::source(*text)
        .path(plain(name))
        .annotation(AnnotationKind::Primary.span(range));
    let message = plain(message);
    let title = match severity {
        Severity::Error => Level::ERROR.primary_title(message),
        Severity::Warning(rule) => Level::WARNING.primary_title(message).id(*rule),
    };
    let mut group = title.element(source);
    if let Some(hint) = hint {
        group = group.element(Level::HELP.message(plain(hint)));
    }
    Renderer::styled().render(&[group])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, part: &str, hint: Option<&str>) -> String {
        let start = text.find(part).unwrap();
        let span = Span {
            start,
            end: start + part.len(),
            line: 1 + text[..start].matches('\n').count(),
        };
        let rendered = render(&Place {
            severity: Severity::Error,
            name: "dir/Dockerfile",
            text,
            span,
            message: "unknown instruction `CPOY`",
            hint,
        });
        anstream::adapter::strip_str(&rendered).to_string()
    }

    #[test]
    fn the_line_is_underlined() {
        let text = "FROM scratch\nCPOY a b\nCMD [\"x\"]\n";
        assert_eq!(
            shown(text, "CPOY", Some("did you mean COPY?")),
            "error: unknown instruction `CPOY`\n --> dir/Dockerfile:2:1\n  |\n2 | CPOY a b\n  | ^^^^\n  |\n  = help: did you mean COPY?"
        );
    }

    #[test]
    fn an_instruction_of_several_lines_is_marked_whole() {
        let text = "FROM scratch\nRUN a \\\n  b \\\n  c\n";
        let shown = shown(text, "RUN a \\\n  b \\\n  c\n", None);
        assert!(shown.contains("Dockerfile:2:1"), "{shown}");
        assert!(shown.contains("|___"), "{shown}");
        assert!(!shown.contains("5 |"), "{shown}");
    }

    #[test]
    fn hostile_text_and_odd_places_do_no_harm() {
        let shown = shown("RUN \x1b[2Jé\tx\n", "é", None);
        assert!(!shown.contains("\x1b[2J"), "{shown:?}");
        for (start, end) in [(0, 0), (3, 900), (900, 901), (9, 8)] {
            render(&Place {
                severity: Severity::Error,
                name: "x",
                text: "FROM é",
                span: Span {
                    start,
                    end,
                    line: 1,
                },
                message: "m",
                hint: None,
            });
        }
    }
}
