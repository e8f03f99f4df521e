//! A word as docker reads it: quotes, escapes, and variables with their modifiers.

use std::ops::Range;

use super::expand::{Asked, ExpandError, Lookup, MAX_DEPTH, MAX_EXPANDED_BYTES};
use super::shell_pattern::ShellPattern;

/// Most comparisons that the patterns of one word may cost.
const MAX_WORK: usize = 1 << 26;

/// What is wrong with a word, and where in it.
#[derive(Debug)]
pub(super) struct Fault {
    pub error: ExpandError,
    pub range: Range<usize>,
}

/// What stays as it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing.
    Nothing,
    /// Variables that are not set.
    Unset,
    /// Those, and quotes and escapes.
    All,
}

/// Where the result goes: one text, or words cut at white space that no quotes protect.
struct Sink {
    text: String,
    words: Vec<String>,
    cut: bool,
    /// Bytes of all words so far.
    bytes: usize,
}

impl Sink {
    fn new(cut: bool) -> Self {
        Sink {
            text: String::new(),
            words: Vec::new(),
            cut,
            bytes: 0,
        }
    }

    /// Takes text as it is.
    fn whole(&mut self, text: &str) -> Result<(), ExpandError> {
        self.bytes += text.len();
        if self.bytes > MAX_EXPANDED_BYTES {
            return Err(ExpandError::TooLong {
                limit: MAX_EXPANDED_BYTES,
            });
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Takes text that white space cuts.
    fn parts(&mut self, text: &str) -> Result<(), ExpandError> {
        if !self.cut {
            return self.whole(text);
        }
        for (at, part) in text.split(char::is_whitespace).enumerate() {
            if at > 0 {
                self.end_word();
            }
            self.whole(part)?;
        }
        Ok(())
    }

    fn end_word(&mut self) {
        if !self.text.is_empty() {
            self.words.push(std::mem::take(&mut self.text));
        }
    }
}

/// Reads one word.
pub(super) struct ShellWord<'a> {
    text: &'a str,
    at: usize,
    escape: char,
    keep: Keep,
    lookup: Lookup<'a>,
    asked: &'a mut Asked,
    depth: usize,
    work: usize,
    /// Whether quotes are read as such.
    quotes: bool,
}

impl<'a> ShellWord<'a> {
    pub(super) fn new(
        text: &'a str,
        escape: char,
        keep: Keep,
        lookup: Lookup<'a>,
        asked: &'a mut Asked,
    ) -> Self {
        ShellWord {
            text,
            at: 0,
            escape,
            keep,
            lookup,
            asked,
            depth: 0,
            work: 0,
            quotes: true,
        }
    }

    /// A text whose quotes are letters as any other: that of a heredoc.
    pub(super) fn text(text: &'a str, lookup: Lookup<'a>, asked: &'a mut Asked) -> Self {
        // docker has this escape character here, whatever the file's
        ShellWord {
            quotes: false,
            ..Self::new(text, '\\', Keep::Nothing, lookup, asked)
        }
    }

    /// The word expanded.
    pub(super) fn one(mut self) -> Result<String, Fault> {
        let mut sink = Sink::new(false);
        self.run(None, self.keep == Keep::All, &mut sink)?;
        Ok(sink.text)
    }

