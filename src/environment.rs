//! The environment variables that a command heeds.

use crate::error::Error;

/// `SOURCE_DATE_EPOCH`: the newest time of a file, in seconds after 1970-01-01.
///
/// Source: <https://reproducible-builds.org/specs/source-date-epoch/>
pub fn source_date_epoch() -> Result<Option<i64>, Error> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty())
    else {
        return Ok(None);
    };
    let value = value.to_string_lossy().into_owned();
    // What RFC 3339 cannot write, no config can hold.
    match value.parse::<i64>() {
        Ok(seconds) if (0..=253_402_300_799).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(Error::Epoch { value }),
    }
}
