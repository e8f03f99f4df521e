//! Sparse files in the ways GNU tar has had: its old header, and PAX 0.0, 0.1 and 1.0.

use std::io::Read;

use super::super::header::{self, BLOCK, field};
use super::error::ReadError;
use super::pax::{Pax, parse_number};
use super::{LayerReader, lossy};

/// The most pieces a sparse file may come in.
pub(super) const MOST_SEGMENTS: usize = 100_000;

/// Where the stored bytes of a sparse file belong, and how far it has been read.
pub(super) struct Sparse {
    /// Offset and length of what is stored, in order, without overlap.
    segments: Vec<(u64, u64)>,
    next: usize,
    position: u64,
    size: u64,
}

impl Sparse {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a hole is ahead, and for how many bytes it or the data goes on.
    pub fn ahead(&self) -> (bool, u64) {
        match self.segments.get(self.next) {
            None => (true, self.size - self.position),
            Some((start, _)) if self.position < *start => (true, start - self.position),
            Some((start, length)) => (false, start + length - self.position),
        }
    }

    pub fn advance(&mut self, count: u64) {
        self.position += count;
        while let Some((start, length)) = self.segments.get(self.next) {
            if self.position < start + length {
                break;
            }
            self.next += 1;
        }
    }

    pub fn skip_hole(&mut self) -> u64 {
        match self.ahead() {
            (true, length) => {
                self.advance(length);
                length
            }
            _ => 0,
        }
    }
}

/// The map of the entry whose header this is; `None` where the file is not sparse. Reads what of
/// the map comes after the header.
pub(super) fn read<R: Read>(
    reader: &mut LayerReader<R>,
    header: &[u8; BLOCK],
    pax: Pax,
) -> Result<Option<Sparse>, ReadError> {
    let records = pax.sparse;
    let wrong = ReadError::SparseMap {
        name: lossy(&reader.name),
    };
    let (numbers, size) = match (records.major, records.minor, records.map) {
        _ if header[field::TYPE] == b'S' => old_map(reader, header)?,
        (None | Some(0), _, None) => return Ok(None),
        (None | Some(0), _, Some(map)) => (Some(map), records.size),
        (Some(1), Some(0), None) => (map_in_data(reader)?, records.size),
        _ => return Err(wrong),
    };
    let (Some(numbers), Some(size)) = (numbers, size) else {
        return Err(wrong);
    };
    let stored = reader.stored;
    check(&numbers, size, stored).map(Some).ok_or(wrong)
}

fn check(numbers: &[u64], size: u64, stored: u64) -> Option<Sparse> {
    let (pairs, []) = numbers.as_chunks::<2>() else {
        return None;
    };
    let (mut end, mut sum) = (0_u64, 0_u64);
    let mut segments = Vec::with_capacity(pairs.len().min(MOST_SEGMENTS));
    for &[offset, length] in pairs {
        if offset < end || segments.len() == MOST_SEGMENTS {
            return None;
        }
        end = offset.checked_add(length)?;
        sum = sum.checked_add(length)?;
        if length > 0 {
            segments.push((offset, length));
        }
    }
    (end <= size && sum == stored && i64::try_from(size).is_ok()).then_some(Sparse {
        segments,
        next: 0,
        position: 0,
        size,
    })
}

type Map = (Option<Vec<u64>>, Option<u64>);

/// GNU's old way: four pieces in the header, 21 in each block after it.
fn old_map<R: Read>(reader: &mut LayerReader<R>, header: &[u8; BLOCK]) -> Result<Map, ReadError> {
    const IN_HEADER: std::ops::Range<usize> = 386..482;
    const MORE: usize = 482;
    const SIZE: std::ops::Range<usize> = 483..495;
    const IN_BLOCK: std::ops::Range<usize> = 0..504;
    const MORE_IN_BLOCK: usize = 504;
    let unsigned = |field: &[u8]| header::number(field).and_then(|n| u64::try_from(n).ok());
    let mut numbers = Vec::new();
    let mut add = |bytes: &[u8]| {
        for piece in bytes.chunks_exact(12) {
            // Unused pieces are zeros.
            if piece[0] != 0 && numbers.len() <= 2 * MOST_SEGMENTS {
                numbers.extend(unsigned(piece));
            }
        }
        numbers.len() <= 2 * MOST_SEGMENTS
    };
    let mut fits = add(&header[IN_HEADER]);
    let mut more = header[MORE] != 0;
    while more && fits {
        // These blocks are not counted in the entry's size.
        reader.stored += BLOCK as u64;
        let block = reader.stored_block()?;
        fits = add(&block[IN_BLOCK]);
        more = block[MORE_IN_BLOCK] != 0;
    }
    Ok((fits.then_some(numbers), unsigned(&header[SIZE])))
}

/// PAX 1.0: the map is the start of the data: decimal lines, their number first.
fn map_in_data<R: Read>(reader: &mut LayerReader<R>) -> Result<Option<Vec<u64>>, ReadError> {
    let mut numbers = Vec::new();
    let mut wanted = None;
    let mut line = Vec::new();
    loop {
        for byte in reader.stored_block()? {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let Some(number) = parse_number(&line).filter(|_| !line.is_empty()) else {
                return Ok(None);
            };
            line.clear();
            match wanted {
                None if number > MOST_SEGMENTS as u64 => return Ok(None),
                None => wanted = Some(2 * number as usize),
                Some(_) => numbers.push(number),
            }
            if wanted == Some(numbers.len()) {
                return Ok(Some(numbers));
            }
        }
        if line.len() > 20 {
            return Ok(None);
        }
    }
}
