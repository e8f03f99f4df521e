//! Entries to tar, the same bytes for the same entries always.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::entry::{Entry, Kind, Meta, Timestamp, path_order};
use super::header::{self, BLOCK, Records, field};
use super::whiteout;

/// Why an entry cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The path is absolute, or holds `.`, `..` or an empty component.
    #[error("{}: not a path within an image", .0.display())]
    Path(PathBuf),
    /// The entry does not come after the one before it.
    #[error("{}: entries of a layer are sorted, and this one is not after the last", .0.display())]
    Order(PathBuf),
    /// A file whose name would be read as a whiteout.
    #[error("{}: a layer cannot hold a name that starts with .wh.", .0.display())]
    Reserved(PathBuf),
    /// The name of an extended attribute holds `=`, which tar has no way to write.
    #[error("{}: a layer cannot hold the extended attribute {name:?}: there is a '=' in its name", path.display())]
    XattrName {
        /// The entry.
        path: PathBuf,
        /// The attribute.
        name: std::ffi::OsString,
    },
    /// The content could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The entry.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content ended early: it changed while it was read.
    #[error("{}: changed while it was read: {missing} bytes fewer than before", path.display())]
    Shrunk {
        /// The entry.
        path: PathBuf,
        /// The number of bytes that were to come.
        missing: u64,
    },
    /// The layer could not be written.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
}

/// The size of the buffer, and so of the writes below: large enough that hashing dominates.
const BUFFER: usize = 256 << 10;

/// Writes a layer as tar: ustar, with PAX records where a value does not fit.
///
/// No entry is newer than the epoch. The caller sorts (by path component, bytewise).
pub struct LayerWriter<W: Write> {
    inner: W,
    /// What is not yet written below: the first `filled` bytes.
    buffer: Vec<u8>,
    filled: usize,
    epoch: Timestamp,
    /// The name of the last entry as the tar spells it, for the order.
    last: Option<Vec<u8>>,
}

