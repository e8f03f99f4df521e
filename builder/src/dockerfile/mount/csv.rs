//! One line of comma-separated values (RFC 4180), as Go's reader takes it.

use std::ops::Range;

/// The fields of a line with the ranges they were written in, quotes included; or what is wrong
/// with it, and where.
pub fn fields(line: &str) -> Result<Vec<(String, Range<usize>)>, (&'static str, Range<usize>)> {
    if line.is_empty() {
        return Err(("there are none", 0..0));
    }
    let mut fields = Vec::new();
    let mut start = 0;
    loop {
        let rest = &line[start..];
        let (text, length) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (text, length) =
                    unquoted(quoted).map_err(|reason| (reason, start..line.len()))?;
                (text, length + 1)
            }
            None => {
                let length = rest.find(',').unwrap_or(rest.len());
                let text = &rest[..length];
                if let Some(at) = text.find('"') {
                    let range = start + at..start + at + 1;
                    return Err(("a quote in the middle of one", range));
                }
                (text.to_owned(), length)
            }
        };
        fields.push((text, start..start + length));
        start += length;
        match line[start..].chars().next() {
            None => return Ok(fields),
            Some(',') => start += 1,
            Some(_) => return Err(("something follows a closing quote", start..line.len())),
        }
    }
}

/// The text up to a quote that is not doubled, and its length with that quote.
fn unquoted(rest: &str) -> Result<(String, usize), &'static str> {
    let mut text = String::new();
    let mut letters = rest.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => match letters.next_if(|(_, next)| *next == '"') {
                Some(_) => text.push('"'),
                None => return Ok((text, at + 1)),
            },
            letter => text.push(letter),
        }
    }
    Err("a quote is not closed")
}
