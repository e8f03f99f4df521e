//! `.dockerignore`: which paths of the context exist for the build.
//!
//! The last pattern that matches a path, or a directory it is in, decides about it. What patterns mean is
//! docker's, which is neither a shell's nor git's: `**` and `*` differ, and no pattern matches at a depth it
//! does not name.

mod file;

use std::iter::Peekable;
use std::str::Chars;

use crate::glob::{Glob, brackets};
use crate::lexical;
use crate::wildcard::{Item, Set, Wildcard};

/// Largest ignore file in bytes.
pub const MAX_IGNORE_BYTES: usize = 1 << 20;
/// Longest pattern in bytes: no path is longer (`PATH_MAX`).
pub const MAX_PATTERN_BYTES: usize = 4096;

/// A pattern of a `.dockerignore` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the ignore file: {kind}")]
pub struct IgnoreError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: IgnoreErrorKind,
}

/// The kinds of [`IgnoreError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreErrorKind {
    /// More than [`MAX_IGNORE_BYTES`].
    #[error("the file has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A pattern longer than [`MAX_PATTERN_BYTES`].
    #[error("the pattern has {bytes} bytes, more than the {limit} allowed")]
    PatternTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// `!` and nothing after it.
    #[error("`!` without a pattern")]
    EmptyException,
    /// Brackets that are not closed, empty or backwards, or a `\` with nothing after it.
    #[error("`{pattern}` is not a valid pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
    },
    /// What docker hands to its regular expressions, where it does not mean what it says: `\d`, `[*]`, `[[:x`.
    #[error(
        "`{part}` does not mean to docker what it seems to: leave it out, and separate names by `/`"
    )]
    Misleading {
        /// The part of the pattern.
        part: String,
    },
}

/// The patterns of an ignore file, compiled.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    /// Whether a pattern matches all there is.
    everything: bool,
}

/// What the patterns say of a directory; needed to ask about what is in it.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    /// Which patterns match the directory or one it is in; none at the root.
    patterns: Vec<bool>,
    /// The last of them.
    last: Option<usize>,
}

/// What the patterns say of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the path is left out of the context.
    pub excluded: bool,
    /// The line (from 1) of the last pattern that applied; none where no pattern did.
    pub line: Option<usize>,
}

#[derive(Clone, Debug)]
struct Pattern {
    line: usize,
    exception: bool,
    shape: Shape,
}

/// How a pattern is matched. The first three are docker's short cuts, whose results differ in places from
/// those of its regular expressions.
#[derive(Clone, Debug)]
enum Shape {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Wildcard(Wildcard),
}

impl Ignore {
    /// Reads an ignore file.
    pub fn parse(text: &str) -> Result<Ignore, IgnoreError> {
        if text.len() > MAX_IGNORE_BYTES {
            return Err(IgnoreError {
                line: 1,
                kind: IgnoreErrorKind::TooLarge {
                    bytes: text.len(),
                    limit: MAX_IGNORE_BYTES,
                },
            });
        }
        let mut patterns = Vec::new();
        let mut everything = false;
        for (line, pattern) in file::read(text) {
            everything |= matches!(pattern.as_str(), "*" | "**" | "**/*");
            match Pattern::new(line, &pattern) {
                Ok(Some(pattern)) => patterns.push(pattern),
                Ok(None) => {}
                Err(kind) => return Err(IgnoreError { line, kind }),
            }
        }
        Ok(Ignore {
            patterns,
            everything,
        })
    }

    /// Whether a pattern lets in again what others leave out.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Whether a pattern leaves out all there is.
    pub fn excludes_everything(&self) -> bool {
        self.everything
    }

