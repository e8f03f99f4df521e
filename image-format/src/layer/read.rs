//! Tar to entries: ustar, PAX, GNU and old archives, from anybody.
//!
//! Sources: as for [`super::header`]; GNU tar's manual, "Sparse Formats".

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::entry::{Entry, Kind, Meta, Timestamp};
use super::header::{self, BLOCK, field};

mod error;
mod pax;
mod sparse;

pub use error::ReadError;
use pax::Pax;
use sparse::Sparse;

/// The most bytes of PAX records and GNU long names before one entry.
const MOST_METADATA: u64 = 1 << 20;
/// The most headers of records and long names before one entry.
const MOST_HEADERS: u32 = 16;

/// Reads the entries of a layer in their order, and the content of each file as it comes.
///
/// Paths are made relative to the root of the image: a leading `/` and `.` go, and `..` takes the
/// name before it away, as text. A path that would leave the root so is an error. Names of
/// whiteouts are left as they are (see [`super::whiteout::classify`]).
///
/// As a [`Read`] it gives the content of the current file, holes as zeros.
pub struct LayerReader<R> {
    input: R,
    /// Bytes read so far.
    position: u64,
    header_offset: u64,
    data_offset: u64,
    /// Bytes of the current entry that are still in the archive, and its padding.
    stored: u64,
    padding: u64,
    /// Bytes of the current file's content not yet read, where it is not sparse.
    sparse: Option<Sparse>,
    /// The name of the current entry as it is written, for errors.
    name: Vec<u8>,
    ended: bool,
    /// How to go past content without reading it, and where the input ends.
    seek: Option<(Seek<R>, u64)>,
}

/// Moves an input forward by some bytes.
type Seek<R> = fn(&mut R, i64) -> io::Result<()>;

impl<R: Read> LayerReader<R> {
    /// Reads a plain tar. To read one entry again, give a reader that stands at its
    /// [`LayerReader::header_offset`].
    pub fn new(input: R) -> Self {
        Self {
            input,
            position: 0,
            header_offset: 0,
            data_offset: 0,
            stored: 0,
            padding: 0,
            sparse: None,
            name: Vec::new(),
            ended: false,
            seek: None,
        }
    }

    /// As [`LayerReader::new`], but what is not asked for is not read.
    ///
    /// # Errors
    /// When the input cannot tell where it stands or ends.
    pub fn seeking(mut input: R) -> io::Result<Self>
    where
        R: io::Seek,
    {
        let here = input.stream_position()?;
        let length = input.seek(io::SeekFrom::End(0))?.saturating_sub(here);
        input.seek(io::SeekFrom::Start(here))?;
        Ok(Self {
            seek: Some((R::seek_relative, length)),
            ..Self::new(input)
        })
    }

    /// Where the current entry starts (its PAX records included), in bytes from the start of what
    /// is read.
    pub fn header_offset(&self) -> u64 {
        self.header_offset
    }

    /// Where the current entry's content starts, in bytes from the start of what is read.
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Whether the current entry's content is stored with its holes left out, so that the bytes at
    /// [`LayerReader::data_offset`] are not the content.
    pub fn is_sparse(&self) -> bool {
        self.sparse.is_some()
    }

    /// The name of the current entry as the archive has it.
    pub fn raw_name(&self) -> &[u8] {
        &self.name
    }

