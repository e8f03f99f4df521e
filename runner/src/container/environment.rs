//! Environment variables: docker's `-e` and `--env-file`, and the environment that comes of them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::sandbox::DEFAULT_PATH;

/// One change to a container's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `NAME=value`.
    Set {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// `NAME`: the value that mkimg itself has, and where it has none, none.
    Inherit {
        /// The name.
        name: String,
    },
}

/// Why variables cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VariableError {
    /// No name before the `=`.
    #[error("{0:?} has no variable's name")]
    NoName(String),
    /// A name with white space in it.
    #[error("{}, line {line}: the name {name:?} has white space in it", path.display())]
    WhiteSpace {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// A line without a name.
    #[error("{}, line {line}: no variable's name", path.display())]
    NoNameInFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl FromStr for Variable {
    type Err = VariableError;

    fn from_str(text: &str) -> Result<Self, VariableError> {
        match text.split_once('=') {
            Some(("", _)) => Err(VariableError::NoName(text.into())),
            None if text.is_empty() => Err(VariableError::NoName(text.into())),
            Some((name, value)) => Ok(Self::Set {
                name: name.into(),
                value: value.into(),
            }),
            None => Ok(Self::Inherit { name: text.into() }),
        }
    }
}

/// Reads a file of variables, one a line; lines that begin with `#` say nothing.
///
/// # Errors
/// When it cannot be read, or at the first line that is none.
pub fn read_file(path: &Path) -> Result<Vec<Variable>, VariableError> {
    let text = std::fs::read_to_string(path).map_err(|source| VariableError::Read {
        path: path.into(),
        source,
    })?;
    parse_file(&text, path)
}

fn parse_file(text: &str, path: &Path) -> Result<Vec<Variable>, VariableError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.contains(char::is_whitespace) {
            return Err(VariableError::WhiteSpace {
                path: path.into(),
                line: number + 1,
                name: name.into(),
            });
        }
        let variable = line.parse().map_err(|_| VariableError::NoNameInFile {
            path: path.into(),
            line: number + 1,
        })?;
        variables.push(variable);
    }
    Ok(variables)
}

/// The environment of a container as docker makes it: its own defaults, what the image says, and
/// what the user changes, each over what came before. `own` looks a variable of mkimg's up.
pub(super) fn merge(
    image: &[String],
    changes: &[Variable],
    hostname: &str,
    terminal: bool,
    own: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut environment: Vec<(String, String)> = vec![
        ("PATH".into(), DEFAULT_PATH.into()),
        ("HOSTNAME".into(), hostname.into()),
    ];
    let mut set = |name: &str, value: Option<&str>| {
        let found = environment.iter().position(|(other, _)| other == name);
        match (found, value) {
            (Some(index), Some(value)) => environment[index].1 = value.into(),
            (Some(index), None) => drop(environment.remove(index)),
            (None, Some(value)) => environment.push((name.into(), value.into())),
            (None, None) => {}
        }
    };
    if terminal {
        set("TERM", Some("xterm"));
    }
    for entry in image {
        match entry.split_once('=') {
            Some((name, value)) => set(name, Some(value)),
            None => set(entry, None),
        }
    }
    for change in changes {
        match change {
            Variable::Set { name, value } => set(name, Some(value)),
            Variable::Inherit { name } => set(name, own(name).as_deref()),
        }
    }
    environment
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(texts: &[&str]) -> Vec<Variable> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_comes_later_wins() {
        let own = |name: &str| (name == "OWN").then(|| "o".to_owned());
        let image = ["PATH=/bin".to_owned(), "A=1".into(), "B=x=y".into()];
        let changes = variables(&["A=2", "OWN", "B", "C="]);
        assert_eq!(
            merge(&image, &changes, "box", true, own),
            [
                "PATH=/bin",
                "HOSTNAME=box",
                "TERM=xterm",
                "A=2",
                "OWN=o",
                "C="
            ]
        );
    }

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let path = Path::new("env");
        let text = "\u{feff}# no\n\n  A=1 \nOWN\nB= x\nC=\"q\"\n";
        assert_eq!(
            parse_file(text, path).unwrap(),
            variables(&["A=1 ", "OWN", "B= x", "C=\"q\""])
        );
        assert!(matches!(
            parse_file("A B=1", path),
            Err(VariableError::WhiteSpace { line: 1, .. })
        ));
        assert!(matches!(
            parse_file("A=1\n=2", path),
            Err(VariableError::NoNameInFile { line: 2, .. })
        ));
    }

    #[test]
    fn public_cases() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/cli/env_e_flag.jsonl");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("no {}: nothing compared", path.display());
            return;
        };
        for line in text.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let value = case["value"].as_str().unwrap();
            let parsed = value.parse::<Variable>();
            assert_eq!(parsed.is_err(), !case["expectedErr"].is_null(), "{value:?}");
            if let Ok(Variable::Set { name, value: set }) = parsed {
                assert_eq!(format!("{name}={set}"), case["expected"], "{value:?}");
            }
        }
    }
}