    /// Patterns as they are, not the lines of a file: a `/` at their beginning, or a `#`, is part of them.
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Ignore, IgnoreErrorKind> {
        let patterns = patterns.into_iter().enumerate();
        let patterns = patterns.map(|(at, pattern)| Pattern::new(at + 1, pattern));
        Ok(Ignore {
            patterns: patterns
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?,
            everything: false,
        })
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Decides about one path (relative, `/` between names, no `.` or `..`) as a walk to it does.
    pub fn matches(&self, path: &[u8]) -> Decision {
        self.decision(self.last(path))
    }

    /// What to begin a walk with: the context's root.
    pub fn root(&self) -> Matched {
        Matched::default()
    }

    /// Decides about `path`, whose parent directory gave `parent`. The second value is for what is in it.
    ///
    /// A pattern that could change nothing is not tried, as with docker: an exception for a directory that
    /// no pattern before it leaves out is none for what is in that directory.
    pub fn matches_in(&self, parent: &Matched, path: &[u8]) -> (Decision, Matched) {
        let mut here = Matched {
            patterns: vec![false; self.patterns.len()],
            last: None,
        };
        let mut excluded = false;
        for (at, pattern) in self.patterns.iter().enumerate() {
            let known = parent.patterns.get(at).is_some_and(|matched| *matched);
            if known || pattern.exception == excluded && pattern.shape.matches(path) {
                here.patterns[at] = true;
                here.last = Some(at);
                excluded = !pattern.exception;
            }
        }
        (self.decision(here.last), here)
    }

    /// Whether something inside the excluded directory `dir` may be let in by a later `!` pattern; if not,
    /// it need not be walked.
    pub fn may_contain_included(&self, dir: &[u8]) -> bool {
        let last = self.last(dir);
        if !self.decision(last).excluded {
            return true;
        }
        let first = last.map_or(0, |last| last + 1);
        let mut later = self.patterns[first..]
            .iter()
            .filter(|pattern| pattern.exception);
        let mut inside = dir.to_vec();
        inside.push(b'/');
        later.any(|pattern| pattern.shape.may_match_in(&inside))
    }

    /// The last pattern that applies to a path.
    fn last(&self, path: &[u8]) -> Option<usize> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes
            .map(|(at, _)| at)
            .filter(|at| *at > 0)
            .chain([path.len()]);
        let walked = ends.fold(self.root(), |parent, end| {
            self.matches_in(&parent, &path[..end]).1
        });
        walked.last
    }

    fn decision(&self, last: Option<usize>) -> Decision {
        let pattern = last.and_then(|last| self.patterns.get(last));
        Decision {
            excluded: pattern.is_some_and(|pattern| !pattern.exception),
            line: pattern.map(|pattern| pattern.line),
        }
    }
}

impl Pattern {
    /// Compiles what [`file::read`] gave; nothing where nothing is left of it.
    fn new(line: usize, text: &str) -> Result<Option<Self>, IgnoreErrorKind> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let text = lexical::clean(text);
        let (exception, text) = match text.strip_prefix('!') {
            Some("") => return Err(IgnoreErrorKind::EmptyException),
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        Ok(Some(Pattern {
            line,
            exception,
            shape: Shape::new(text)?,
        }))
    }
}

