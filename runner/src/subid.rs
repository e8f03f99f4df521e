//! The subordinate id ranges of a user: subuid(5), subgid(5).

use std::io;
use std::path::PathBuf;

/// A run of ids of the host that a user may map into its namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first id.
    pub first: u32,
    /// How many, at least one.
    pub count: u32,
}

/// Why the ranges could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SubidError {
    /// The file cannot be read (one that does not exist grants nothing, and is no error).
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is this user's but not `name:first:count`.
    #[error("{}, line {line}: not name:first:count", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// The ranges that `file` grants to the user called `name` (where one is known) or numbered `id`.
pub fn ranges(
    file: &std::path::Path,
    name: Option<&str>,
    id: u32,
) -> Result<Vec<Range>, SubidError> {
    match std::fs::read_to_string(file) {
        Ok(text) => parse(&text, name, id).map_err(|line| SubidError::Malformed {
            path: file.into(),
            line,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(SubidError::Read {
            path: file.into(),
            source,
        }),
    }
}

/// The error is the number of the line that is malformed.
fn parse(text: &str, name: Option<&str>, id: u32) -> Result<Vec<Range>, usize> {
    let id = id.to_string();
    let mut ranges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut fields = line.trim().split(':');
        let owner = fields.next().unwrap_or_default();
        if owner.is_empty() || owner.starts_with('#') || (Some(owner) != name && owner != id) {
            continue;
        }
        let (Some(Ok(first)), Some(Ok(count)), None) = (
            fields.next().map(str::parse::<u32>),
            fields.next().map(str::parse::<u32>),
            fields.next(),
        ) else {
            return Err(number + 1);
        };
        if count == 0 {
            continue;
        }
        if first.checked_add(count - 1).is_none() {
            return Err(number + 1);
        }
        ranges.push(Range { first, count });
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_and_by_number() {
        let text = "# who\nann:100000:65536\n\n1001:300000:10\nbob:1:1\nann:500000:5\n";
        let ann = [
            Range {
                first: 100_000,
                count: 65_536,
            },
            Range {
                first: 500_000,
                count: 5,
            },
        ];
        assert_eq!(parse(text, Some("ann"), 7), Ok(ann.to_vec()));
        let number = [Range {
            first: 300_000,
            count: 10,
        }];
        assert_eq!(parse(text, None, 1001), Ok(number.to_vec()));
        assert_eq!(parse(text, Some("carl"), 1), Ok(vec![]));
    }

    #[test]
    fn only_the_users_own_lines_must_be_well_formed() {
        let text = "ann:x:1\nbob:100000:65536\n";
        assert_eq!(parse(text, Some("ann"), 1), Err(1));
        assert!(parse(text, Some("bob"), 2).is_ok());
        assert_eq!(parse("ann:1:2:3", Some("ann"), 1), Err(1));
        assert_eq!(parse("ann:4294967295:2", Some("ann"), 1), Err(1));
        assert_eq!(parse("ann:1:0", Some("ann"), 1), Ok(vec![]));
    }
}
