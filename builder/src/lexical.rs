//! Paths as text: `.`, `..` and needless slashes taken away with no look at any file system.

/// The names of a path below a root, above which nothing leads.
pub(crate) fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}

/// A path from a root, above which nothing leads.
pub(crate) fn absolute(path: &str) -> String {
    format!("/{}", names(path).join("/"))
}

/// A path relative to a root, above which nothing leads.
pub(crate) fn relative(path: &str) -> String {
    names(path).join("/")
}

/// A path as Go's `filepath.Clean` has it: where it is relative, it keeps the `..` that lead out of it.
pub(crate) fn clean(path: &str) -> String {
    if path.starts_with('/') {
        return absolute(path);
    }
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    match names.is_empty() {
        true => ".".to_owned(),
        false => names.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_above_a_root() {
        for (path, expected) in [
            ("/x//y/", "/x/y"),
            ("a/./b/../c", "/a/c"),
            ("../../a", "/a"),
            ("/..", "/"),
            ("", "/"),
        ] {
            assert_eq!(absolute(path), expected, "{path}");
            assert_eq!(relative(path), expected[1..], "{path}");
        }
    }

    #[test]
    fn cleaned_paths() {
        for (path, cleaned) in [
            ("a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("/../a", "/a"),
            ("a/..", "."),
            ("", "."),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
