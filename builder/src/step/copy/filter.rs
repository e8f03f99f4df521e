//! What `--parents` and `--exclude` leave of a source.
//!
//! Their patterns are about paths below the source, and decide as those of an ignore file do. What
//! is left brings the directories above it along.

use crate::ignore::{Ignore, IgnoreErrorKind, Matched};

use super::source::{SourceEntry, SourceKind};
use super::target::is_below;

/// What is taken of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// All but what `--parents` wants, as what is left out; none takes everything.
    unwanted: Option<Ignore>,
    /// `--exclude`.
    excluded: Ignore,
}

/// What the patterns say of a directory, for what is in it.
#[derive(Clone, Default)]
struct Above {
    unwanted: Matched,
    excluded: Matched,
}

impl Filter {
    /// What the patterns do not leave out.
    ///
    /// # Errors
    /// When one is not valid.
    pub(super) fn excluding<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, IgnoreErrorKind> {
        Ok(Self {
            unwanted: None,
            excluded: Ignore::of(patterns)?,
        })
    }

    /// The same, but no more than what `pattern`, a clean path, matches.
    ///
    /// # Errors
    /// When it is not valid.
    pub(super) fn only(&self, pattern: &str) -> Result<Self, IgnoreErrorKind> {
        let wanted = format!("!{pattern}");
        // An empty one is none for docker, and one with a `!` matches nothing.
        let plain = !pattern.is_empty() && !pattern.starts_with('!');
        let patterns = ["**"].into_iter().chain(plain.then_some(wanted.as_str()));
        Ok(Self {
            unwanted: Some(Ignore::of(patterns)?),
            excluded: self.excluded.clone(),
        })
    }

    /// Whether anything in the directory may be taken.
    pub(super) fn enters(&self, below: &[u8]) -> bool {
        let both = [self.unwanted.as_ref(), Some(&self.excluded)];
        let mut both = both.into_iter().flatten();
        both.all(|patterns| patterns.is_empty() || patterns.may_contain_included(below))
    }

    /// Leaves of the entries, which are sorted as in a layer, what is taken. Says whether it is
    /// anything but the source itself.
    pub(super) fn apply(&self, entries: &mut Vec<SourceEntry>) -> bool {
        if self.unwanted.is_none() && self.excluded.is_empty() {
            return true;
        }
        let mut taken = vec![false; entries.len()];
        let mut above: Vec<(usize, Above)> = Vec::new();
        for place in 0..entries.len() {
            let path = &entries[place].below;
            if path.is_empty() {
                continue;
            }
            while above
                .last()
                .is_some_and(|(dir, _)| !is_below(path, &entries[*dir].below))
            {
                above.pop();
            }
            let parent = above.last().map(|(_, above)| above.clone());
            let (takes, here) = self.takes(&parent.unwrap_or_default(), path);
            if matches!(entries[place].kind, SourceKind::Dir) {
                above.push((place, here));
            }
            if !takes {
                continue;
            }
            taken[place] = true;
            for (dir, _) in above.iter().rev().filter(|(dir, _)| *dir != place) {
                if taken[*dir] {
                    break;
                }
                taken[*dir] = true;
                entries[*dir].implied = true;
            }
        }
        let any = taken.contains(&true);
        let mut taken = taken.into_iter();
        entries.retain(|entry| taken.next() == Some(true) || entry.below.is_empty());
        any
    }

    fn takes(&self, parent: &Above, path: &[u8]) -> (bool, Above) {
        let mut here = Above::default();
        let mut takes = true;
        if let Some(unwanted) = &self.unwanted {
            let (decision, matched) = unwanted.matches_in(&parent.unwanted, path);
            takes = !decision.excluded;
            here.unwanted = matched;
        }
        let (decision, matched) = self.excluded.matches_in(&parent.excluded, path);
        here.excluded = matched;
        (takes && !decision.excluded, here)
    }
}

#[cfg(test)]
mod tests {
    use image_format::layer::Meta;
    use proptest::prelude::*;

    use super::*;

    /// `a/` is a directory.
    fn entries(paths: &[&str]) -> Vec<SourceEntry> {
        let entry = |path: &&str| SourceEntry {
            below: path.trim_end_matches('/').as_bytes().to_vec(),
            kind: match path.ends_with('/') || path.is_empty() {
                true => SourceKind::Dir,
                false => SourceKind::Fifo,
            },
            meta: Meta::default(),
            implied: false,
        };
        paths.iter().map(entry).collect()
    }

    fn left(entries: &[SourceEntry]) -> Vec<String> {
        let mark = |entry: &SourceEntry| if entry.implied { "(" } else { "" };
        let path = |entry: &SourceEntry| String::from_utf8(entry.below.clone()).unwrap();
        let left = entries.iter().filter(|entry| !entry.below.is_empty());
        left.map(|entry| mark(entry).to_owned() + &path(entry))
            .collect()
    }