impl Shape {
    fn new(pattern: &str) -> Result<Self, IgnoreErrorKind> {
        let bad = || IgnoreErrorKind::BadPattern {
            pattern: pattern.to_owned(),
        };
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(IgnoreErrorKind::PatternTooLong {
                bytes: pattern.len(),
                limit: MAX_PATTERN_BYTES,
            });
        }
        Glob::new(pattern).map_err(|_| bad())?;
        let bytes = pattern.as_bytes();
        let mut items = Vec::new();
        let mut shape = Shape::Exact(bytes.to_vec());
        let mut letters = pattern.chars().peekable();
        let mut first = true;
        while let Some(letter) = letters.next() {
            let mut wild = true;
            match letter {
                '*' if letters.next_if_eq(&'*').is_some() => {
                    let _ = letters.next_if_eq(&'/');
                    let at_end = letters.peek().is_none();
                    if at_end {
                        items.push(Item::Many(Set::NotNewline));
                    } else {
                        let directories = Item::Many(Set::NotNewline);
                        items.extend([Item::Maybe(2), directories, Item::One(Set::Is('/'))]);
                    }
                    if first {
                        shape = Shape::Suffix(bytes[2..].to_vec());
                        wild = false;
                    } else if at_end && matches!(shape, Shape::Exact(_)) {
                        shape = Shape::Prefix(bytes[..bytes.len() - 2].to_vec());
                        wild = false;
                    }
                }
                '*' => items.push(Item::Many(Set::NotSlash)),
                '?' => items.push(Item::One(Set::NotSlash)),
                '[' => {
                    check_brackets(letters.clone())?;
                    let set = brackets(&mut letters).ok_or_else(bad)?;
                    if let Set::Ranges { ranges, .. } = &set
                        && ranges.iter().any(|(first, last)| first > last)
                    {
                        return Err(bad());
                    }
                    items.push(Item::One(set));
                }
                '\\' => {
                    let letter = letters.next().ok_or_else(bad)?;
                    check_escape(letter)?;
                    items.push(Item::One(Set::Is(letter)));
                }
                ']' => items.push(Item::One(Set::Is(']'))),
                _ => {
                    items.push(match letter {
                        // docker's expression takes it for the beginning of the path
                        '^' => Item::Start,
                        _ => Item::One(Set::Is(letter)),
                    });
                    wild = false;
                }
            }
            if wild {
                shape = Shape::Wildcard(Wildcard::new(Vec::new()));
            }
            first = false;
        }
        if let Shape::Wildcard(wildcard) = &mut shape {
            *wildcard = Wildcard::new(items);
        }
        Ok(shape)
    }

    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Shape::Exact(whole) => path == whole,
            Shape::Prefix(prefix) => path.starts_with(prefix),
            // `**/name` matches `name` too
            Shape::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|name| name == path)
            }
            Shape::Wildcard(wildcard) => wildcard.matches(path),
        }
    }

    /// Whether a path that begins with `dir`, which ends in a slash, can match.
    fn may_match_in(&self, dir: &[u8]) -> bool {
        match self {
            Shape::Exact(whole) => whole.starts_with(dir),
            Shape::Prefix(prefix) => prefix.starts_with(dir) || dir.starts_with(prefix),
            Shape::Suffix(_) => true,
            Shape::Wildcard(wildcard) => wildcard.may_begin_with(dir),
        }
    }
}

/// Refuses what is in valid brackets, the opening one read already, and is no plain character to docker.
fn check_brackets(mut letters: Peekable<Chars<'_>>) -> Result<(), IgnoreErrorKind> {
    loop {
        match letters.next() {
            None | Some(']') => return Ok(()),
            Some('\\') => {
                if let Some(letter) = letters.next() {
                    check_escape(letter)?;
                }
            }
            Some(letter @ ('*' | '?')) => {
                return Err(IgnoreErrorKind::Misleading {
                    part: format!("[{letter}]"),
                });
            }
            Some('[') if letters.peek() == Some(&':') => {
                return Err(IgnoreErrorKind::Misleading { part: "[:".into() });
            }
            Some(_) => {}
        }
    }
}

/// `\.` is a dot, but `\d` a digit, and of others docker knows nothing.
fn check_escape(letter: char) -> Result<(), IgnoreErrorKind> {
    if letter.is_ascii() && !letter.is_ascii_alphanumeric() {
        return Ok(());
    }
    Err(IgnoreErrorKind::Misleading {
        part: format!("\\{letter}"),
    })
}

#[cfg(test)]
pub(in crate::ignore) mod tests {
    use super::*;

    fn excluded(patterns: &str, path: &str) -> bool {
        Ignore::parse(patterns)
            .unwrap()
            .matches(path.as_bytes())
            .excluded
    }

