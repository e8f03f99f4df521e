//! `/etc/ld.so.cache`: where `ldconfig` found each library.
//!
//! Source: glibc, `sysdeps/generic/dl-cache.h`, "struct cache_file_new". In the byte order of the
//! machine that wrote it, which is not said in old ones: read in both, the sensible one counts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// The most entries that are read: a full desktop has some thousands.
const MOST_ENTRIES: u32 = 1 << 20;

/// The libraries that the cache names.
#[derive(Clone, Debug, Default)]
pub(super) struct LdCache(Vec<(OsString, PathBuf)>);

impl LdCache {
    /// Reads a cache; one that does not read is an empty one, as to the loader.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        // glibc up to 2.31 put this behind a cache in a still older format.
        let start = bytes.windows(MAGIC.len()).position(|part| part == MAGIC);
        let bytes = start.map_or(&[][..], |start| &bytes[start..]);
        let number = |at: usize| -> Option<u32> {
            let field = bytes.get(at..at + 4)?.first_chunk::<4>()?;
            Some(u32::from_ne_bytes(*field))
        };
        let count = number(MAGIC.len()).unwrap_or(0);
        if count > MOST_ENTRIES {
            return Self::default();
        }
        let text = |offset: u32| -> Option<OsString> {
            let rest = bytes.get(offset as usize..)?;
            let end = rest.iter().position(|byte| *byte == 0)?;
            Some(OsString::from_vec(rest[..end].to_vec()))
        };
        let entry = |index: usize| -> Option<(OsString, PathBuf)> {
            let at = HEADER + index * ENTRY;
            // Variants for some processors only are left to the plain one, which runs everywhere.
            if bytes
                .get(at + 16..at + ENTRY)?
                .iter()
                .any(|byte| *byte != 0)
            {
                return None;
            }
            Some((text(number(at + 4)?)?, text(number(at + 8)?)?.into()))
        };
        Self((0..count as usize).filter_map(entry).collect())
    }

    /// The files known under this name, of whatever machine.
    pub(super) fn find<'a>(&'a self, name: &'a OsStr) -> impl Iterator<Item = &'a PathBuf> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, path)| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((entries.len() as u32).to_ne_bytes());
        bytes.resize(HEADER, 0);
        let mut strings = Vec::new();
        let base = HEADER + entries.len() * ENTRY;
        for (name, path, capabilities) in entries {
            bytes.extend(0x303_u32.to_ne_bytes());
            for text in [name, path] {
                bytes.extend(((base + strings.len()) as u32).to_ne_bytes());
                strings.extend(text.bytes().chain([0]));
            }
            bytes.extend(0_u32.to_ne_bytes());
            bytes.extend(capabilities.to_ne_bytes());
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn finds_the_plain_variant() {
        let bytes = cache(&[("a.so", "/v3/a.so", 1), ("a.so", "/lib/a.so", 0)]);
        let found = LdCache::parse(&bytes);
        let name = OsString::from("a.so");
        assert_eq!(
            found.find(&name).collect::<Vec<_>>(),
            [&PathBuf::from("/lib/a.so")]
        );
        let mut old = b"ld.so-1.7.0\0\0\0\0\0".to_vec();
        old.extend(&bytes);
        assert_eq!(LdCache::parse(&old).find(&name).count(), 1);
    }

    #[test]
    fn what_does_not_read_is_empty() {
        let bytes = cache(&[("a.so", "/lib/a.so", 0)]);
        let name = OsString::from("a.so");
        for end in 0..bytes.len() {
            assert_eq!(
                LdCache::parse(&bytes[..end]).find(&name).count(),
                0,
                "{end}"
            );
        }
    }
}