    /// The words it is after expansion.
    pub(super) fn several(mut self) -> Result<Vec<String>, Fault> {
        let mut sink = Sink::new(true);
        self.run(None, self.keep == Keep::All, &mut sink)?;
        sink.end_word();
        Ok(sink.words)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn fault(&self, error: ExpandError, from: usize) -> Fault {
        Fault {
            error,
            range: from..self.at,
        }
    }

    /// Reads up to the end, or past `stop`. Whether there was one.
    fn run(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
        sink: &mut Sink,
    ) -> Result<bool, Fault> {
        while let Some(letter) = self.peek() {
            let from = self.at;
            if Some(letter) == stop {
                self.next();
                return Ok(true);
            }
            let taken = match letter {
                '\'' if self.quotes => {
                    let text = self.single_quoted()?;
                    sink.whole(text)
                }
                '"' if self.quotes => {
                    let text = self.double_quoted(raw_escapes)?;
                    sink.whole(&text)
                }
                '$' => {
                    let value = self.dollar()?;
                    sink.parts(&value)
                }
                '<' if self.keep == Keep::All => {
                    let text = self.angles();
                    sink.whole(text)
                }
                _ => {
                    self.next();
                    if letter != self.escape {
                        sink.parts(&self.text[from..self.at])
                    } else {
                        // at the very end it escapes nothing
                        let escaped = self.at;
                        self.next();
                        let begin = if raw_escapes { from } else { escaped };
                        sink.whole(&self.text[begin..self.at])
                    }
                }
            };
            taken.map_err(|error| self.fault(error, from))?;
        }
        Ok(false)
    }

    fn single_quoted(&mut self) -> Result<&'a str, Fault> {
        let from = self.at;
        let text = self.text;
        let Some(length) = text[from + 1..].find('\'') else {
            return Err(Fault {
                error: ExpandError::NotClosed { what: "'" },
                range: from..from + 1,
            });
        };
        let end = from + 1 + length;
        self.at = end + 1;
        Ok(match self.keep {
            Keep::All => &text[from..self.at],
            _ => &text[from + 1..end],
        })
    }

    fn double_quoted(&mut self, raw_escapes: bool) -> Result<String, Fault> {
        let from = self.at;
        let mut sink = Sink::new(false);
        self.next();
        while let Some(letter) = self.peek() {
            let begin = self.at;
            let taken = match letter {
                '"' => {
                    self.next();
                    return Ok(match self.keep {
                        Keep::All => format!("\"{}\"", sink.text),
                        _ => sink.text,
                    });
                }
                '$' => {
                    let value = self.dollar()?;
                    sink.whole(&value)
                }
                _ => {
                    self.next();
                    let next = self.peek();
                    let escapes = letter == self.escape;
                    let escaped =
                        escapes && (matches!(next, Some('"' | '$')) || next == Some(letter));
                    if escaped {
                        self.next();
                    }
                    match (raw_escapes, escaped) {
                        (false, true) => sink.whole(&self.text[begin + letter.len_utf8()..self.at]),
                        // to a pattern it is a character of its own
                        (true, false) if escapes => sink.whole(&letter.to_string().repeat(2)),
                        _ => sink.whole(&self.text[begin..self.at]),
                    }
                }
            };
            taken.map_err(|error| self.fault(error, begin))?;
        }
        Err(Fault {
            error: ExpandError::NotClosed { what: "\"" },
            range: from..from + 1,
        })
    }

    /// `<`, or the `<<` of a heredoc with the blanks that may stand before its name.
    fn angles(&mut self) -> &'a str {
        let from = self.at;
        self.next();
        if self.peek() == Some('<') {
            self.next();
            while matches!(self.peek(), Some('\t' | '\r' | ' ')) {
                self.next();
            }
        }
        &self.text[from..self.at]
    }

