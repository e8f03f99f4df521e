//! The environment variables that a command heeds.

use crate::error::Error;

/// `SOURCE_DATE_EPOCH`: the newest time of a file, in seconds after 1970-01-01.
///
/// Source: <https://reproducible-builds.org/specs/source-date-epoch/>
pub fn source_date_epoch() -> Result<Option<i64>, Error> {
    said_epoch().map(seconds).transpose()
}

/// What `SOURCE_DATE_EPOCH` says, where it says something.
pub fn said_epoch() -> Option<String> {
    let value = std::env::var_os("SOURCE_DATE_EPOCH")?;
    Some(value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// A time, as it may be said.
pub fn seconds(value: String) -> Result<i64, Error> {
    // What RFC 3339 cannot write, no config can hold.
    match value.parse::<i64>() {
        Ok(seconds) if (0..=253_402_300_799).contains(&seconds) => Ok(seconds),
        _ => Err(Error::Epoch { value }),
    }
}