impl<W: Write> LayerWriter<W> {
    /// A layer with nothing in it yet.
    pub fn new(inner: W, epoch: Timestamp) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            filled: 0,
            epoch,
            last: None,
        }
    }

    /// Whether nothing has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Adds an entry; a file's content is read from `data`, exactly as many bytes as the entry
    /// says, and for all other kinds `data` is not touched ([`io::empty`] will do).
    ///
    /// # Errors
    /// When the entry cannot be in a layer, or reading or writing fails.
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> Result<(), WriteError> {
        let path = entry.path.as_os_str().as_bytes();
        let name = path.rsplit(|byte| *byte == b'/').next();
        if name.is_some_and(|name| name.starts_with(whiteout::PREFIX)) {
            return Err(WriteError::Reserved(entry.path.clone()));
        }
        self.ordered(&entry.path)?;
        self.header(entry)?;
        match entry.kind {
            Kind::File { size } => self.content(&entry.path, size, data),
            _ => Ok(()),
        }
    }

    /// Says that what the layers below have at `path` is gone.
    ///
    /// # Errors
    /// As [`LayerWriter::append`].
    pub fn whiteout(&mut self, path: &Path) -> Result<(), WriteError> {
        let Some(name) = path.file_name() else {
            return Err(WriteError::Path(path.to_owned()));
        };
        let name = [whiteout::PREFIX, name.as_bytes()].concat();
        self.marker(path.with_file_name(std::ffi::OsStr::from_bytes(&name)))
    }

    /// Says that all that the layers below have in the directory `dir` is gone.
    ///
    /// # Errors
    /// As [`LayerWriter::append`].
    pub fn opaque(&mut self, dir: &Path) -> Result<(), WriteError> {
        self.marker(dir.join(std::ffi::OsStr::from_bytes(whiteout::OPAQUE)))
    }

    fn marker(&mut self, path: PathBuf) -> Result<(), WriteError> {
        self.ordered(&path)?;
        let meta = Meta {
            mtime: self.epoch,
            ..Meta::default()
        };
        let kind = Kind::File { size: 0 };
        self.header(&Entry { path, kind, meta })
    }

    /// Ends the layer and gives the writer back.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.put(&[0; 2 * BLOCK])?;
        self.flush()?;
        self.inner.flush().map_err(WriteError::Write)?;
        Ok(self.inner)
    }

    fn ordered(&mut self, path: &Path) -> Result<(), WriteError> {
        let bytes = path.as_os_str().as_bytes();
        let names = path.components();
        let plain = names
            .clone()
            .all(|name| matches!(name, Component::Normal(_)));
        // `components` swallows `.`, `//` and a `/` at the end: their lengths tell.
        let length: usize = names.map(|name| name.as_os_str().len() + 1).sum();
        if !plain || length.saturating_sub(1) != bytes.len() || bytes.contains(&0) {
            return Err(WriteError::Path(path.to_owned()));
        }
        if let Some(last) = &mut self.last {
            if path_order(last, bytes).is_ge() {
                return Err(WriteError::Order(path.to_owned()));
            }
            last.clear();
            last.extend_from_slice(bytes);
        } else {
            self.last = Some(bytes.to_vec());
        }
        Ok(())
    }

    fn header(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let mut header = [0; BLOCK];
        let mut records = Records::default();
        let (flag, size) = match &entry.kind {
            Kind::File { size } => (b'0', *size),
            Kind::Hardlink(_) => (b'1', 0),
            Kind::Symlink(_) => (b'2', 0),
            Kind::Char(..) => (b'3', 0),
            Kind::Block(..) => (b'4', 0),
            Kind::Dir => (b'5', 0),
            Kind::Fifo => (b'6', 0),
        };
        header[field::TYPE] = flag;
        header[field::MAGIC].copy_from_slice(header::USTAR);
        self.names(entry, &mut header, &mut records);
        let meta = &entry.meta;
        header::put_octal(&mut header[field::MODE], u64::from(meta.mode & 0o7777));
        let numbers = [
            (field::UID, "uid", u64::from(meta.uid)),
            (field::GID, "gid", u64::from(meta.gid)),
            (field::SIZE, "size", size),
        ];
        for (range, key, number) in numbers {
            if !header::put_octal(&mut header[range], number) {
                records.add(key.as_bytes(), number.to_string().as_bytes());
            }
        }
        let mtime = meta.mtime.min(self.epoch);
        let whole = u64::try_from(mtime.secs).ok().filter(|_| mtime.nanos == 0);
        if !whole.is_some_and(|secs| header::put_octal(&mut header[field::MTIME], secs)) {
            header::put_octal(&mut header[field::MTIME], mtime.secs.max(0) as u64);
            records.add(b"mtime", decimal(mtime).as_bytes());
        }
        if let Kind::Char(major, minor) | Kind::Block(major, minor) = entry.kind {
            // Linux has 12 and 20 bits of them, the fields 21.
            header::put_octal(&mut header[field::MAJOR], u64::from(major));
            header::put_octal(&mut header[field::MINOR], u64::from(minor));
        }
        for (name, value) in &meta.xattrs {
            if name.as_bytes().contains(&b'=') {
                let (path, name) = (entry.path.clone(), name.clone());
                return Err(WriteError::XattrName { path, name });
            }
            records.add(&[b"SCHILY.xattr.", name.as_bytes()].concat(), value);
        }
        if !records.bytes().is_empty() {
            self.records(records.bytes())?;
        }
        header::seal(&mut header);
        self.put(&header)
    }

    fn names(&self, entry: &Entry, header: &mut [u8; BLOCK], records: &mut Records) {
        let mut name = entry.path.as_os_str().as_bytes().to_vec();
        if name.is_empty() {
            name.push(b'.');
        }
        if entry.kind == Kind::Dir {
            name.push(b'/');
        }
        let (prefix, tail) = split(&name).unwrap_or_else(|| {
            records.add(b"path", &name);
            (&[], &name[..field::NAME.len()])
        });
        header[field::PREFIX][..prefix.len()].copy_from_slice(prefix);
        header[field::NAME][..tail.len()].copy_from_slice(tail);
        let link: &[u8] = match &entry.kind {
            Kind::Symlink(target) => target,
            Kind::Hardlink(path) => path.as_os_str().as_bytes(),
            _ => &[],
        };
        let fits = link.len().min(field::LINK.len());
        if fits < link.len() {
            records.add(b"linkpath", link);
        }
        header[field::LINK][..fits].copy_from_slice(&link[..fits]);
    }

    /// The PAX records of the entry that follows.
    fn records(&mut self, records: &[u8]) -> Result<(), WriteError> {
        let mut header = [0; BLOCK];
        header[field::TYPE] = b'x';
        header[field::MAGIC].copy_from_slice(header::USTAR);
        header[..9].copy_from_slice(b"PaxHeader");
        header::put_octal(&mut header[field::MODE], 0o644);
        for zero in [field::UID, field::GID, field::MTIME] {
            header::put_octal(&mut header[zero], 0);
        }
        header::put_octal(&mut header[field::SIZE], records.len() as u64);
        header::seal(&mut header);
        self.put(&header)?;
        self.put(records)?;
        self.pad(records.len() as u64)
    }

    fn content(&mut self, path: &Path, size: u64, mut data: impl Read) -> Result<(), WriteError> {
        let mut left = size;
        while left > 0 {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let room = self.buffer.len() - self.filled;
            let end = self.filled + room.min(usize::try_from(left).unwrap_or(room));
            match data.read(&mut self.buffer[self.filled..end]) {
                Ok(0) => {
                    let (path, missing) = (path.to_owned(), left);
                    return Err(WriteError::Shrunk { path, missing });
                }
                Ok(count) => {
                    self.filled += count;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let path = path.to_owned();
                    return Err(WriteError::Read { path, source });
                }
            }
        }
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> Result<(), WriteError> {
        let over = (size % BLOCK as u64) as usize;
        self.put(&[0; BLOCK][..(BLOCK - over) % BLOCK])
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let count = bytes.len().min(self.buffer.len() - self.filled);
            self.buffer[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.inner
            .write_all(&self.buffer[..self.filled])
            .map_err(WriteError::Write)?;
        self.filled = 0;
        // A layer with nothing in it, as that of most commands, takes no memory.
        self.buffer.resize(BUFFER, 0);
        Ok(())
    }
}

/// A name as ustar's prefix and name; `None` where it does not fit.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let longest = field::NAME.len();
    if name.len() <= longest {
        return Some((&[], name));
    }
    // The first slash after which no more than 100 bytes are left.
    let from = name.len() - longest - 1;
    let at = from
        + name[from..name.len() - 1]
            .iter()
            .position(|byte| *byte == b'/')?;
    (at > 0 && at <= field::PREFIX.len()).then(|| (&name[..at], &name[at + 1..]))
}

/// A time as PAX writes it: `-1.5` is one and a half seconds before 1970.
fn decimal(time: Timestamp) -> String {
    let nanos = i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (secs, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{secs}");
    }
    format!("{sign}{secs}.{rest:09}")
        .trim_end_matches('0')
        .to_owned()
}
