//! The name that was probably meant.

/// The candidate that takes the fewest edits from `name`, if those are a third of it or less.
#[must_use]
pub fn nearest<S: AsRef<str>>(
    name: &str,
    candidates: impl IntoIterator<Item = S>,
) -> Option<String> {
    within((name.chars().count() / 3).max(1), name, candidates)
}

/// The candidate that takes the fewest edits from `name`, if those are `most` or less.
#[must_use]
pub fn within<S: AsRef<str>>(
    most: usize,
    name: &str,
    candidates: impl IntoIterator<Item = S>,
) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate.as_ref()), candidate))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// Insertions, deletions, replacements and swaps of neighbours from one to the other (optimal string
/// alignment); names longer than any sensible one are far from everything.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 256;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, other) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(letter != other);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *other && b[j - 1] == *letter {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slip_and_nothing_far() {
        let names = ["debian:12", "alpine:latest"];
        assert_eq!(nearest("debain:12", names).as_deref(), Some("debian:12"));
        assert_eq!(nearest("CPOY", ["CMD", "COPY"]).as_deref(), Some("COPY"));
        assert_eq!(nearest("ubuntu", names), None);
        assert_eq!(nearest("", [""; 0]), None);
    }
}
