//! `--build-arg`: the values of ARGs.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::environment::{said_epoch, seconds};
use crate::error::Error;

/// The argument that says what time it is.
const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Its value for the time of the context's commit.
const CONTEXT: &str = "context";

/// A `--build-arg` as it is written.
#[derive(Clone, Debug)]
pub struct BuildArg {
    name: String,
    value: Option<String>,
}

/// A build argument has no name.
#[derive(Debug, thiserror::Error)]
#[error("it has no name: NAME=VALUE, or NAME for the value that the environment has")]
pub struct NoName;

impl FromStr for BuildArg {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name.is_empty() {
            true => Err(NoName),
            false => Ok(Self {
                name: name.to_owned(),
                value,
            }),
        }
    }
}

/// The values of the arguments; one without a value takes the environment's, and is none where there is
/// none.
pub fn values(args: &[BuildArg]) -> BTreeMap<String, String> {
    let value = |arg: &BuildArg| arg.value.clone().or_else(|| std::env::var(&arg.name).ok());
    let values = args
        .iter()
        .filter_map(|arg| Some((arg.name.clone(), value(arg)?)));
    values.collect()
}

/// Where the newest time of a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// Nobody says anything.
    Default,
    /// It is this, in seconds since 1970.
    At(i64),
    /// From the commit that the context is at.
    Context,
}

/// What is said of the newest time of a file: by the argument, else by the environment.
pub fn epoch(values: &BTreeMap<String, String>) -> Result<Epoch, Error> {
    let said = match values.get(EPOCH) {
        Some(value) => Some(value.clone()).filter(|value| !value.is_empty()),
        None => said_epoch(),
    };
    Ok(match said {
        None => Epoch::Default,
        Some(value) if value == CONTEXT => Epoch::Context,
        Some(value) => Epoch::At(seconds(value)?),
    })
}

/// Writes the time into the argument, where that names the context instead.
pub fn settle(values: &mut BTreeMap<String, String>, seconds: i64) {
    if let Some(value) = values.get_mut(EPOCH).filter(|value| *value == CONTEXT) {
        *value = seconds.to_string();
    }
}
