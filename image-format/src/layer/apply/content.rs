//! The content of a file, holes as holes.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;

use super::error::{Fault, failed};
use crate::layer::read::LayerReader;

/// Zeros in pieces of this many bytes are written as holes: file systems' usual block.
const BLOCK: usize = 4096;

/// Where a file's content comes from.
pub(super) trait Content: Read {
    /// Goes past a hole that comes next, and gives its length in bytes; 0 where none is known.
    fn skip_hole(&mut self) -> u64;
}

impl<R: Read> Content for LayerReader<R> {
    fn skip_hole(&mut self) -> u64 {
        LayerReader::skip_hole(self)
    }
}

/// The content of a file of a layer below; of other kinds, none.
pub(super) struct Below(pub Option<File>);

impl Read for Below {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(0), |file| file.read(buffer))
    }
}

impl Content for Below {
    fn skip_hole(&mut self) -> u64 {
        0
    }
}

/// Writes the content of a new file of `size` bytes.
pub(super) fn write(
    fd: &OwnedFd,
    size: u64,
    content: &mut impl Content,
    buffer: &mut [u8],
) -> Result<(), Fault> {
    let (mut position, mut end_of_data) = (0, 0);
    while position < size {
        let hole = content.skip_hole();
        if hole > 0 {
            position += hole;
            continue;
        }
        let count = match content.read(buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read the content of")(error)),
        };
        // A small file is written as it is: no hole would save anything.
        let step = if size <= BLOCK as u64 { count } else { BLOCK };
        let mut start = 0;
        let mut at = 0;
        while at < count {
            let end = count.min(at + step);
            if step == BLOCK && is_zero(&buffer[at..end]) {
                write_all(fd, position + start as u64, &buffer[start..at])?;
                start = end;
            }
            at = end;
        }
        write_all(fd, position + start as u64, &buffer[start..count])?;
        position += count as u64;
        if start < count {
            end_of_data = position;
        }
    }
    // What it ends with may be a hole.
    if end_of_data < size {
        rustix::fs::ftruncate(fd, size).map_err(failed("write"))?;
    }
    Ok(())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes == &[0; BLOCK][..bytes.len()]
}

fn write_all(fd: &OwnedFd, mut position: u64, mut bytes: &[u8]) -> Result<(), Fault> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, position) {
            Ok(0) => return Err(failed("write")(io::Error::from(ErrorKind::WriteZero))),
            Ok(count) => {
                bytes = &bytes[count..];
                position += count as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed("write")(error)),
        }
    }
    Ok(())
}
