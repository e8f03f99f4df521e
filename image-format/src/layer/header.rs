//! The 512-byte header of a tar entry and the PAX records before it.
//!
//! Source: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar's
//! manual, "Basic Tar Format", for numbers in base 256.

/// The unit of a tar archive in bytes.
pub const BLOCK: usize = 512;

/// Where the fields lie.
pub(crate) mod field {
    use std::ops::Range;
    pub const NAME: Range<usize> = 0..100;
    pub const MODE: Range<usize> = 100..108;
    pub const UID: Range<usize> = 108..116;
    pub const GID: Range<usize> = 116..124;
    pub const SIZE: Range<usize> = 124..136;
    pub const MTIME: Range<usize> = 136..148;
    pub const CHECKSUM: Range<usize> = 148..156;
    pub const TYPE: usize = 156;
    pub const LINK: Range<usize> = 157..257;
    pub const MAGIC: Range<usize> = 257..265;
    pub const MAJOR: Range<usize> = 329..337;
    pub const MINOR: Range<usize> = 337..345;
    pub const PREFIX: Range<usize> = 345..500;
}

/// What the magic and version fields hold in POSIX archives.
pub(crate) const USTAR: &[u8; 8] = b"ustar\x0000";

/// The PAX records of one entry, in the order they are added.
#[derive(Default)]
pub(crate) struct Records(Vec<u8>);

impl Records {
    /// Adds a record: its own length in decimal, a space, `key=value`, a newline.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + digits(rest);
        if rest + digits(length) != length {
            length = rest + digits(length);
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        self.0.push(b' ');
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Puts a number into a field in octal, with a NUL at the end; false, and zeros, if it is too
/// large for that.
pub(crate) fn put_octal(field: &mut [u8], number: u64) -> bool {
    let (last, width) = (field.len() - 1, field.len() - 1);
    let fits = number >> (3 * width) == 0;
    let mut rest = if fits { number } else { 0 };
    for digit in field[..width].iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field[last] = 0;
    fits
}

/// Reads a number: octal between spaces and NULs, or GNU's base 256 (which can be negative).
/// `None` where it is neither.
pub(crate) fn number(field: &[u8]) -> Option<i128> {
    if let Some(first) = field.first().filter(|first| **first & 0x80 != 0) {
        // Bit 6 is the sign; all of the field but bit 7 is a two's complement number.
        let mut value: i128 = if first & 0x40 != 0 { -1 } else { 0 };
        value = value << 6 | i128::from(first & 0x3f);
        for byte in &field[1..] {
            value = value << 8 | i128::from(*byte);
        }
        return Some(value);
    }
    let digits = until_nul(field).trim_ascii();
    digits.iter().try_fold(0_i128, |value, digit| match digit {
        b'0'..=b'7' => Some(value << 3 | i128::from(digit - b'0')),
        _ => None,
    })
}

/// A field of text: all before its first NUL.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// Writes the checksum of a header.
pub(crate) fn seal(header: &mut [u8; BLOCK]) {
    let sum = checksum(header).0;
    put_octal(
        &mut header[field::CHECKSUM.start..field::CHECKSUM.end - 1],
        sum,
    );
    header[field::CHECKSUM.end - 1] = b' ';
}

/// Whether the checksum is right; summed over signed bytes, as some old writers did, too.
pub(crate) fn is_sealed(header: &[u8; BLOCK]) -> bool {
    let (unsigned, signed) = checksum(header);
    number(&header[field::CHECKSUM])
        .is_some_and(|sum| sum == i128::from(unsigned) || sum == i128::from(signed))
}

/// The sum of all bytes, those of the checksum's own field taken for spaces.
fn checksum(header: &[u8; BLOCK]) -> (u64, i64) {
    let mut header = *header;
    header[field::CHECKSUM].fill(b' ');
    let unsigned = header.iter().map(|byte| u64::from(*byte)).sum();
    let signed = header.iter().map(|byte| i64::from(*byte as i8)).sum();
    (unsigned, signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for value in 0..300 {
            let mut records = Records::default();
            records.add(b"path", &vec![b'x'; value]);
            let text = records.bytes();
            let space = text.iter().position(|b| *b == b' ').unwrap();
            let length: usize = std::str::from_utf8(&text[..space])
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(length, text.len());
        }
    }

    #[test]
    fn reads_what_it_puts() {
        let mut field = [0; 12];
        for value in [0, 1, 0o777_7777_7777] {
            assert!(put_octal(&mut field, value));
            assert_eq!(number(&field), Some(i128::from(value)));
        }
        assert!(!put_octal(&mut field, 1 << 33));
    }

    #[test]
    fn reads_base_256() {
        assert_eq!(number(&[0x80, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(number(b" 755 \0x"), Some(0o755));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"79\0"), None);
    }
}
