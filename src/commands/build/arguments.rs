//! `--build-arg`: the values of ARGs.

use std::collections::BTreeMap;
use std::str::FromStr;

use builder::request::DEFAULT_EPOCH;
use image_format::layer::Timestamp;

use crate::error::Error;

/// The argument that says what time it is.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

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

/// The newest time that a file gets: what the argument says, else the environment's.
pub fn time(
    values: &BTreeMap<String, String>,
    environment: Option<i64>,
) -> Result<Timestamp, Error> {
    let seconds = match values.get(EPOCH) {
        Some(value) => value.parse().map_err(|_| Error::Epoch {
            value: value.clone(),
        })?,
        None => environment.unwrap_or(DEFAULT_EPOCH),
    };
    Ok(Timestamp::from_secs(seconds))
}