    #[test]
    fn the_last_pattern_decides() {
        let ignore = Ignore::parse("# all\n*\n!src\n\nsrc/*.o\n").unwrap();
        let said = |path: &str| {
            let decision = ignore.matches(path.as_bytes());
            (decision.excluded, decision.line)
        };
        assert_eq!(said("a"), (true, Some(2)));
        assert_eq!(said("a/b"), (true, Some(2)));
        assert_eq!(said("src"), (false, Some(3)));
        assert_eq!(said("src/a.c"), (false, Some(3)));
        assert_eq!(said("src/a.o"), (true, Some(5)));
        assert_eq!(Ignore::parse("b").unwrap().matches(b"a").line, None);
    }

    /// As docker's own walk has it (MatchesUsingParentResults of its pattern matcher).
    #[test]
    fn an_exception_for_what_is_not_left_out_says_nothing_of_what_is_inside() {
        assert!(excluded("**/x\n!d", "d/x"));
        assert!(excluded("**/x\n!d", "d/e/x"));
        assert!(excluded("d/*/**\n!*/*", "d/e/x"));
        assert!(!excluded("d\n**/x\n!d", "d/x"));
        assert!(!excluded("**/x\n!d/x", "d/x"));
        assert!(!excluded("**/x\n!d/**", "d/x"));
    }

    #[test]
    fn files_of_all_sorts() {
        assert!(excluded("\u{feff}a\r\n", "a"));
        assert!(excluded("/a/./b/../c/", "a/c/d"));
        assert!(excluded(" # a", "# a"));
        assert!(!excluded("#a", "#a"));
        assert!(!excluded("a\n/!a", "a"), "docker takes the slash off first");
        assert!(!excluded(".\n/\n..", "a"));
        assert!(excluded("*^x", "x") && !excluded("*^x", "a^x"));
        assert!(Ignore::parse("\n#\n").unwrap().is_empty());
        for bad in [
            "!",
            "! ",
            "!/",
            "a\\",
            "[",
            "[z-a]",
            "\\d",
            "[*]",
            "[[:alpha:]]",
            "a\\\u{fc}",
        ] {
            assert!(Ignore::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Ignore::parse("a\n\n[").unwrap_err().line, 3);
        let large = " ".repeat(MAX_IGNORE_BYTES + 1);
        assert!(Ignore::parse(&large).is_err());
    }

    #[test]
    fn what_need_not_be_walked() {
        let may = |patterns: &str, dir: &str| {
            Ignore::parse(patterns)
                .unwrap()
                .may_contain_included(dir.as_bytes())
        };
        assert!(may("*\n!a/b/c", "a"));
        assert!(may("*\n!a/b/c", "a/b"));
        assert!(!may("*\n!a/b/c", "b"));
        assert!(!may("!a/b\na", "a"));
        assert!(may("*\n!**/*.go", "vendor/x"));
        assert!(may("*\n!a/**", "a/b"));
        assert!(may("*\n!a*/x", "abc"));
        assert!(!may("*\n!a*/x", "bc"));
        assert!(!may("*\n!a*/x", "abc/d"));
    }
    pub(in crate::ignore) fn records(file: &str) -> Vec<serde_json::Value> {
        let dir = std::env::var("MKIMG_CORPORA").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora").to_owned()
        });
        let Ok(text) = std::fs::read_to_string(format!("{dir}/ignore/{file}")) else {
            println!("no corpora at {dir}: the cases of {file} were not run");
            return Vec::new();
        };
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn the_same_short_cuts_as_docker() {
        let cases = records("compile.jsonl");
        for case in &cases {
            let shape = Shape::new(case["pattern"].as_str().unwrap()).unwrap();
            let name = match shape {
                Shape::Exact(_) => "exactMatch",
                Shape::Prefix(_) => "prefixMatch",
                Shape::Suffix(_) => "suffixMatch",
                Shape::Wildcard(_) => "regexpMatch",
            };
            assert_eq!(case["matchType"], name, "{case}");
        }
        assert!(matches!(cases.len(), 0 | 21));
    }
}
