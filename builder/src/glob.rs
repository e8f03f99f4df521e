//! Patterns for paths: the sources of `COPY` (Go's `filepath.Match`).

use std::iter::Peekable;
use std::str::Chars;

use crate::wildcard::{Item, Set, Wildcard};

/// A pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Brackets that are not closed, empty or with a range that lacks an end.
    #[error("`{pattern}` is not a valid pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
    },
}

/// A compiled pattern: `*` and `?` do not match `/`, `[a-z]`, `[^a-z]`, `\` takes the next character as it is.
#[derive(Clone, Debug)]
pub struct Glob {
    wildcard: Wildcard,
}

impl Glob {
    /// Compiles one pattern.
    pub fn new(pattern: &str) -> Result<Glob, GlobError> {
        let items = items(pattern).ok_or_else(|| GlobError::BadPattern {
            pattern: pattern.to_owned(),
        })?;
        Ok(Glob {
            wildcard: Wildcard::new(items),
        })
    }

    /// Whether the pattern can match anything but itself; if not, the source is a plain path.
    pub fn has_wildcards(pattern: &str) -> bool {
        pattern.contains(['*', '?', '[', '\\'])
    }

    /// Whether the whole of `path` matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.wildcard.matches(path)
    }
}

fn items(pattern: &str) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        items.push(match letter {
            '*' => Item::Many(Set::NotSlash),
            '?' => Item::One(Set::NotSlash),
            '[' => Item::One(brackets(&mut letters)?),
            '\\' => Item::One(Set::Is(letters.next()?)),
            _ => Item::One(Set::Is(letter)),
        });
    }
    Some(items)
}

/// What stands in brackets, the opening one read already. Unlike in a shell `/` may be among it, and a `-`
/// or `]` needs a `\` wherever it stands.
pub(crate) fn brackets(letters: &mut Peekable<Chars<'_>>) -> Option<Set> {
    let not = letters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && letters.next_if_eq(&']').is_some() {
            return Some(Set::Ranges { not, ranges });
        }
        let first = end_of_range(letters)?;
        let last = match letters.next_if_eq(&'-') {
            Some(_) => end_of_range(letters)?,
            None => first,
        };
        ranges.push((first, last));
    }
}

fn end_of_range(letters: &mut Peekable<Chars<'_>>) -> Option<char> {
    match letters.next()? {
        '-' | ']' => None,
        '\\' => letters.next(),
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (pattern, path, matched) in [
            ("*.go", "main.go", true),
            ("*.go", "a/main.go", false),
            ("a/*/c", "a/b/c", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "/x", true),
            ("[z-a]", "b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("a^b", "a^b", true),
            ("", "", true),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert_eq!(glob.matches(path.as_bytes()), matched, "{pattern} {path}");
        }
        for bad in [
            "[", "[]", "[]a]", "[a", "[-a]", "[a-]", "[a-b-c]", "a\\", "[^", "[\\",
        ] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }
}
