//! One line of comma-separated values (RFC 4180), as Go's reader takes it.

use std::ops::Range;

/// A field.
pub struct Field {
    /// What it says.
    pub text: String,
    /// Where it is written, quotes included.
    pub range: Range<usize>,
}

/// A line that has no fields.
pub struct Malformed {
    /// What is wrong.
    pub reason: &'static str,
    /// Where.
    pub range: Range<usize>,
}

/// Cuts a line into its fields.
///
/// # Errors
/// When it is empty, or its quotes are wrong.
pub fn fields(line: &str) -> Result<Vec<Field>, Malformed> {
    let malformed = |reason, range| Malformed { reason, range };
    if line.is_empty() {
        return Err(malformed("there are none", 0..0));
    }
    let mut fields = Vec::new();
    let mut start = 0;
    loop {
        let rest = &line[start..];
        let (text, length) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let unquoted = unquoted(quoted);
                let (text, length) = unquoted
                    .ok_or_else(|| malformed("a quote is not closed", start..line.len()))?;
                (text, length + 1)
            }
            None => {
                let length = rest.find(',').unwrap_or(rest.len());
                let text = &rest[..length];
                if let Some(at) = text.find('"') {
                    let range = start + at..start + at + 1;
                    return Err(malformed("a quote in the middle of one", range));
                }
                (text.to_owned(), length)
            }
        };
        let range = start..start + length;
        fields.push(Field { text, range });
        start += length;
        match line[start..].chars().next() {
            None => return Ok(fields),
            Some(',') => start += 1,
            Some(_) => {
                return Err(malformed(
                    "something follows a closing quote",
                    start..line.len(),
                ));
            }
        }
    }
}

/// The text up to a quote that is not doubled, and its length with that quote; none where it is not closed.
fn unquoted(rest: &str) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => match letters.next_if(|(_, next)| *next == '"') {
                Some(_) => text.push('"'),
                None => return Some((text, at + 1)),
            },
            letter => text.push(letter),
        }
    }
    None
}
