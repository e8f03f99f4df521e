//! The listing of a layer: what a COPY from it, or a check whether something exists, needs of the
//! tar without unpacking it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::entry::{Entry, Kind, Meta, Timestamp};
use super::read::{LayerReader, ReadError};

/// What the bytes of a listing start with; the number is the version.
const MAGIC: &[u8] = b"mkimg layer index 1\n";
/// The position of the first entry.
pub(super) const START: u32 = MAGIC.len() as u32;
/// The most bytes of a listing: some millions of entries.
const LARGEST: usize = 256 << 20;

/// The entries of a layer in the order of its tar, whiteouts among them, and where each starts.
///
/// It is held as compactly as it is stored: about 40 bytes an entry more than its path.
#[derive(Clone, PartialEq, Eq)]
pub struct LayerIndex {
    bytes: Vec<u8>,
}

/// An entry of a [`LayerIndex`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The entry, as [`LayerReader`] gives it.
    pub entry: Entry,
    /// Where its headers start in the tar, in bytes: a [`LayerReader`] on what follows reads it.
    pub header_offset: u64,
}

/// Why there is no listing.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The tar is malformed or hostile.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The layer's file cannot be read.
    #[error("cannot read the layer")]
    Io(#[from] io::Error),
    /// More entries than any image has.
    #[error("the listing of the layer takes more than {} MiB", LARGEST >> 20)]
    TooLarge,
    /// The bytes are no listing, or one of another version.
    #[error("byte {0} of the listing of a layer is wrong: it is damaged, or of another version")]
    Malformed(usize),
}

impl LayerIndex {
    /// Lists a plain tar that is read to its end.
    ///
    /// # Errors
    /// When the layer is malformed, or the input fails.
    pub fn read(tar: impl Read) -> Result<Self, IndexError> {
        let mut reader = LayerReader::new(BufReader::with_capacity(128 << 10, tar));
        let index = Self::list(&mut reader)?;
        io::copy(&mut reader.into_inner(), &mut io::sink())?;
        Ok(index)
    }

    /// Lists a plain tar in a file, from its start, without reading the contents.
    ///
    /// # Errors
    /// As [`LayerIndex::read`].
    pub fn of_file(tar: File) -> Result<Self, IndexError> {
        Self::list(&mut LayerReader::seeking(BufReader::new(tar))?)
    }

    fn list<R: Read>(reader: &mut LayerReader<R>) -> Result<Self, IndexError> {
        let mut bytes = MAGIC.to_vec();
        while let Some(entry) = reader.next_entry()? {
            put(&mut bytes, &entry, reader.header_offset());
            if bytes.len() > LARGEST {
                return Err(IndexError::TooLarge);
            }
        }
        bytes.shrink_to_fit();
        Ok(Self { bytes })
    }

    /// The same without the entries for the root itself, whatever they are.
    #[must_use]
    pub fn without_root(&self) -> Self {
        let mut bytes = MAGIC.to_vec();
        let all = self.entries();
        for listed in all.filter(|listed| !listed.entry.path.as_os_str().is_empty()) {
            put(&mut bytes, &listed.entry, listed.header_offset);
        }
        Self { bytes }
    }

    /// The listing as bytes, to be kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The listing that [`LayerIndex::as_bytes`] gave.
    ///
    /// # Errors
    /// When the bytes are damaged or of another version.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, IndexError> {
        if bytes.len() > LARGEST {
            return Err(IndexError::TooLarge);
        }
        if !bytes.starts_with(MAGIC) {
            return Err(IndexError::Malformed(0));
        }
        let mut cursor = Cursor {
            bytes: &bytes,
            at: MAGIC.len(),
        };
        while cursor.at < bytes.len() {
            let start = cursor.at;
            if cursor.listed().is_none() {
                return Err(IndexError::Malformed(start));
            }
        }
        Ok(Self { bytes })
    }

    /// The entries, in the order of the tar.
    pub fn entries(&self) -> impl Iterator<Item = Listed> {
        let mut position = START;
        std::iter::from_fn(move || {
            let (listed, next) = self.at(position)?;
            position = next;
            Some(listed)
        })
    }

    /// The entry at a position in the listing, and the position of the next.
    pub(super) fn at(&self, position: u32) -> Option<(Listed, u32)> {
        let (bytes, at) = (self.bytes.as_slice(), position as usize);
        let mut cursor = Cursor { bytes, at };
        let listed = cursor.listed()?;
        Some((listed, u32::try_from(cursor.at).ok()?))
    }
}

impl std::fmt::Debug for LayerIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

