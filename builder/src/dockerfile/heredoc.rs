//! Heredocs: which words open one.

use std::ops::Range;

use super::ast::Heredoc;
use super::expand::Asked;
use super::shell_word::{Keep, ShellWord};

/// `<<NAME`, `3<<-"NAME"`, `<< NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// The name without quotes.
    pub name: String,
    /// Whether the tabs at the beginning of its lines go: `<<-`.
    pub strip_tabs: bool,
    /// Whether no part of the name is quoted.
    pub expand: bool,
}

impl Heredoc {
    /// The text without the tabs that `<<-` takes away.
    #[must_use]
    pub fn content(&self) -> String {
        if !self.strip_tabs {
            return self.text.clone();
        }
        let lines = self.text.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The words of a line that open heredocs, in that order, and where they are.
///
/// As in docker's reading, a text with a quote that is not closed has none.
pub(super) fn openings(text: &str) -> Vec<(Opening, Range<usize>)> {
    if !text.contains("<<") {
        return Vec::new();
    }
    let mut from = 0;
    let words = shell_words(text, Keep::All).unwrap_or_default();
    let opens = words.into_iter().filter_map(|word| {
        let opening = opening(&word)?;
        // The words stand in the order of the text, and most are written as it is there.
        let place = match text[from..].find(&word) {
            Some(offset) => from + offset..from + offset + word.len(),
            None => return Some((opening, from..text.len())),
        };
        from = place.end;
        Some((opening, place))
    });
    opens.collect()
}

/// Whether a text opens a heredoc and says nothing else.
#[must_use]
pub fn is_heredoc(text: &str) -> bool {
    opening(text).is_some()
}

/// What a single word opens, if it does.
pub(super) fn opening(word: &str) -> Option<Opening> {
    let digits = |letter: char| letter.is_ascii_digit();
    let name = word.trim_start_matches(digits).strip_prefix("<<")?;
    let (name, strip_tabs) = match name.strip_prefix('-') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let name = name.trim_start_matches(['\t', '\n', '\r', '\u{c}', ' ']);
    if name.contains('<') {
        return None;
    }
    let only = |keep| match shell_words(name, keep).as_deref() {
        Some([word]) => Some(word.clone()),
        _ => None,
    };
    let quotes = |word: &str| word.matches(['\'', '"']).count();
    let (plain, written) = (only(Keep::Unset)?, only(Keep::All)?);
    Some(Opening {
        expand: quotes(&plain) == quotes(&written),
        name: plain,
        strip_tabs,
    })
}

fn shell_words(text: &str, keep: Keep) -> Option<Vec<String>> {
    let mut asked = Asked::default();
    ShellWord::new(text, '\\', keep, &|_| None, &mut asked)
        .several()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, bool, bool)> {
        let all = openings(text).into_iter();
        all.map(|(one, _)| (one.name, one.strip_tabs, one.expand))
            .collect()
    }

    #[test]
    fn what_opens_heredocs() {
        let one = |name: &str, strip, expand| vec![(name.to_owned(), strip, expand)];
        assert_eq!(names("cat <<EOF"), one("EOF", false, true));
        assert_eq!(names("3<<-'E F' x"), one("E F", true, false));
        assert_eq!(names("<<\"EOF\""), one("EOF", false, false));
        assert_eq!(names("<<E'O'F"), one("EOF", false, false));
        assert_eq!(names("<<E\\'F"), one("E'F", false, true));
        assert_eq!(names("<< EOF"), one("EOF", false, true));
        assert_eq!(names("<<$A"), one("$A", false, true));
        // to docker this is a heredoc named `2))`
        assert_eq!(names("$((1 << 2))"), one("2))", false, true));
        let text = "a <<A b <<-A <<'B'";
        assert_eq!(names(text).len(), 3);
        let places: Vec<&str> = openings(text)
            .into_iter()
            .map(|(_, range)| &text[range])
            .collect();
        assert_eq!(places, ["<<A", "<<-A", "<<'B'"]);
        // a word that is written otherwise than it reads
        let text = "copy <<\"\u{46b}\\u\" <<O";
        for (_, range) in openings(text) {
            assert!(text.get(range).is_some());
        }
    }

    #[test]
    fn what_opens_none() {
        for text in [
            "cat <<<EOF",
            "a<<EOF",
            "'<<EOF'",
            "<<",
            "<<'EOF",
            "<<EOF don't",
            "$((1<<2))",
            "\\<<EOF",
        ] {
            assert_eq!(names(text), [], "{text}");
        }
    }

    #[test]
    fn tabs_at_the_beginning_of_lines_go() {
        let heredoc = Heredoc {
            name: "E".into(),
            text: "\t\ta\tb\n \tc\n\t\n".into(),
            strip_tabs: true,
            expand: true,
            span: Default::default(),
            lines: Default::default(),
        };
        assert_eq!(heredoc.content(), "a\tb\n \tc\n\n");
    }
}
