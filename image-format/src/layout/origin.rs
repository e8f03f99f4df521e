//! Where else a blob is known to be: a registry takes it over from another of its repositories, and it need
//! not be sent.
//!
//! ```text
//! cache/v1/origins/<digest>     lines of registry and repository, the last first
//! ```

use std::fs;
use std::path::PathBuf;

use super::{Store, StoreError, io_error};
use crate::digest::Digest;

/// As many are remembered of a blob.
const MOST: usize = 8;
/// More bytes than that many names have.
const LARGEST: u64 = 8 << 10;

impl Store {
    /// The repositories of a registry that a blob was seen in, the last first.
    #[must_use]
    pub fn origins(&self, blob: &Digest, registry: &str) -> Vec<String> {
        let of_registry =
            |(found, repository): (String, String)| (found == registry).then_some(repository);
        let all = self.all_origins(blob).into_iter();
        all.filter_map(of_registry).collect()
    }

    /// Notes that a repository has a blob.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_origin(
        &self,
        blob: &Digest,
        registry: &str,
        repository: &str,
    ) -> Result<(), StoreError> {
        let new = (registry.to_owned(), repository.to_owned());
        let mut all = self.all_origins(blob);
        if all.first() == Some(&new) {
            return Ok(());
        }
        all.retain(|origin| *origin != new);
        all.insert(0, new);
        all.truncate(MOST);
        let lines = all
            .iter()
            .map(|(registry, repository)| format!("{registry} {repository}\n"));
        let path = self.origins_of(blob);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(io_error("make", dir))?;
        }
        let file = self.tmp_file()?;
        fs::write(file.path(), lines.collect::<String>())
            .map_err(io_error("write", file.path()))?;
        let noted = file.persist(&path);
        noted.map_err(|error| io_error("write", &path)(error.error))?;
        Ok(())
    }

    /// What cannot be read is not known.
    fn all_origins(&self, blob: &Digest) -> Vec<(String, String)> {
        let path = self.origins_of(blob);
        let small = fs::metadata(&path).is_ok_and(|found| found.len() <= LARGEST);
        let text = small.then(|| fs::read_to_string(&path).ok()).flatten();
        let text = text.unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(registry, repository)| (registry.to_owned(), repository.to_owned()))
            .collect()
    }

    fn origins_of(&self, blob: &Digest) -> PathBuf {
        self.root().join("cache/v1/origins").join(blob.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_come_first_and_only_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let blob = Digest::of(b"x");
        let note = |registry: &str, repository: &str| {
            store.note_origin(&blob, registry, repository).unwrap();
        };
        note("a:5000", "one");
        note("b", "other");
        note("a:5000", "two");
        note("a:5000", "one");
        assert_eq!(store.origins(&blob, "a:5000"), ["one", "two"]);
        assert_eq!(store.origins(&blob, "b"), ["other"]);
        (0..10).for_each(|n| note("c", &n.to_string()));
        assert_eq!(store.origins(&blob, "c").len(), MOST);
        assert!(store.origins(&blob, "b").is_empty());
    }
}
