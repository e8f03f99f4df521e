//! What goes to standard output: data, and nothing else. And what goes into files.

pub mod archive;
pub mod file;
pub mod table;
pub mod units;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;

use crate::error::Error;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table with a heading
    #[default]
    Table,
    /// A JSON object a line
    Json,
}

/// Writes one line.
pub fn line(text: impl Display) -> Result<(), Error> {
    writeln!(io::stdout().lock(), "{text}").map_err(failed)
}

/// Writes a text with its colours, where standard output shows any.
pub fn styled(text: &str) -> Result<(), Error> {
    writeln!(anstream::stdout().lock(), "{text}").map_err(failed)
}

/// Writes a JSON value on lines of its own, indented by four as docker's `inspect` does.
pub fn json(value: &impl serde::Serialize) -> Result<(), Error> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut out, indent);
    value
        .serialize(&mut writer)
        .map_err(|error| failed(error.into()))?;
    writeln!(out).and_then(|()| out.flush()).map_err(failed)
}

/// Writes a JSON value on one line.
pub fn json_line(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(value).map_err(|error| failed(error.into()))?;
    line(text)
}

/// A reader that went away is no failure of ours, and has no one to hear of it.
pub fn failed(source: io::Error) -> Error {
    match source.kind() {
        ErrorKind::BrokenPipe => Error::ReaderGone,
        _ => Error::File {
            action: "write",
            path: "standard output".into(),
            source,
        },
    }
}

/// A text with its control characters escaped.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' => plain.push(' '),
            letter if letter.is_control() => plain.extend(letter.escape_default()),
            letter => plain.push(letter),
        }
    }
    plain
}
