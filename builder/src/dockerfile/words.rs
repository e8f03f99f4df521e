//! The ways an instruction's text is cut into words. Ranges are of bytes of that text.

use std::ops::Range;

/// What separates words that know no quotes.
pub(super) const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// A word as it reads, and the bytes it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The word.
    pub text: String,
    /// Its place.
    pub range: Range<usize>,
}

/// `range` without white space at its ends.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}

/// Cuts at blanks, quotes or not.
pub(super) fn blank_separated(text: &str, range: Range<usize>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = None;
    for (at, letter) in text[range.clone()].char_indices() {
        let at = range.start + at;
        match (BLANKS.contains(&letter), start) {
            (true, Some(begin)) => {
                pieces.push(piece(text, begin..at));
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    if let Some(begin) = start {
        pieces.push(piece(text, begin..range.end));
    }
    pieces
}

fn piece(text: &str, range: Range<usize>) -> Piece {
    Piece {
        text: text[range.clone()].to_owned(),
        range,
    }
}

/// Cuts at white space outside quotes; quotes and escapes stay in the words. A quote that is not closed
/// reaches to the end: the expansion of the word refuses it.
pub(super) fn quoted(text: &str, range: Range<usize>, escape: char) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut word = String::new();
    let mut start = None;
    let mut quote = None;
    let end = range.end;
    let mut letters = text[range.clone()].char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let at = range.start + at;
        if quote.is_none() && letter.is_whitespace() {
            if let Some(begin) = start.take() {
                pieces.push(Piece {
                    text: std::mem::take(&mut word),
                    range: begin..at,
                });
            }
            continue;
        }
        start.get_or_insert(at);
        if letter == escape && quote != Some('\'') {
            // an escape at the very end escapes nothing
            if let Some((_, next)) = letters.next() {
                word.extend([letter, next]);
            }
            continue;
        }
        match quote {
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            Some(open) if open == letter => quote = None,
            _ => {}
        }
        word.push(letter);
    }
    if let Some(begin) = start
        && !word.is_empty()
    {
        pieces.push(Piece {
            text: word,
            range: begin..end,
        });
    }
    pieces
}

/// Takes the flags off the front; returns them, quotes and escapes resolved, and where the rest begins.
/// A lone `--` ends them.
pub(super) fn flags(text: &str, range: Range<usize>, escape: char) -> (Vec<Piece>, usize) {
    let mut flags = Vec::new();
    let mut rest = range.start;
    loop {
        rest = trimmed(text, rest..range.end).start;
        let line = &text[rest..range.end];
        if !line.starts_with("--") {
            return (flags, rest);
        }
        let mut word = String::new();
        let mut quote = None;
        let mut length = line.len();
        let mut letters = line.char_indices();
        while let Some((at, letter)) = letters.next() {
            match (letter, quote) {
                _ if letter == escape => word.extend(letters.next().map(|(_, next)| next)),
                (_, Some(open)) if open == letter => quote = None,
                ('\'' | '"', None) => quote = Some(letter),
                (_, None) if letter.is_whitespace() => {
                    length = at;
                    break;
                }
                _ => word.push(letter),
            }
        }
        let begin = rest;
        rest += length;
        if word == "--" {
            return (flags, rest);
        }
        flags.push(Piece {
            text: word,
            range: begin..rest,
        });
    }
}

/// What a JSON form turned out to be.
#[derive(Debug)]
pub(super) enum Json {
    /// Not a JSON array: another form.
    No,
    /// An array of strings.
    Strings(Vec<Piece>),
    /// An array that holds something else, and where.
    NotAString(Range<usize>),
    /// A string that is no text, and where.
    BadString(Range<usize>),
}

/// Reads a JSON array of strings.
pub(super) fn json(text: &str, range: Range<usize>) -> Json {
    let body = &text[range.clone()];
    if !body.starts_with('[') {
        return Json::No;
    }
    let Ok(items) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(body) else {
        return Json::No;
    };
    let mut pieces = Vec::new();
    let mut at = 0;
    for item in items {
        let raw = item.get();
        // the items stand in the order of the text, and outside of them only `[`, `,`, `]` and blanks do
        let start = at + body[at..].find(raw).unwrap_or(0);
        at = start + raw.len();
        let place = range.start + start..range.start + at;
        if !raw.starts_with('"') {
            return Json::NotAString(place);
        }
        match serde_json::from_str::<String>(raw) {
            Ok(text) => pieces.push(Piece {
                text,
                // without the quotes, so that a plain string's bytes are where they seem
                range: place.start + 1..place.end - 1,
            }),
            Err(_) => return Json::BadString(place),
        }
    }
    Json::Strings(pieces)
}

/// Whether a text that is no JSON array was probably meant as one. `[ -f x ]` is a shell's own.
pub(super) fn is_nearly_json(text: &str) -> bool {
    let Some(inside) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return false;
    };
    inside.starts_with(['"', '\'']) || inside.contains("\",") || inside.contains("',")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pieces: Vec<Piece>) -> Vec<String> {
        pieces.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn quotes_hold_words_together() {
        let words = |text: &str| texts(quoted(text, 0..text.len(), '\\'));
        assert_eq!(
            words("a  'b c'd \"e\\\" f\""),
            ["a", "'b c'd", "\"e\\\" f\""]
        );
        assert_eq!(words("a\\ b c\\"), ["a\\ b", "c"]);
        assert_eq!(words("'a\\' b"), ["'a\\'", "b"]);
        assert_eq!(words("\"a b"), ["\"a b"]);
    }

    #[test]
    fn flags_come_first() {
        let text = "--from=x --chown=\"a b\" -- --no y";
        let (found, rest) = flags(text, 0..text.len(), '\\');
        assert_eq!(texts(found), ["--from=x", "--chown=a b"]);
        assert_eq!(&text[rest..], " --no y");
        let text = "- --a";
        assert_eq!(flags(text, 0..text.len(), '\\'), (vec![], 0));
    }

    #[test]
    fn json_keeps_places() {
        let text = r#"["a", "a", "b\n"]"#;
        let Json::Strings(pieces) = json(text, 0..text.len()) else {
            panic!("an array of strings");
        };
        assert_eq!(pieces[1].range, 7..8);
        assert_eq!(pieces[2].text, "b\n");
        let text = r#"["a", ["b"]]"#;
        assert!(
            matches!(json(text, 0..text.len()), Json::NotAString(range) if &text[range.clone()] == "[\"b\"]")
        );
        assert!(matches!(json("[a]", 0..3), Json::No));
        let deep = "[".repeat(60000);
        assert!(matches!(json(&deep, 0..deep.len()), Json::No));
    }
}