    const TREE: &[&str] = &[
        "",
        "a/",
        "a/b/",
        "a/b/x.go",
        "a/b/y.txt",
        "a/c/",
        "a-b",
        "d/",
        "d/x.go",
        "e.txt",
    ];

    fn check(filter: &Filter, expected: &[&str]) {
        let mut entries = entries(TREE);
        filter.apply(&mut entries);
        assert_eq!(left(&entries), expected, "{filter:?}");
        // What is not entered has nothing that is taken.
        for dir in ["a", "a/b", "a/c", "d"] {
            let inside =
                |path: &String| is_below(path.trim_start_matches('(').as_bytes(), dir.as_bytes());
            assert!(
                filter.enters(dir.as_bytes()) || !left(&entries).iter().any(inside),
                "{dir}"
            );
        }
    }

    #[test]
    fn excluding() {
        let excluding = |patterns: &[&str]| Filter::excluding(patterns.iter().copied()).unwrap();
        check(
            &excluding(&["*.txt"]),
            &[
                "a",
                "a/b",
                "a/b/x.go",
                "a/b/y.txt",
                "a/c",
                "a-b",
                "d",
                "d/x.go",
            ],
        );
        check(
            &excluding(&["**/*.txt", "d"]),
            &["a", "a/b", "a/b/x.go", "a/c", "a-b"],
        );
        check(
            &excluding(&["a", "!a/b/*.go"]),
            &["(a", "(a/b", "a/b/x.go", "a-b", "d", "d/x.go", "e.txt"],
        );
        check(&excluding(&["*"]), &[]);
        assert!(Filter::excluding(["[a"]).is_err());
    }

    #[test]
    fn only() {
        let only = |pattern| Filter::default().only(pattern).unwrap();
        check(&only("a/b"), &["(a", "a/b", "a/b/x.go", "a/b/y.txt"]);
        check(
            &only("**/x.go"),
            &["(a", "(a/b", "a/b/x.go", "(d", "d/x.go"],
        );
        check(&only("*/*.go"), &["(d", "d/x.go"]);
        check(&only(""), &[]);
        check(&only("!a"), &[]);
        let filter = Filter::excluding(["**/*.txt"]).unwrap();
        check(&filter.only("a/b").unwrap(), &["(a", "a/b", "a/b/x.go"]);
    }

    fn words() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[ab](/[ab]){0,2}", 0..8)
    }

    proptest! {
        /// Whatever is taken: the directories above it are there, and nothing is there for nothing.
        #[test]
        fn the_way_to_what_is_taken_is_there(
            paths in words(),
            patterns in prop::collection::vec("!?([ab*]|\\*\\*)(/[ab*]){0,2}", 0..3),
            only in prop::option::of("([ab*]|\\*\\*)(/[ab*]){0,2}"),
        ) {
            let mut all: std::collections::BTreeSet<String> = [String::new()].into();
            for path in &paths {
                let ends = path.match_indices('/').map(|(at, _)| &path[..at]);
                all.extend(ends.map(|dir| format!("{dir}/")));
                let beneath = |dir: &String| *dir == format!("{path}/");
                if !all.iter().any(beneath) {
                    all.insert(path.clone());
                }
            }
            // A path that is a directory of another is no file.
            let dirs: Vec<String> = all.iter().filter(|path| path.ends_with('/')).cloned().collect();
            all.retain(|path| !dirs.contains(&format!("{path}/")));
            let mut sorted: Vec<&str> = all.iter().map(String::as_str).collect();
            sorted.sort_by_key(|path| path.trim_end_matches('/').replace('/', "\0"));
            let mut filter = Filter::excluding(patterns.iter().map(String::as_str)).unwrap();
            if let Some(only) = &only {
                filter = filter.only(only).unwrap();
            }
            let before = entries(&sorted);
            let mut after = before.clone();
            filter.apply(&mut after);
            if patterns.is_empty() && only.is_none() {
                prop_assert_eq!(left(&after), left(&before));
            }
            let there: Vec<&[u8]> = after.iter().map(|entry| entry.below.as_slice()).collect();
            for entry in &after {
                if let Some(at) = entry.below.iter().rposition(|byte| *byte == b'/') {
                    prop_assert!(there.contains(&&entry.below[..at]));
                }
                if entry.implied {
                    prop_assert!(there.iter().any(|path| is_below(path, &entry.below)));
                }
                let inside = there.iter().any(|path| is_below(path, &entry.below));
                prop_assert!(!inside || filter.enters(&entry.below));
            }
        }
    }
}