    /// Goes to the next entry; `None` after the last.
    ///
    /// # Errors
    /// When the archive is malformed, ends early, or names something outside the image.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        self.skip(self.stored + self.padding)?;
        (self.stored, self.padding, self.sparse) = (0, 0, None);
        self.header_offset = self.position;
        let mut before = Before::default();
        loop {
            let Some(header) = self.header()? else {
                self.ended = true;
                if before.wants_entry {
                    return Err(self.truncated());
                }
                return Ok(None);
            };
            let flag = header[field::TYPE];
            if !matches!(flag, b'x' | b'g' | b'L' | b'K') {
                return self.entry(&header, before).map(Some);
            }
            self.name = header::until_nul(&header[field::NAME]).to_vec();
            let size = self.size(&header)?;
            before.headers += 1;
            // Global records may come last.
            before.wants_entry |= flag != b'g';
            before.bytes = before.bytes.saturating_add(size);
            if before.headers > MOST_HEADERS || before.bytes > MOST_METADATA {
                let offset = self.header_offset;
                return Err(ReadError::TooMuchMetadata { offset });
            }
            let data = self.metadata(size)?;
            match flag {
                b'x' => before.pax.add(&data, &self.name)?,
                b'g' => pax::check_global(&data, &self.name)?,
                b'L' => before.name = Some(header::until_nul(&data).to_vec()),
                _ => before.link = Some(header::until_nul(&data).to_vec()),
            }
        }
    }

    /// Goes past a hole that the content of a sparse file has here, and gives its length in bytes;
    /// 0 where there is none.
    pub fn skip_hole(&mut self) -> u64 {
        self.sparse.as_mut().map_or(0, Sparse::skip_hole)
    }

    /// Gives the underlying reader back, which stands wherever reading stopped.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next header; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ReadError> {
        let mut block = [0; BLOCK];
        if !self.fill(&mut block)? {
            return Ok(None);
        }
        if block.iter().any(|byte| *byte != 0) {
            if header::is_sealed(&block) {
                return Ok(Some(block));
            }
            let offset = self.position - BLOCK as u64;
            return Err(ReadError::Checksum { offset });
        }
        let offset = self.position;
        if self.fill(&mut block)? && block.iter().any(|byte| *byte != 0) {
            return Err(ReadError::AfterTheEnd { offset });
        }
        Ok(None)
    }

    fn entry(&mut self, header: &[u8; BLOCK], before: Before) -> Result<Entry, ReadError> {
        let Before {
            name, link, pax, ..
        } = before;
        self.name = pax.path().or(name).unwrap_or_else(|| path_field(header));
        let link = pax
            .link
            .clone()
            .or(link)
            .unwrap_or_else(|| header::until_nul(&header[field::LINK]).to_vec());
        let mut size = match pax.size {
            Some(size) => size,
            None => self.size(header)?,
        };
        let mut meta = self.meta(header, &pax)?;
        let path = inside(&self.name).ok_or_else(|| ReadError::Outside { name: self.shown() })?;
        // An archive from before POSIX marks a directory by its name alone.
        let old_dir = self.name.ends_with(b"/");
        let kind = match header[field::TYPE] {
            0 | b'0' | b'7' if old_dir => Kind::Dir,
            0 | b'0' | b'7' | b'S' => Kind::File { size },
            b'1' => Kind::Hardlink(inside(&link).ok_or_else(|| ReadError::LinkOutside {
                name: self.shown(),
                target: lossy(&link),
            })?),
            b'2' => {
                // Linux knows no other.
                meta.mode = 0o777;
                Kind::Symlink(link)
            }
            flag @ (b'3' | b'4') => {
                let major = self.device(header, field::MAJOR, 12)?;
                let minor = self.device(header, field::MINOR, 20)?;
                match flag {
                    b'3' => Kind::Char(major, minor),
                    _ => Kind::Block(major, minor),
                }
            }
            b'5' => Kind::Dir,
            b'6' => Kind::Fifo,
            flag => {
                let (name, flag) = (self.shown(), char::from(flag));
                return Err(ReadError::Type { name, flag });
            }
        };
        let Kind::File { .. } = kind else {
            // Other kinds have no content, whatever their size field holds.
            if header[field::TYPE] != b'5' && kind == Kind::Dir {
                self.stored = size;
                self.padding = size.wrapping_neg() % BLOCK as u64;
            }
            self.data_offset = self.position;
            return Ok(Entry { path, kind, meta });
        };
        self.stored = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        if let Some(sparse) = sparse::read(self, header, pax)? {
            size = sparse.size();
            self.sparse = Some(sparse);
        }
        self.data_offset = self.position;
        let kind = Kind::File { size };
        Ok(Entry { path, kind, meta })
    }

    fn meta(&self, header: &[u8; BLOCK], pax: &Pax) -> Result<Meta, ReadError> {
        let id = |given: Option<u64>, range, field| {
            let number = match given {
                Some(number) => Some(i128::from(number)),
                None => header::number(&header[range]),
            };
            number
                .and_then(|number| u32::try_from(number).ok())
                // The last one is no ID: system calls take it for "leave it as it is".
                .filter(|number| *number != u32::MAX)
                .ok_or_else(|| self.field(field))
        };
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => header::number(&header[field::MTIME])
                .and_then(|secs| i64::try_from(secs).ok())
                .map(Timestamp::from_secs)
                .ok_or_else(|| self.field("mtime"))?,
        };
        let mode = header::number(&header[field::MODE]).ok_or_else(|| self.field("mode"))?;
        Ok(Meta {
            mode: (mode & 0o7777) as u32,
            uid: id(pax.uid, field::UID, "uid")?,
            gid: id(pax.gid, field::GID, "gid")?,
            mtime,
            xattrs: pax.xattrs.clone(),
        })
    }

    fn device(
        &self,
        header: &[u8; BLOCK],
        range: std::ops::Range<usize>,
        bits: u32,
    ) -> Result<u32, ReadError> {
        header::number(&header[range])
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| number >> bits == 0)
            .ok_or_else(|| self.field("device number"))
    }

    fn size(&self, header: &[u8; BLOCK]) -> Result<u64, ReadError> {
        header::number(&header[field::SIZE])
            .and_then(|size| u64::try_from(size).ok())
            // Room for the padding, and for `off_t`.
            .filter(|size| *size <= i64::MAX as u64 - BLOCK as u64)
            .ok_or_else(|| self.field("size"))
    }

    /// The content of a header of records or names, with its padding read.
    fn metadata(&mut self, size: u64) -> Result<Vec<u8>, ReadError> {
        // At most MOST_METADATA.
        let mut data = vec![0; size as usize];
        if !self.fill(&mut data)? && size > 0 {
            return Err(self.truncated());
        }
        self.skip(size.wrapping_neg() % BLOCK as u64)?;
        Ok(data)
    }

    /// Reads a block of the current entry's stored content.
    fn stored_block(&mut self) -> Result<[u8; BLOCK], ReadError> {
        let mut block = [0; BLOCK];
        if self.stored < BLOCK as u64 || !self.fill(&mut block)? {
            return Err(self.truncated());
        }
        self.stored -= BLOCK as u64;
        Ok(block)
    }

    /// Fills the buffer; false if the input ends before its first byte.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, ReadError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(self.truncated()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let after = self.shown();
                    return Err(ReadError::Io { after, source });
                }
            }
        }
        self.position += filled as u64;
        Ok(true)
    }

    fn skip(&mut self, count: u64) -> Result<(), ReadError> {
        if let Some((seek, length)) = self.seek {
            let way = i64::try_from(count).ok();
            let way = way.filter(|_| count <= length.saturating_sub(self.position));
            let way = way.ok_or_else(|| self.truncated())?;
            seek(&mut self.input, way).map_err(|source| ReadError::Io {
                after: self.shown(),
                source,
            })?;
            self.position += count;
            return Ok(());
        }
        let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink());
        let skipped = skipped.map_err(|source| ReadError::Io {
            after: self.shown(),
            source,
        })?;
        self.position += skipped;
        if skipped < count {
            return Err(self.truncated());
        }
        Ok(())
    }

    fn shown(&self) -> String {
        lossy(&self.name)
    }

    fn truncated(&self) -> ReadError {
        ReadError::Truncated {
            name: self.shown(),
            offset: self.position,
        }
    }

    fn field(&self, field: &'static str) -> ReadError {
        let name = self.shown();
        ReadError::Field { name, field }
    }
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut room = buffer.len();
        if let Some(sparse) = &mut self.sparse {
            let (hole, ahead) = sparse.ahead();
            room = room.min(usize::try_from(ahead).unwrap_or(room));
            if hole {
                buffer[..room].fill(0);
                sparse.advance(room as u64);
                return Ok(room);
            }
        }
        room = room.min(usize::try_from(self.stored).unwrap_or(room));
        if room == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                self.truncated(),
            ));
        }
        self.position += count as u64;
        self.stored -= count as u64;
        if let Some(sparse) = &mut self.sparse {
            sparse.advance(count as u64);
        }
        Ok(count)
    }
}

/// What came before an entry's own header.
#[derive(Default)]
struct Before {
    headers: u32,
    wants_entry: bool,
    bytes: u64,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

/// The name in a header, with ustar's prefix.
fn path_field(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = header::until_nul(&header[field::NAME]);
    let mut prefix = header::until_nul(&header[field::PREFIX]);
    // GNU's old format, and none, keep other things there; so does star, in a part of it.
    if header[field::MAGIC][..6] != header::USTAR[..6] {
        prefix = &[];
    } else if &header[508..] == b"tar\0" {
        prefix = &prefix[..prefix.len().min(131)];
    }
    match prefix {
        [] => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

/// A path within the image, as text; `None` where it leads out, or holds a NUL.
fn inside(name: &[u8]) -> Option<PathBuf> {
    let mut path: Vec<u8> = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if path.is_empty() {
                    return None;
                }
                let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                path.truncate(end);
            }
            part if part.contains(&0) => return None,
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

#[cfg(test)]
mod tests;
