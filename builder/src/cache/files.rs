//! The digests of the files of a context, so that unchanged ones are not read again.
//!
//! A file is known by device, inode, size and the times of its last change. One file of the cache
//! holds them for one context directory: `MAGIC`, records sorted by device and inode, and the
//! digest of all before it, so that a torn file is none.

use std::io::{self, BufWriter, IntoInnerError, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use image_format::digest::{Digest, HashingWriter};
use image_format::layout::Store;
use rustix::fs::Stat;

use super::{CacheError, publish, read};

const FILES: &str = "files";
const MAGIC: &[u8] = b"mkimg files 1\n";
/// Device, inode, size, two times of eight and four bytes, and the digest.
const RECORD: usize = ID + 32;
const ID: usize = NUMBER + 8 + 12 + 12;
/// Device and inode, by which the records are sorted.
const NUMBER: usize = 16;
/// Beyond this many records, those that the last build did not see go.
const MOST: usize = 200_000;
const LARGEST: u64 = 256 << 20;

/// A regular file in a certain state: when its content changes, so does this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    /// The device it lies on.
    pub(crate) dev: u64,
    /// Its inode.
    pub(crate) ino: u64,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// The time of the last change of its content: seconds and nanoseconds.
    mtime: (i64, u32),
    /// The time of the last change of its inode, which nobody can set.
    ctime: (i64, u32),
}

impl FileId {
    /// The identity of the file with this stat.
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
            ctime: (stat.st_ctime, stat.st_ctime_nsec as u32),
        }
    }

    /// Big-endian, so that bytes sort as the numbers.
    fn bytes(&self) -> [u8; ID] {
        let mut bytes = [0; ID];
        let parts: [&[u8]; 7] = [
            &self.dev.to_be_bytes(),
            &self.ino.to_be_bytes(),
            &self.size.to_be_bytes(),
            &self.mtime.0.to_be_bytes(),
            &self.mtime.1.to_be_bytes(),
            &self.ctime.0.to_be_bytes(),
            &self.ctime.1.to_be_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        bytes
    }

    /// Whether a change after `seen` could leave no trace in the times: file systems stamp by a
    /// clock that stands still for up to 10 ms, and some keep whole seconds, or two, only.
    fn is_racy(&self, seen: SystemTime) -> bool {
        let window = match self.ctime.1 {
            0 => Duration::from_secs(2),
            _ => Duration::from_millis(100),
        };
        let Ok(secs) = u64::try_from(self.ctime.0) else {
            return false;
        };
        let changed = UNIX_EPOCH + Duration::new(secs, self.ctime.1);
        changed
            .checked_add(window)
            .is_none_or(|until| until >= seen)
    }
}

/// What is known of one context's files.
#[derive(Debug)]
pub(crate) struct FileDigests {
    name: String,
    /// Records as in the file.
    known: Vec<u8>,
}

impl FileDigests {
    /// Reads what is known of the context directory with this device and inode.
    pub(crate) fn load(store: &Store, (dev, ino): (u64, u64)) -> Self {
        let name = format!("{dev:x}-{ino:x}");
        Self {
            known: records(store, &name),
            name,
        }
    }

    /// The digest of a file, if it is known in just this state.
    pub(crate) fn get(&self, id: &FileId) -> Option<Digest> {
        let bytes = id.bytes();
        let record = find(&self.known, &bytes[..NUMBER])?;
        let digest: [u8; 32] = record[ID..].try_into().ok()?;
        (record[..ID] == bytes).then(|| Digest::from_bytes(digest))
    }

    /// Keeps the digests of files that had these states before and after they were read, first at
    /// `seen`, together with what others have published meanwhile. To be loaded again after that.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn add(
        self,
        store: &Store,
        files: impl Iterator<Item = (FileId, Digest)>,
        seen: SystemTime,
    ) -> Result<(), CacheError> {
        let files = files.filter(|(id, _)| !id.is_racy(seen));
        let mut added: Vec<[u8; RECORD]> = files.map(|(id, digest)| record(&id, &digest)).collect();
        if added.is_empty() {
            return Ok(());
        }
        // Of a file that was read twice either will do: it had one state.
        added.sort_unstable();
        added.dedup_by(|one, other| one[..NUMBER] == other[..NUMBER]);
        drop(self.known);
        let mut others = records(store, &self.name);
        if others.len() / RECORD + added.len() > MOST {
            others.clear();
        }
        publish(store, FILES, &self.name, |out| {
            let mut out = BufWriter::new(HashingWriter::new(out));
            out.write_all(MAGIC)?;
            merge(&others, &added, |record| out.write_all(record))?;
            let hashed = out.into_inner().map_err(IntoInnerError::into_error)?;
            let (out, digest, _) = hashed.finish();
            out.write_all(digest.as_bytes())
        })
    }
}

fn record(id: &FileId, digest: &Digest) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..ID].copy_from_slice(&id.bytes());
    record[ID..].copy_from_slice(digest.as_bytes());
    record
}

