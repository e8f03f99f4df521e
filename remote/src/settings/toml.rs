//! TOML, into the values that serde reads: the crate `toml` would cost the binary twice as much.
//!
//! Source: TOML 1.1; `toml_parser` knows the grammar, and what stands here which names may come twice.

use std::borrow::Cow;

use serde_json::{Map, Value};
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, RecursionGuard, parse_document};
use toml_parser::{ErrorSink, ParseError, Source, Span};

/// Deeper than anybody writes by hand.
const DEEPEST: u32 = 32;

/// Why a text is not TOML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TomlError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a document. Dates and times become strings.
///
/// # Errors
/// When it is not TOML, or a name comes twice in a table.
pub fn parse(text: &str) -> Result<Value, TomlError> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut errors: Option<ParseError> = None;
    let mut tree = Tree {
        source,
        root: Map::new(),
        table: Vec::new(),
        header: None,
        key: Vec::new(),
        open: Vec::new(),
        error: None,
    };
    let mut guard = RecursionGuard::new(&mut tree, DEEPEST);
    parse_document(&tokens, &mut guard, &mut errors);
    let own = tree.error.take();
    let said = errors.map(|error| {
        let span = error.unexpected().or(error.context());
        let place = span.map_or(text.len(), |span| span.start());
        (place, error.description().to_owned())
    });
    // The first one says best what is wrong.
    match own.into_iter().chain(said).min() {
        None => Ok(Value::Object(tree.root)),
        Some((place, message)) => Err(TomlError {
            line: 1 + text.bytes().take(place).filter(|b| *b == b'\n').count(),
            message,
        }),
    }
}

/// An array or an inline table that is not closed yet.
enum Open {
    Array(Vec<Value>),
    /// With the key that a value is read for.
    Table(Map<String, Value>, Vec<String>),
}

struct Tree<'i> {
    source: Source<'i>,
    root: Map<String, Value>,
    /// The table that a header has opened.
    table: Vec<String>,
    /// Whether a header is being read, and if so, whether it is one of an array of tables.
    header: Option<bool>,
    /// The key that is being read, by its parts.
    key: Vec<String>,
    open: Vec<Open>,
    /// Where and what was wrong first.
    error: Option<(usize, String)>,
}

impl Tree<'_> {
    fn fail(&mut self, span: Span, message: impl Into<String>) {
        self.error.get_or_insert((span.start(), message.into()));
    }

    /// A value is complete.
    fn value(&mut self, span: Span, value: Value) {
        let taken = match self.open.last_mut() {
            Some(Open::Array(values)) => {
                values.push(value);
                return;
            }
            Some(Open::Table(table, key)) => put(table, &std::mem::take(key), value),
            None => {
                let key = std::mem::take(&mut self.key);
                match enter(&mut self.root, &self.table) {
                    Some(table) => put(table, &key, value),
                    None => false,
                }
            }
        };
        if !taken {
            self.fail(span, "this is set twice");
        }
    }

    fn end_header(&mut self, span: Span) {
        let is_array = self.header.take() == Some(true);
        self.table = std::mem::take(&mut self.key);
        let Some((last, path)) = self.table.split_last() else {
            return;
        };
        let taken = match enter(&mut self.root, path) {
            Some(parent) if is_array => {
                let tables = parent.entry(last).or_insert(Value::Array(Vec::new()));
                let tables = tables.as_array_mut();
                tables.map(|tables| tables.push(Value::Object(Map::new())))
            }
            Some(parent) => {
                let table = parent.entry(last).or_insert(Value::Object(Map::new()));
                table.is_object().then_some(())
            }
            None => None,
        };
        if taken.is_none() {
            self.fail(span, "this is set twice");
        }
    }
}

/// The table at a path, of arrays of tables the last; made where there is none.
fn enter<'t>(
    table: &'t mut Map<String, Value>,
    path: &[String],
) -> Option<&'t mut Map<String, Value>> {
    let Some((first, rest)) = path.split_first() else {
        return Some(table);
    };
    let next = table.entry(first).or_insert(Value::Object(Map::new()));
    let next = match next {
        Value::Array(tables) => tables.last_mut()?.as_object_mut()?,
        next => next.as_object_mut()?,
    };
    enter(next, rest)
}

