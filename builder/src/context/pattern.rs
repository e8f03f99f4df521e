//! The sources of a `COPY`: plain paths, and patterns that match name by name.

use crate::glob::{Glob, GlobError};
use crate::lexical;

/// A source, cleaned: `.` and empty names gone, `..` taking the name before it away, and nothing
/// above the root.
#[derive(Debug)]
pub(crate) enum SourcePattern {
    /// A path, whose symbolic links are followed.
    Plain(Vec<u8>),
    /// A path, and a pattern for each name below it.
    Wild {
        /// The names before the first that holds a wildcard; its symbolic links are followed.
        base: Vec<u8>,
        /// One for each name of what matches.
        globs: Vec<Glob>,
    },
}

impl SourcePattern {
    /// Reads a source as it is written.
    pub(crate) fn parse(source: &str) -> Result<Self, GlobError> {
        let names = lexical::names(source);
        let first = names.iter().position(|name| has_wildcard(name));
        let Some(first) = first else {
            return Ok(Self::Plain(names.join("/").into_bytes()));
        };
        let globs = names[first..].iter().map(|name| Glob::new(name));
        Ok(Self::Wild {
            base: names[..first].join("/").into_bytes(),
            globs: globs.collect::<Result<_, _>>()?,
        })
    }
}

/// Whether a name is a pattern for docker: a backslash alone does not make it one.
pub(crate) fn has_wildcard(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    false
}

/// The names of a clean path.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
}

/// A path and a name below it.
pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path {
        [] => name.to_vec(),
        path => [path, b"/", name].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_paths_and_finds_the_first_wildcard() {
        for (written, plain) in [
            (".", ""),
            ("/", ""),
            ("./a//b/", "a/b"),
            ("../../a/../b", "b"),
            (r"a\*b", r"a\*b"),
        ] {
            let parsed = SourcePattern::parse(written).unwrap();
            assert!(
                matches!(&parsed, SourcePattern::Plain(path) if path == plain.as_bytes()),
                "{written}: {parsed:?}"
            );
        }
        let SourcePattern::Wild { base, globs } = SourcePattern::parse("/a/b/*.c/d").unwrap()
        else {
            panic!("a pattern");
        };
        assert_eq!((base.as_slice(), globs.len()), (&b"a/b"[..], 2));
    }
}
