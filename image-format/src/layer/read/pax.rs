//! PAX records.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::error::ReadError;
use super::sparse::MOST_SEGMENTS;
use super::{Timestamp, lossy};

/// What the records before an entry say of it.
#[derive(Default)]
pub(super) struct Pax {
    path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Timestamp>,
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    pub sparse: SparseRecords,
}

/// What the records say of a sparse file, in any of GNU tar's three ways.
#[derive(Default)]
pub(super) struct SparseRecords {
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub major: Option<u64>,
    pub minor: Option<u64>,
    /// Offsets and lengths in turn, from one record (0.1) or many (0.0).
    pub map: Option<Vec<u64>>,
}

impl Pax {
    /// The name: a sparse file's own goes first, for `path` then holds a made-up one.
    pub fn path(&self) -> Option<Vec<u8>> {
        self.sparse.name.clone().or_else(|| self.path.clone())
    }

    /// Takes in records; a later one of the same key wins, and an empty value takes it back.
    pub fn add(&mut self, records: &[u8], name: &[u8]) -> Result<(), ReadError> {
        for record in Records(records) {
            let (key, value) = record.ok_or_else(|| ReadError::Record { name: lossy(name) })?;
            self.set(key, value)
                .map_err(|field| field.error(lossy(name)))?;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Wrong> {
        let text = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = optional(value, "size")?,
            b"uid" => self.uid = optional(value, "uid")?,
            b"gid" => self.gid = optional(value, "gid")?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value).ok_or(Wrong("mtime"))?),
            b"GNU.sparse.name" => self.sparse.name = text(),
            b"GNU.sparse.major" => self.sparse.major = optional(value, "GNU.sparse.major")?,
            b"GNU.sparse.minor" => self.sparse.minor = optional(value, "GNU.sparse.minor")?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.size = optional(value, "GNU.sparse.size")?;
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let map = self.sparse.map.get_or_insert_default();
                // They come in turn, the offset first.
                if map.len() % 2 != usize::from(key == b"GNU.sparse.numbytes") {
                    return Err(Wrong("GNU.sparse.offset"));
                }
                map.push(number(value, "GNU.sparse.offset")?);
                if map.len() > 2 * MOST_SEGMENTS {
                    return Err(Wrong("GNU.sparse.offset"));
                }
            }
            b"GNU.sparse.map" => {
                let parts = value.split(|byte| *byte == b',');
                let parts = parts.filter(|part| !part.is_empty());
                let map: Result<_, _> = parts.map(|part| number(part, "GNU.sparse.map")).collect();
                self.sparse.map = Some(map?);
            }
            _ => {
                if let Some(xattr) = key.strip_prefix(b"SCHILY.xattr.") {
                    let xattr = OsString::from_vec(xattr.to_vec());
                    self.xattrs.insert(xattr, value.to_vec());
                }
            }
        }
        Ok(())
    }
}

/// Refuses global records that would matter: no image tool applies them, and none may be guessed.
pub(super) fn check_global(records: &[u8], name: &[u8]) -> Result<(), ReadError> {
    for record in Records(records) {
        let (key, _) = record.ok_or_else(|| ReadError::Record { name: lossy(name) })?;
        let matters = matches!(
            key,
            b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime"
        ) || key.starts_with(b"SCHILY.")
            || key.starts_with(b"GNU.sparse.");
        if matters {
            let (name, key) = (lossy(name), lossy(key));
            return Err(ReadError::Global { name, key });
        }
    }
    Ok(())
}

/// The key of a record whose value is not what it has to be.
struct Wrong(&'static str);

impl Wrong {
    fn error(self, name: String) -> ReadError {
        let field = self.0;
        ReadError::Field { name, field }
    }
}

fn optional(value: &[u8], key: &'static str) -> Result<Option<u64>, Wrong> {
    (!value.is_empty()).then(|| number(value, key)).transpose()
}

pub(super) fn parse_number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // Above this, adding a padding or another length could overflow.
    let number = digits.then(|| text.parse::<u64>().ok()).flatten()?;
    (number < 1 << 62).then_some(number)
}

fn number(value: &[u8], key: &'static str) -> Result<u64, Wrong> {
    parse_number(value).ok_or(Wrong(key))
}

/// `-1.5` is one and a half seconds before 1970; digits after the ninth are cut off.
fn time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = parse_number(whole.as_bytes()).filter(|_| !whole.is_empty())?;
    let secs = i64::try_from(whole).ok()?;
    let digits = &fraction[..fraction.len().min(9)];
    let nanos: u32 = format!("{digits:0<9}").parse().ok()?;
    Some(match (negative, nanos) {
        (false, nanos) => Timestamp { secs, nanos },
        (true, 0) => Timestamp::from_secs(-secs),
        (true, nanos) => Timestamp {
            secs: -secs - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

/// `length key=value\n`, one after another; `None` where they are not so.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_none() {
            self.0 = &[];
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let space = self.0.iter().take(20).position(|byte| *byte == b' ')?;
        let length = parse_number(&self.0[..space]).and_then(|n| usize::try_from(n).ok())?;
        if length <= space || length > self.0.len() {
            return None;
        }
        let (record, rest) = self.0.split_at(length);
        self.0 = rest;
        let record = record[space + 1..].strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        (equals > 0).then(|| (&record[..equals], &record[equals + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let at = |secs, nanos| Some(Timestamp { secs, nanos });
        assert_eq!(time(b"1.5"), at(1, 500_000_000));
        assert_eq!(time(b"-1.5"), at(-2, 500_000_000));
        assert_eq!(time(b"-1"), at(-1, 0));
        assert_eq!(time(b"7.1234567899"), at(7, 123_456_789));
        assert_eq!(time(b"0."), at(0, 0));
        for wrong in ["", "-", "1.x", "+1", "1e3", ".5"] {
            assert_eq!(time(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn keeps_any_byte_of_a_value() {
        let records = b"26 SCHILY.xattr.user.a=\n\x00\n9 path=\xff\n";
        let mut pax = Pax::default();
        pax.add(records, b"x").unwrap();
        assert_eq!(pax.xattrs[&OsString::from("user.a")], b"\n\0");
        assert_eq!(pax.path(), Some(vec![0xff]));
    }

    #[test]
    fn refuses_malformed_records() {
        for wrong in [
            "5 a=b\n", "7 a=b\n", "6 a=b;", "6 a b\n", "x a=b\n", "5 =b\n", "0 a=b\n",
        ] {
            assert!(
                Pax::default().add(wrong.as_bytes(), b"x").is_err(),
                "{wrong:?}"
            );
        }
    }
}
