//! What goes to standard output: data, and nothing else.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::error::Error;

/// Writes one line.
pub fn line(text: impl Display) -> Result<(), Error> {
    writeln!(io::stdout().lock(), "{text}").map_err(failed)
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
