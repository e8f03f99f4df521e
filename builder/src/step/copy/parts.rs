//! The part of a key that says what is copied from the context.
//!
//! All that reaches the layer is in it, and nothing else: no permissions where `--chmod` sets them,
//! and none of a directory whose contents alone are copied.

use std::collections::HashMap;
use std::fmt::Write;

use image_format::digest::{Digest, Hasher};

use crate::cache::key::FilePart;

use super::source::{Source, SourceKind, join};

/// So many bytes are hashed at once.
const ENOUGH: usize = 64 << 10;

/// Whose permissions reach the layer.
#[derive(Clone, Copy)]
pub(super) struct Keeps {
    /// Those of what is copied.
    pub(super) modes: bool,
    /// Those of a directory whose contents are copied.
    pub(super) top: bool,
}

/// The files for a record, with `digest` for the regular ones by source and entry. They are made
/// one by one, because there can be very many.
pub(super) fn file_parts<'a>(
    sources: &'a [Source],
    keeps: Keeps,
    digest: impl Fn(usize, usize) -> Digest + Clone + 'a,
) -> impl Iterator<Item = FilePart> + Clone + 'a {
    let sources = sources.iter().enumerate();
    sources.flat_map(move |(number, source)| {
        let digest = digest.clone();
        let mut firsts: HashMap<(u64, u64), String> = HashMap::new();
        let entries = match source.known {
            Some(_) => &[][..],
            None => &source.entries,
        };
        let each = entries.iter().enumerate().map(move |(place, entry)| {
            let path = shown(&join(&source.name, &entry.below));
            let mode = if keeps.modes {
                format!(" {:04o}", entry.meta.mode)
            } else {
                String::new()
            };
            let first = match &entry.kind {
                SourceKind::File(file) => file.inode.map(|inode| (inode, firsts.get(&inode))),
                _ => None,
            };
            let content = match &entry.kind {
                SourceKind::Dir if entry.below.is_empty() && !keeps.top => "dir".to_owned(),
                SourceKind::Dir => format!("dir{mode}"),
                SourceKind::File(_) => match first {
                    Some((_, Some(first))) => format!("same file as {first}"),
                    _ => format!("file{mode} {}", digest(number, place)),
                },
                SourceKind::Symlink(target) => format!("link {}", shown(target)),
                SourceKind::Char(major, minor) => format!("char{mode} {major}:{minor}"),
                SourceKind::Block(major, minor) => format!("block{mode} {major}:{minor}"),
                SourceKind::Fifo => format!("pipe{mode}"),
            };
            if let Some((inode, None)) = first {
                firsts.insert(inode, path.clone());
            }
            FilePart { path, content }
        });
        source.known.iter().cloned().chain(each)
    })
}

/// The digest of the list for a key, which needs no list to be made.
pub(super) fn digest_of(
    sources: &[Source],
    keeps: Keeps,
    digest: impl Fn(usize, usize) -> Digest,
) -> Digest {
    let mut hasher = Hasher::new();
    let mut bytes = Vec::with_capacity(ENOUGH + 4096);
    for (number, source) in sources.iter().enumerate() {
        if let Some(part) = &source.known {
            known(&mut bytes, part);
            continue;
        }
        let mut firsts: HashMap<(u64, u64), usize> = HashMap::new();
        for (place, entry) in source.entries.iter().enumerate() {
            text(&mut bytes, &[&source.name, &b"/"[..], &entry.below]);
            let top = entry.below.is_empty() && matches!(entry.kind, SourceKind::Dir);
            let bare = !keeps.modes || top && !keeps.top;
            let mode = if bare { u32::MAX } else { entry.meta.mode };
            let numbers = |bytes: &mut Vec<u8>, letter, numbers: &[u32]| {
                bytes.push(letter);
                for number in numbers {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
            };
            match &entry.kind {
                SourceKind::Dir => numbers(&mut bytes, b'd', &[mode]),
                SourceKind::File(file) => {
                    let first = file
                        .inode
                        .map_or(place, |inode| *firsts.entry(inode).or_insert(place));
                    if first == place {
                        numbers(&mut bytes, b'f', &[mode]);
                        bytes.extend_from_slice(digest(number, place).as_bytes());
                    } else {
                        bytes.push(b'=');
                        bytes.extend_from_slice(&(first as u64).to_le_bytes());
                    }
                }
                SourceKind::Symlink(target) => {
                    bytes.push(b'l');
                    text(&mut bytes, &[target]);
                }
                SourceKind::Char(major, minor) => {
                    numbers(&mut bytes, b'c', &[mode, *major, *minor])
                }
                SourceKind::Block(major, minor) => {
                    numbers(&mut bytes, b'b', &[mode, *major, *minor])
                }
                SourceKind::Fifo => numbers(&mut bytes, b'p', &[mode]),
            }
            if bytes.len() >= ENOUGH {
                hasher.update(&bytes);
                bytes.clear();
            }
        }
    }
    hasher.update(&bytes);
    hasher.finish()
}

/// The digest of a list that is known.
pub(super) fn digest_of_known(parts: &[FilePart]) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        known(&mut bytes, part);
    }
    Digest::of(&bytes)
}

fn known(bytes: &mut Vec<u8>, part: &FilePart) {
    bytes.push(b'k');
    text(bytes, &[part.path.as_bytes()]);
    text(bytes, &[part.content.as_bytes()]);
}

/// A text with its length before it, so that no two lists make the same bytes.
fn text(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
}

/// A path as [`FilePart`] has it.
fn shown(path: &[u8]) -> String {
    if let Ok(plain) = str::from_utf8(path)
        && !path.contains(&b'\\')
    {
        return plain.to_owned();
    }
    let mut shown = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for (number, plain) in chunk.valid().split('\\').enumerate() {
            if number > 0 {
                shown.push_str("\\x5c");
            }
            shown.push_str(plain);
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_any_path_without_two_looking_alike() {
        assert_eq!(shown(b"a/\xff\\xff"), "a/\\xff\\x5cxff");
        assert_eq!(shown("ä".as_bytes()), "ä");
    }
}
