//! Paths in a root file system that is not unpacked: symbolic links are followed inside it.

use std::collections::VecDeque;

use crate::context::components;
use crate::lexical;

use super::source::join;

/// As many as docker follows.
const MOST_LINKS: usize = 255;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A directory.
    Dir,
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// Something else.
    Other,
}

/// More links than are followed.
pub(super) struct TooManyLinks;

/// The path that `path` leads to, relative to the root and without symbolic links; what is not
/// there stays as it is written. Nothing leads out of the root.
pub(super) fn resolve(
    path: &[u8],
    seen: impl Fn(&[u8]) -> Option<Seen>,
) -> Result<Vec<u8>, TooManyLinks> {
    let mut pending: VecDeque<Vec<u8>> = components(path).map(<[u8]>::to_vec).collect();
    let mut at: Vec<u8> = Vec::new();
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        match name.as_slice() {
            b"." => continue,
            b".." => {
                let end = at.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                at.truncate(end);
                continue;
            }
            _ => {}
        }
        let next = join(&at, &name);
        let Some(Seen::Symlink(target)) = seen(&next) else {
            at = next;
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            return Err(TooManyLinks);
        }
        if target.starts_with(b"/") {
            at.clear();
        }
        for name in components(&target).collect::<Vec<_>>().into_iter().rev() {
            pending.push_front(name.to_vec());
        }
    }
    Ok(at)
}

/// The directory a path lies in; the root lies in itself.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => &path[..at],
        None => b"",
    }
}

/// The last name of a path.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => &path[at + 1..],
        None => path,
    }
}

/// The absolute path that `path` is below the directory `workdir`, with `.` and `..` taken away as
/// text, and a `/` at its end where it is written as a directory.
pub(super) fn absolute(workdir: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{workdir}/{path}")
    };
    let names = lexical::names(&whole);
    let directory = path.is_empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
    match (names.is_empty(), directory) {
        (true, _) => "/".to_owned(),
        (false, true) => format!("/{}/", names.join("/")),
        (false, false) => format!("/{}", names.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_and_end() {
        let seen = |path: &[u8]| match path {
            b"up" => Some(Seen::Symlink(b"../../etc".to_vec())),
            b"abs" => Some(Seen::Symlink(b"/etc/./x".to_vec())),
            b"a" => Some(Seen::Symlink(b"b".to_vec())),
            b"b" => Some(Seen::Symlink(b"a".to_vec())),
            b"etc" => Some(Seen::Dir),
            _ => None,
        };
        let resolved = |path: &[u8]| resolve(path, seen).ok();
        assert_eq!(resolved(b"/up/passwd").as_deref(), Some(&b"etc/passwd"[..]));
        assert_eq!(resolved(b"abs/../y").as_deref(), Some(&b"etc/y"[..]));
        assert_eq!(resolved(b"no/such/../x").as_deref(), Some(&b"no/x"[..]));
        assert_eq!(resolved(b"a/x"), None);
    }

    #[test]
    fn destinations() {
        for (workdir, path, expected) in [
            ("/", "foo", "/foo"),
            ("/app", ".", "/app/"),
            ("/app", "../x/", "/x/"),
            ("/app", "/y//z/.", "/y/z/"),
            ("/", ".", "/"),
        ] {
            assert_eq!(absolute(workdir, path), expected);
        }
    }
}
