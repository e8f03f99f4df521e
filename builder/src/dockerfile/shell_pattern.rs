//! The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*`, `?`, and `\` before
//! either. Neither matches a line feed.

use crate::wildcard::{Item, Set, Wildcard};

/// A compiled pattern.
pub(super) struct ShellPattern {
    items: Vec<Item>,
}

impl ShellPattern {
    /// Compiles a pattern; nothing where a `\` stands before what it does not escape.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let mut items = Vec::new();
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            items.push(match letter {
                '*' => Item::Many(Set::NotNewline),
                '?' => Item::One(Set::NotNewline),
                // these had to be escaped where they would have ended the pattern
                '\\' if matches!(letters.peek(), Some('}' | '/')) => continue,
                '\\' => match letters.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Item::One(Set::Is(escaped)),
                    _ => return None,
                },
                _ => Item::One(Set::Is(letter)),
            });
        }
        Some(ShellPattern { items })
    }

    /// How many steps it takes for a character at most.
    pub(super) fn len(&self) -> usize {
        self.items.len() + 1
    }

    /// The value without what the pattern matches at its beginning.
    pub(super) fn strip_prefix(self, value: &str, longest: bool) -> String {
        let wildcard = Wildcard::new(self.items);
        let end = wildcard.prefix_of(value.chars(), longest).unwrap_or(0);
        value.chars().skip(end).collect()
    }

    /// The value without what the pattern matches at its end.
    pub(super) fn strip_suffix(mut self, value: &str, longest: bool) -> String {
        self.items.reverse();
        let wildcard = Wildcard::new(self.items);
        let backwards = value.chars().rev();
        let length = wildcard.prefix_of(backwards, longest).unwrap_or(0);
        let kept = value.chars().count().saturating_sub(length);
        value.chars().take(kept).collect()
    }

    /// The value with what the pattern matches replaced, the first time or each time; nothing where that
    /// would be longer than `limit` bytes.
    pub(super) fn replace(
        self,
        value: &str,
        with: &str,
        all: bool,
        limit: usize,
    ) -> Option<String> {
        let wildcard = Wildcard::new(self.items);
        let text: Vec<char> = value.chars().collect();
        let mut replaced = String::with_capacity(value.len());
        let (mut search, mut last) = (0, 0);
        while search <= text.len() {
            let Some((begin, end)) = wildcard.find(&text, search) else {
                break;
            };
            replaced.extend(text.get(last..begin).unwrap_or_default());
            // nothing right after a match is no match of its own
            if end > last || begin == 0 {
                replaced.push_str(with);
            }
            if replaced.len() > limit {
                return None;
            }
            last = end;
            search = if end > search { end } else { search + 1 };
            if !all {
                break;
            }
        }
        replaced.extend(text.get(last..).unwrap_or_default());
        (replaced.len() <= limit).then_some(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ShellPattern {
        ShellPattern::new(text).unwrap()
    }

    #[test]
    fn strips() {
        assert_eq!(pattern("*.").strip_prefix("a.b.c", false), "b.c");
        assert_eq!(pattern("*.").strip_prefix("a.b.c", true), "c");
        assert_eq!(pattern(".*").strip_suffix("a.b.c", false), "a.b");
        assert_eq!(pattern(".*").strip_suffix("a.b.c", true), "a");
        assert_eq!(pattern("\\*?").strip_suffix("ü*x", true), "ü");
        assert_eq!(pattern("*").strip_prefix("a\nb", true), "\nb");
        assert!(ShellPattern::new("\\a").is_none());
        assert!(ShellPattern::new("\\").is_none());
    }

    #[test]
    fn replaces() {
        let replaced = |with: &str, all| pattern("o").replace("foo", with, all, 9);
        assert_eq!(replaced("0", false).as_deref(), Some("f0o"));
        assert_eq!(replaced("0", true).as_deref(), Some("f00"));
        assert_eq!(replaced("012345", true), None);
        assert_eq!(
            pattern("").replace("ab", "-", true, 9).as_deref(),
            Some("-a-b-")
        );
        assert_eq!(
            pattern("a*").replace("bab", "-", true, 9).as_deref(),
            Some("b-")
        );
    }
}
