//! Archives: to standard output, or to a file that appears whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::file;
use crate::error::Error;
use crate::signals::Unfinished;

/// So many bytes are written at once.
const BUFFER: usize = 256 << 10;

/// Has an archive written to a file, or to standard output where there is none. A device or a pipe is
/// written to as it is.
pub fn write(
    path: Option<&Path>,
    unfinished: &Unfinished,
    archive: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(path) = path else {
        let stdout = io::stdout().lock();
        if rustix::termios::isatty(&stdout) {
            return Err(Error::TerminalOutput);
        }
        return buffered(stdout, archive, super::failed);
    };
    let failed = |source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    };
    if file::is_special(path) {
        let file = File::options().write(true).open(path).map_err(failed)?;
        return buffered(file, archive, failed);
    }
    let make = || file::beside(path);
    let new = unfinished.make(make, NamedTempFile::path).map_err(failed)?;
    buffered(new.as_file(), archive, failed)?;
    let saved = unfinished.publish(|| new.persist(path));
    saved.map(drop).map_err(|error| failed(error.error))
}

fn buffered(
    out: impl Write,
    archive: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    failed: impl FnOnce(io::Error) -> Error,
) -> Result<(), Error> {
    let mut out = BufWriter::with_capacity(BUFFER, out);
    archive(&mut out)?;
    out.flush().map_err(failed)
}
