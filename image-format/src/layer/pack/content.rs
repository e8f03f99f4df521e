//! The content of a file, without reading its holes.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, Statx, seek};
use rustix::io::Errno;

/// Reads a file from its start; what the disk does not hold comes as zeros at no cost.
pub(super) struct Content<'a> {
    file: BorrowedFd<'a>,
    size: u64,
    position: u64,
    /// Up to where there are zeros only, and behind them up to where there is data.
    hole_end: u64,
    data_end: u64,
}

impl<'a> Content<'a> {
    pub fn new(file: BorrowedFd<'a>, stat: &Statx) -> Self {
        let size = stat.stx_size;
        let is_sparse = stat.stx_blocks.saturating_mul(512) < size;
        Self {
            file,
            size,
            position: 0,
            hole_end: 0,
            data_end: if is_sparse { 0 } else { size },
        }
    }

    fn find_data(&mut self) -> io::Result<()> {
        self.hole_end = match seek(self.file, SeekFrom::Data(self.position)) {
            Ok(start) => start,
            // No data is left.
            Err(Errno::NXIO) => self.size,
            Err(error) => return Err(error.into()),
        };
        self.data_end = match seek(self.file, SeekFrom::Hole(self.hole_end)) {
            Ok(end) => end,
            Err(Errno::NXIO) => self.size,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        if self.position >= self.data_end {
            self.find_data()?;
        }
        let end = if self.position < self.hole_end {
            self.hole_end
        } else {
            self.data_end
        };
        let left = usize::try_from(end.min(self.size) - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let buffer = &mut buffer[..length];
        let count = if self.position < self.hole_end {
            buffer.fill(0);
            buffer.len()
        } else {
            rustix::io::pread(self.file, buffer, self.position)?
        };
        self.position += count as u64;
        Ok(count)
    }
}

/// Whether two readers give the same bytes.
pub(super) fn is_same(mut a: impl Read, mut b: impl Read) -> io::Result<bool> {
    const PIECE: usize = 128 << 10;
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let (read, expected) = (fill(&mut a, &mut one)?, fill(&mut b, &mut other)?);
        if one[..read] != other[..expected] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
