//! Which of a repository's references is meant.

use gix_hash::ObjectId;
use image_format::nearest::nearest;

use super::error::GitError;

/// A name that a repository gives to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// In full, as in `refs/heads/main`, or `HEAD`.
    pub name: String,
    /// What it names: a commit, or a tag's own object.
    pub id: ObjectId,
    /// What that tag is of.
    pub peeled: Option<ObjectId>,
}

impl Reference {
    /// The commit, unless it is a tag of a tag or of something else.
    pub fn commit(&self) -> ObjectId {
        self.peeled.unwrap_or(self.id)
    }

    /// As people call it.
    fn short(&self) -> Option<&str> {
        let heads = self.name.strip_prefix("refs/heads/");
        heads.or_else(|| self.name.strip_prefix("refs/tags/"))
    }
}

/// The fewest digits that stand for a commit.
const FEWEST_DIGITS: usize = 7;

/// The commit whose whole name this is.
pub fn full_id(reference: &str) -> Option<ObjectId> {
    let is_id = reference.len() == 40 && is_hex(reference);
    is_id.then(|| ObjectId::from_hex(reference.as_bytes()).ok())?
}

/// Whether this could be the beginning of a commit's name.
fn is_abbreviated(reference: &str) -> bool {
    (FEWEST_DIGITS..40).contains(&reference.len()) && is_hex(reference)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The full names that are looked for, the first that is there is meant: as it is written, a branch, a
/// tag.
pub fn candidates(reference: Option<&str>) -> Vec<String> {
    let Some(reference) = reference else {
        return vec!["HEAD".to_owned()];
    };
    let under = |place: &str| {
        let rest = reference.strip_prefix(place).unwrap_or(reference);
        format!("{place}{rest}")
    };
    vec![
        reference.to_owned(),
        under("refs/"),
        under("refs/heads/"),
        under("refs/tags/"),
    ]
}

/// Finds the reference that is meant, by its name.
pub fn by_name<'a>(reference: Option<&str>, all: &'a [Reference]) -> Option<&'a Reference> {
    let candidates = candidates(reference);
    let mut found = candidates
        .iter()
        .filter_map(|name| all.iter().find(|reference| reference.name == *name));
    found.next()
}

/// Finds the reference that is meant, by the beginning of its commit's name.
pub fn by_commit<'a>(reference: &str, all: &'a [Reference]) -> Result<&'a Reference, GitError> {
    let begins = |found: &&Reference| found.commit().to_string().starts_with(reference);
    let mut found = all
        .iter()
        .filter(|_| is_abbreviated(reference))
        .filter(begins);
    let Some(first) = found.next() else {
        return Err(GitError::NoReference {
            reference: reference.to_owned(),
            nearest: nearest(reference, all.iter().filter_map(Reference::short)),
        });
    };
    match found.any(|other| other.commit() != first.commit()) {
        true => Err(GitError::Ambiguous(reference.to_owned())),
        false => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str, digit: char) -> Reference {
        let hex: String = std::iter::repeat_n(digit, 40).collect();
        Reference {
            name: name.to_owned(),
            id: ObjectId::from_hex(hex.as_bytes()).unwrap(),
            peeled: None,
        }
    }

    #[test]
    fn a_branch_comes_before_a_tag_and_a_full_name_before_both() {
        let all = [
            reference("HEAD", '1'),
            reference("refs/tags/a", '2'),
            reference("refs/heads/a", '3'),
            reference("refs/heads/refs/tags/a", '4'),
            reference("refs/pull/7/head", '5'),
        ];
        for (wanted, digit) in [
            (None, '1'),
            (Some("a"), '3'),
            (Some("tags/a"), '2'),
            (Some("refs/tags/a"), '2'),
            (Some("heads/a"), '3'),
            (Some("pull/7/head"), '5'),
        ] {
            let found = by_name(wanted, &all).unwrap();
            assert!(
                found.id.to_string().starts_with(digit),
                "{wanted:?}: {found:?}"
            );
        }
        assert!(by_name(Some("b"), &all).is_none());
    }

    #[test]
    fn some_digits_are_enough_where_a_branch_ends_there() {
        let mut all = vec![reference("refs/heads/main", 'a'), reference("HEAD", 'a')];
        assert_eq!(by_commit("aaaaaaa", &all).unwrap().name, "refs/heads/main");
        let few = by_commit("aaaaaa", &all).unwrap_err();
        assert!(
            matches!(few, GitError::NoReference { nearest: None, .. }),
            "{few}"
        );
        let near = by_commit("mian", &all).unwrap_err();
        assert!(
            matches!(near, GitError::NoReference { nearest: Some(name), .. } if name == "main")
        );
        all.push(Reference {
            id: ObjectId::from_hex(format!("aaaaaaa{}", "b".repeat(33)).as_bytes()).unwrap(),
            ..reference("refs/heads/x", 'a')
        });
        assert!(matches!(
            by_commit("aaaaaaa", &all),
            Err(GitError::Ambiguous(_))
        ));
    }
}