/// Gives the records of both in their order; where both have one of the same file, the added one.
fn merge(
    others: &[u8],
    added: &[[u8; RECORD]],
    mut put: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut others = others.chunks_exact(RECORD).peekable();
    for record in added {
        while let Some(other) = others.next_if(|other| other[..NUMBER] < record[..NUMBER]) {
            put(other)?;
        }
        others.next_if(|other| other[..NUMBER] == record[..NUMBER]);
        put(record)?;
    }
    others.try_for_each(put)
}

/// The records of a file of the cache; none where it is missing or torn.
fn records(store: &Store, name: &str) -> Vec<u8> {
    let whole = || {
        let mut bytes = read(store, FILES, name, LARGEST)?;
        let digest = bytes.split_off(bytes.len().checked_sub(32)?);
        let sound = bytes.starts_with(MAGIC)
            && (bytes.len() - MAGIC.len()).is_multiple_of(RECORD)
            && Digest::of(&bytes).as_bytes()[..] == digest;
        sound.then(|| bytes.split_off(MAGIC.len()))
    };
    whole().unwrap_or_default()
}

/// The record with this device and inode.
fn find<'a>(records: &'a [u8], number: &[u8]) -> Option<&'a [u8; RECORD]> {
    let (mut low, mut high) = (0, records.len() / RECORD);
    while low < high {
        let middle = (low + high) / 2;
        let record = records[middle * RECORD..].first_chunk::<RECORD>()?;
        match record[..NUMBER].cmp(number) {
            std::cmp::Ordering::Equal => return Some(record),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ino: u64, ctime: (i64, u32)) -> FileId {
        FileId {
            dev: 1,
            ino,
            size: 3,
            mtime: (5, 0),
            ctime,
        }
    }

    #[test]
    fn knows_a_file_in_the_same_state_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digests = FileDigests::load(&store, (1, 2));
        let files = [300, 2, 70_000].map(|ino| (id(ino, (1_000, 7)), Digest::of(&[ino as u8])));
        let now = SystemTime::now();
        digests.add(&store, files.into_iter(), now).unwrap();
        let digests = FileDigests::load(&store, (1, 2));
        let digest = digests.get(&id(70_000, (1_000, 7)));
        assert_eq!(digest, Some(Digest::of(&[70_000_u64 as u8])));
        assert_eq!(digests.get(&id(2, (1_000, 7))), Some(Digest::of(&[2])));
        assert_eq!(digests.get(&id(2, (1_000, 8))), None);
        assert_eq!(digests.get(&id(3, (1_000, 7))), None);
        assert!(FileDigests::load(&store, (1, 3)).known.is_empty());
    }

    #[test]
    fn two_writers_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let both = [(); 2].map(|()| FileDigests::load(&store, (1, 2)));
        for (ino, digests) in (1..).zip(both) {
            let file = (id(ino, (1_000, 7)), Digest::of(b"x"));
            let now = SystemTime::now();
            digests.add(&store, [file].into_iter(), now).unwrap();
        }
        assert_eq!(FileDigests::load(&store, (1, 2)).known.len(), 2 * RECORD);
    }

    #[test]
    fn what_is_added_takes_the_place_of_what_was_known() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let now = SystemTime::now();
        let add = |inos: &[u64], ctime, text: &[u8]| {
            let file = |ino: &u64| (id(*ino, ctime), Digest::of(text));
            let digests = FileDigests::load(&store, (1, 2));
            digests.add(&store, inos.iter().map(file), now).unwrap();
        };
        add(&[5, 1, 9], (1_000, 7), b"old");
        add(&[9, 3, 5, 12, 5], (2_000, 7), b"new");
        let digests = FileDigests::load(&store, (1, 2));
        assert_eq!(digests.known.len(), 5 * RECORD);
        assert!(digests.known.chunks(RECORD).is_sorted());
        assert_eq!(digests.get(&id(1, (1_000, 7))), Some(Digest::of(b"old")));
        assert_eq!(digests.get(&id(5, (1_000, 7))), None);
        for ino in [3, 5, 9, 12] {
            let digest = digests.get(&id(ino, (2_000, 7)));
            assert_eq!(digest, Some(Digest::of(b"new")));
        }
    }

    #[test]
    fn a_file_changed_just_now_is_not_trusted() {
        let seen = UNIX_EPOCH + Duration::from_secs(1_000);
        assert!(!id(1, (999, 1)).is_racy(seen));
        assert!(id(1, (999, 0)).is_racy(seen));
        assert!(id(1, (999, 950_000_000)).is_racy(seen));
        assert!(id(1, (2_000, 1)).is_racy(seen));
    }

    #[test]
    fn a_torn_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digests = FileDigests::load(&store, (1, 2));
        let file = (id(1, (1_000, 7)), Digest::of(b"x"));
        let now = SystemTime::now();
        digests.add(&store, [file].into_iter(), now).unwrap();
        let path = super::super::directory(&store, FILES).join("1-2");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[MAGIC.len() + 60] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(FileDigests::load(&store, (1, 2)).known.is_empty());
        std::fs::write(&path, b"m").unwrap();
        assert!(FileDigests::load(&store, (1, 2)).known.is_empty());
    }
}