/// Whether a value could be put at a path.
fn put(table: &mut Map<String, Value>, path: &[String], value: Value) -> bool {
    let Some((last, path)) = path.split_last() else {
        return false;
    };
    let Some(table) = enter(table, path) else {
        return false;
    };
    table.insert(last.clone(), value).is_none()
}

impl EventReceiver for Tree<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header = Some(false);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header = Some(true);
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Array(Vec::new()));
        true
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Table(Map::new(), Vec::new()));
        true
    }

    fn array_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        if let Some(Open::Array(values)) = self.open.pop() {
            self.value(span, Value::Array(values));
        }
    }

    fn inline_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        if let Some(Open::Table(table, _)) = self.open.pop() {
            self.value(span, Value::Object(table));
        }
    }

    fn simple_key(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut name = Cow::Borrowed("");
        if let Some(raw) = self.source.get(span) {
            let raw = toml_parser::Raw::new_unchecked(raw.as_str(), kind, span);
            raw.decode_key(&mut name, error);
        }
        let key = match self.open.last_mut() {
            Some(Open::Table(_, key)) => key,
            _ => &mut self.key,
        };
        match key.len() < DEEPEST as usize {
            true => key.push(name.into_owned()),
            false => self.fail(span, "this name has too many parts"),
        }
    }

    fn scalar(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        let Some(raw) = self.source.get(span) else {
            return;
        };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), kind, span);
        let value = match raw.decode_scalar(&mut text, error) {
            ScalarKind::Boolean(value) => Value::Bool(value),
            ScalarKind::Integer(radix) => {
                let digits = text.trim_start_matches('+');
                match i64::from_str_radix(digits, radix.value()) {
                    Ok(number) => Value::from(number),
                    Err(_) => {
                        self.fail(span, "this number is too large");
                        return;
                    }
                }
            }
            ScalarKind::Float => text.parse::<f64>().map_or(Value::Null, Value::from),
            ScalarKind::String | ScalarKind::DateTime => Value::from(text.into_owned()),
        };
        self.value(span, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_become_values() {
        let cases = [
            ("", json!({})),
            (
                "a = 1\nb = \"x\\ty\" # c\n'c d' = 'é\\'\nd = true",
                json!({"a": 1, "b": "x\ty", "c d": "é\\", "d": true}),
            ),
            (
                "a.b = 0x1f\na.\"c.d\" = -1.5",
                json!({"a": {"b": 31, "c.d": -1.5}}),
            ),
            (
                "x = [\"a\", # c\n 'b',\n]\ny = []",
                json!({"x": ["a", "b"], "y": []}),
            ),
            (
                "x = { a = 1, b.c = [2, {d = 3}] }",
                json!({"x": {"a": 1, "b": {"c": [2, {"d": 3}]}}}),
            ),
            (
                "[[r]]\np = 1\n[[r.m]]\nl = 'a'\n[[r.m]]\nl = 'b'\n[[r]]\np = 2\n[a.b]\nc = 3",
                json!({"r": [{"p": 1, "m": [{"l": "a"}, {"l": "b"}]}, {"p": 2}], "a": {"b": {"c": 3}}}),
            ),
            ("d = 2020-01-01", json!({"d": "2020-01-01"})),
            ("s = \"\"\"\na\\\n  b\"\"\"", json!({"s": "ab"})),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let cases = [
            ("a = 1\na = 2", 2),
            ("a = 1\n[a]\nb = 2", 2),
            ("a = 1\n\n[[a]]", 3),
            ("a = [1]\n[[a.b]]", 2),
            ("\nx = {a = 1, a = 2}", 2),
            ("a = \"x", 1),
            ("a = 1\nb = ", 2),
            ("[a\nb = 1", 1),
            ("a = 99999999999999999999", 1),
            ("a = \"\\q\"", 1),
        ];
        for (text, line) in cases {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
        let arrays = format!("a = {}", "[".repeat(100_000));
        assert!(parse(&arrays).is_err());
        let name = vec!["a"; 100_000].join(".");
        assert_eq!(parse(&format!("\n{name} = 1")).unwrap_err().line, 2);
    }
}
