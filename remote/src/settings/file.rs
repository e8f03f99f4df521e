//! A file of what is set, read whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::SettingsError;

/// Such files are a few KiB.
const LARGEST: u64 = 4 << 20;

/// What a file has; `None` when it is not there.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, SettingsError> {
    let failed = |source| SettingsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut content = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut content)
        .map_err(failed)?;
    if content.len() as u64 > LARGEST {
        return Err(SettingsError::TooLarge {
            path: path.to_owned(),
            limit: LARGEST,
        });
    }
    Ok(Some(content))
}

/// Whether a file or directory is not there.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