    /// A `$` and what belongs to it.
    fn dollar(&mut self) -> Result<String, Fault> {
        let from = self.at;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.value(name, from).unwrap_or_default());
        }
        self.next();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(ExpandError::TooDeep { limit: MAX_DEPTH }, from));
        }
        let name = self.name();
        if name.is_empty() && self.peek().is_some() {
            self.next();
            return Err(self.fault(ExpandError::NoName, from));
        }
        let value = self.modified(name, from)?;
        self.depth -= 1;
        Ok(value)
    }

    /// What follows the name in braces, the closing one included.
    fn modified(&mut self, name: &'a str, from: usize) -> Result<String, Fault> {
        let mark = self.at;
        let Some(mut modifier) = self.next() else {
            return Err(self.not_closed(from));
        };
        let or_empty = modifier == ':';
        match modifier {
            '}' => return Ok(self.value(name, from).unwrap_or_default()),
            '/' => return self.replaced(name, from),
            ':' => {
                modifier = self.next().ok_or_else(|| self.not_closed(from))?;
            }
            '+' | '-' | '?' | '#' | '%' => {}
            _ => return Err(self.unsupported(mark, from)),
        }
        let end_of_mark = self.at;
        let strips = matches!(modifier, '#' | '%');
        if strips && or_empty {
            return Err(self.unsupported(mark, from));
        }
        let word = self.up_to('}', strips, from)?;
        let value = self.value(name, from);
        if self.keep != Keep::Nothing && !self.is_set(name) {
            return Ok(value.unwrap_or_default());
        }
        let missing = match &value {
            None => true,
            Some(value) => or_empty && value.is_empty(),
        };
        match modifier {
            '-' if missing => Ok(word),
            '+' if missing => Ok(String::new()),
            '+' => Ok(word),
            '?' if missing => {
                let message = match (word.is_empty(), &value) {
                    (false, _) => word,
                    (true, None) => "is not set".to_owned(),
                    (true, Some(_)) => "is empty".to_owned(),
                };
                let name = name.to_owned();
                Err(self.fault(ExpandError::Required { name, message }, from))
            }
            '-' | '?' => Ok(value.unwrap_or_default()),
            '#' | '%' => {
                let longest = word.starts_with(modifier);
                let pattern = if longest { &word[1..] } else { &word };
                let value = value.unwrap_or_default();
                let pattern = self.pattern(pattern, &value, from)?;
                Ok(match modifier {
                    '#' => pattern.strip_prefix(&value, longest),
                    _ => pattern.strip_suffix(&value, longest),
                })
            }
            _ => {
                self.at = end_of_mark;
                Err(self.unsupported(mark, from))
            }
        }
    }

    /// `${name/pattern/text}` after its first slash.
    fn replaced(&mut self, name: &'a str, from: usize) -> Result<String, Fault> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.up_to('/', true, from)?;
        let with = self.up_to('}', true, from)?;
        let value = self.value(name, from);
        if self.keep != Keep::Nothing && !self.is_set(name) {
            return Ok(value.unwrap_or_default());
        }
        let value = value.unwrap_or_default();
        let pattern = self.pattern(&pattern, &value, from)?;
        let limit = MAX_EXPANDED_BYTES;
        pattern
            .replace(&value, &with, all, limit)
            .ok_or_else(|| self.fault(ExpandError::TooLong { limit }, from))
    }

    fn pattern(&mut self, pattern: &str, value: &str, from: usize) -> Result<ShellPattern, Fault> {
        let Some(compiled) = ShellPattern::new(pattern) else {
            let pattern = pattern.to_owned();
            return Err(self.fault(ExpandError::BadPattern { pattern }, from));
        };
        self.work += compiled.len() * (value.len() + 1);
        if self.work > MAX_WORK {
            return Err(self.fault(ExpandError::TooMuchWork, from));
        }
        Ok(compiled)
    }

    /// The text up to a character that ends it, expanded.
    fn up_to(&mut self, stop: char, raw_escapes: bool, from: usize) -> Result<String, Fault> {
        let mut sink = Sink::new(false);
        if self.run(Some(stop), raw_escapes, &mut sink)? {
            Ok(sink.text)
        } else {
            Err(self.not_closed(from))
        }
    }

    fn not_closed(&self, from: usize) -> Fault {
        Fault {
            error: ExpandError::NotClosed { what: "${" },
            range: from..from + 2,
        }
    }

    fn unsupported(&self, mark: usize, from: usize) -> Fault {
        let modifier = self.text[mark..self.at].to_owned();
        self.fault(ExpandError::UnknownModifier { modifier }, from)
    }

    /// A name: letters, digits and `_`; or digits only; or one of the shell's own.
    fn name(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let length = match rest.chars().next() {
            Some('0'..='9') => rest.find(|letter: char| !letter.is_ascii_digit()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            _ => rest.find(|letter: char| {
                !letter.is_alphabetic() && !letter.is_ascii_digit() && letter != '_'
            }),
        };
        let name = &rest[..length.unwrap_or(rest.len())];
        self.at += name.len();
        name
    }

    /// What a variable stands for, noting that it was asked for; or as it is written, where that is kept.
    fn value(&mut self, name: &str, from: usize) -> Option<String> {
        let value = (self.lookup)(name);
        let asked = match value {
            Some(_) => &mut self.asked.set,
            None => &mut self.asked.unset,
        };
        if !asked.contains(name) {
            asked.insert(name.to_owned());
        }
        if value.is_none() && self.keep != Keep::Nothing {
            return Some(self.text[from..self.at].to_owned());
        }
        value
    }

    fn is_set(&self, name: &str) -> bool {
        self.asked.set.contains(name)
    }
}