fn put(out: &mut Vec<u8>, entry: &Entry, header_offset: u64) {
    let Entry { path, kind, meta } = entry;
    let number = match kind {
        Kind::File { .. } => 0,
        Kind::Dir => 1,
        Kind::Symlink(_) => 2,
        Kind::Hardlink(_) => 3,
        Kind::Char(..) => 4,
        Kind::Block(..) => 5,
        Kind::Fifo => 6,
    };
    out.push(number);
    put_bytes(out, path.as_os_str().as_bytes());
    match kind {
        Kind::File { size } => put_number(out, *size),
        Kind::Symlink(target) => put_bytes(out, target),
        Kind::Hardlink(target) => put_bytes(out, target.as_os_str().as_bytes()),
        Kind::Char(major, minor) | Kind::Block(major, minor) => {
            put_number(out, u64::from(*major));
            put_number(out, u64::from(*minor));
        }
        Kind::Dir | Kind::Fifo => {}
    }
    for number in [meta.mode, meta.uid, meta.gid, meta.mtime.nanos] {
        put_number(out, u64::from(number));
    }
    // The sign goes to the lowest bit, so that times before 1970 are short, too.
    let secs = meta.mtime.secs;
    put_number(out, ((secs << 1) ^ (secs >> 63)).cast_unsigned());
    put_number(out, header_offset);
    put_number(out, meta.xattrs.len() as u64);
    for (name, value) in &meta.xattrs {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next entry; `None` at the end, or where there is none.
    fn listed(&mut self) -> Option<Listed> {
        let kind = self.byte()?;
        let path = self.path()?;
        let kind = match kind {
            0 => Kind::File {
                size: self.number()?,
            },
            1 => Kind::Dir,
            2 => Kind::Symlink(self.text()?.to_vec()),
            3 => Kind::Hardlink(self.path()?),
            4 => Kind::Char(self.small()?, self.small()?),
            5 => Kind::Block(self.small()?, self.small()?),
            6 => Kind::Fifo,
            _ => return None,
        };
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let nanos = self.small()?;
        let secs = self.number()?;
        let secs = (secs >> 1).cast_signed() ^ -(secs & 1).cast_signed();
        let header_offset = self.number()?;
        let mut meta = Meta {
            mode,
            uid,
            gid,
            mtime: Timestamp { secs, nanos },
            ..Meta::default()
        };
        for _ in 0..self.number()? {
            let name = OsString::from_vec(self.text()?.to_vec());
            meta.xattrs.insert(name, self.text()?.to_vec());
        }
        let entry = Entry { path, kind, meta };
        Some(Listed {
            entry,
            header_offset,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let text = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(text)
    }

    /// A path without `.`, `..` or empty names.
    fn path(&mut self) -> Option<PathBuf> {
        let path = self.text()?;
        let mut names = path.split(|byte| *byte == b'/');
        let plain = names.all(|name| !matches!(name, b"" | b"." | b".."));
        (plain || path.is_empty()).then(|| OsString::from_vec(path.to_vec()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::LayerWriter;

    fn tar() -> Vec<u8> {
        let mut writer = LayerWriter::new(Vec::new(), Timestamp::DEFAULT_EPOCH);
        for (path, kind) in [
            ("", Kind::Dir),
            ("big", Kind::File { size: 1 << 20 }),
            ("dev", Kind::Char(4095, 1_048_575)),
            ("link", Kind::Hardlink("big".into())),
            ("symlink", Kind::Symlink(vec![0xff; 300])),
        ] {
            let meta = Meta {
                mode: 0o777,
                uid: u32::MAX - 1,
                mtime: Timestamp {
                    secs: -5_000_000_000,
                    nanos: 999_999_999,
                },
                xattrs: [("user.x".into(), vec![0; 300])].into(),
                ..Meta::default()
            };
            let path = path.into();
            let entry = Entry { path, kind, meta };
            writer.append(&entry, io::repeat(7)).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn lists_what_the_reader_reads_from_a_stream_and_from_a_file() {
        let tar = tar();
        let index = LayerIndex::read(tar.as_slice()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &tar).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        assert_eq!(LayerIndex::of_file(file).unwrap(), index);
        let below: Vec<_> = index.entries().skip(1).collect();
        assert_eq!(index.without_root().entries().collect::<Vec<_>>(), below);
        let mut reader = LayerReader::new(tar.as_slice());
        for listed in index.entries() {
            assert_eq!(reader.next_entry().unwrap(), Some(listed.entry));
            assert_eq!(reader.header_offset(), listed.header_offset);
        }
        assert_eq!(reader.next_entry().unwrap(), None);
    }

    #[test]
    fn damaged_listings_are_refused() {
        let index = LayerIndex::read(tar().as_slice()).unwrap();
        let bytes = index.as_bytes();
        assert_eq!(LayerIndex::from_bytes(bytes.to_vec()).unwrap(), index);
        let ends: Vec<_> =
            std::iter::successors(Some(START), |at| Some(index.at(*at)?.1)).collect();
        assert_eq!(ends.len(), 6);
        for cut in 0..bytes.len() {
            let read = LayerIndex::from_bytes(bytes[..cut].to_vec());
            assert_eq!(read.is_ok(), ends.contains(&(cut as u32)), "{cut}");
        }
        // Whatever a byte is changed to: no panic, and no path that leads out.
        for at in MAGIC.len()..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0xff;
            if let Ok(index) = LayerIndex::from_bytes(damaged) {
                assert!(
                    index
                        .entries()
                        .all(|listed| !listed.entry.path.starts_with(".."))
                );
            }
        }
        let huge = [
            MAGIC,
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ]
        .concat();
        assert!(matches!(
            LayerIndex::from_bytes(huge),
            Err(IndexError::Malformed(_))
        ));
    }
}
