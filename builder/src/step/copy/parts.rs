//! The part of a key that says what is copied from the context.

use std::collections::HashMap;
use std::fmt::Write;

use image_format::digest::{Digest, Hasher};

use crate::cache::key::FilePart;

use super::source::{Source, SourceKind, join};

/// The list of the files, with `digest` for the regular ones by source and entry. All that reaches
/// the layer is in it, and nothing else: no permissions where `--chmod` sets them, and none of a
/// directory whose contents alone are copied.
pub(super) fn file_parts(
    sources: &[Source],
    keeps_modes: bool,
    digest: impl Fn(usize, usize) -> Digest,
) -> Vec<FilePart> {
    let all = sources.iter().map(|source| source.entries.len()).sum();
    let mut parts = Vec::with_capacity(all);
    for (number, source) in sources.iter().enumerate() {
        let mut firsts: HashMap<(u64, u64), String> = HashMap::new();
        for (place, entry) in source.entries.iter().enumerate() {
            let path = shown(&join(&source.name, &entry.below));
            let mode = if keeps_modes {
                format!(" {:04o}", entry.meta.mode)
            } else {
                String::new()
            };
            let first = match &entry.kind {
                SourceKind::File(file) => file.inode.map(|inode| (inode, firsts.get(&inode))),
                _ => None,
            };
            let content = match &entry.kind {
                SourceKind::Dir if entry.below.is_empty() => "dir".to_owned(),
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
            parts.push(FilePart { path, content });
        }
    }
    parts
}

/// The digest of the list.
pub(super) fn digest_of(parts: &[FilePart]) -> Digest {
    let mut hasher = Hasher::new();
    for part in parts {
        for text in [&part.path, &part.content] {
            hasher.update(text.as_bytes());
            hasher.update(&[0]);
        }
    }
    hasher.finish()
}

/// A path as [`FilePart`] has it.
fn shown(path: &[u8]) -> String {
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
