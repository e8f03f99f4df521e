//! The output of a command, kept whole in a file, and its end at hand.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image_format::digest::Digest;
use image_format::layout::Store;

/// How many logs of failed steps are kept.
const KEPT: usize = 32;
/// The end of the output that is kept in memory: bytes, and lines.
const END_BYTES: usize = 16 << 10;
const END_LINES: usize = 20;

/// The log of a step that runs.
pub(super) struct Log {
    path: PathBuf,
    /// Opened by the first output: most commands that succeed say nothing.
    file: Option<File>,
    /// The file is not whole: the disk is full, most likely. A good step does not fail for its log.
    broken: bool,
    end: Vec<u8>,
}

impl Log {
    /// A log that is written in the directory `dir`, which is on the store's file system.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            path: dir.join("log"),
            file: None,
            broken: false,
            end: Vec::new(),
        }
    }

    /// Takes what the command wrote.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.end.extend_from_slice(bytes);
        if self.end.len() > 2 * END_BYTES {
            self.end.drain(..self.end.len() - END_BYTES);
        }
        if !self.broken {
            self.broken = self.append(bytes).is_err();
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::create(&self.path)?),
        };
        file.write_all(bytes)
    }

    /// The last lines of the output.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.end);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(END_LINES);
        lines[first..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }

    /// Keeps the log of a step that failed; `None` where there is none, or it is not whole.
    pub(super) fn keep(self, store: &Store, key: &Digest) -> Option<PathBuf> {
        self.file.as_ref().filter(|_| !self.broken)?;
        let dir = store.root().join("cache/v1/logs");
        let kept = dir.join(format!("{}.log", &key.hex()[..16]));
        fs::create_dir_all(&dir).ok()?;
        fs::rename(&self.path, &kept).ok()?;
        remove_oldest(&dir);
        Some(kept)
    }
}

/// What cannot be removed is removed another time.
fn remove_oldest(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut logs: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    logs.sort();
    for (_, path) in &logs[..logs.len().saturating_sub(KEPT)] {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole_and_the_end_is_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let tmp = store.tmp_dir().unwrap();
        let mut log = Log::new(tmp.path());
        for line in 0..10_000 {
            log.write(format!("line {line}\n").as_bytes());
        }
        let last = log.last_lines();
        assert_eq!(last.len(), END_LINES);
        assert_eq!(last[19], "line 9999");
        let kept = log.keep(&store, &Digest::of(b"a")).unwrap();
        let text = fs::read_to_string(&kept).unwrap();
        assert!(text.starts_with("line 0\n") && text.lines().count() == 10_000);
    }

    #[test]
    fn old_logs_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let mut last = None;
        for number in 0..KEPT as u8 + 3 {
            let tmp = store.tmp_dir().unwrap();
            let mut log = Log::new(tmp.path());
            log.write(b"x");
            last = log.keep(&store, &Digest::of(&[number]));
        }
        let last = last.unwrap();
        assert_eq!(fs::read_dir(last.parent().unwrap()).unwrap().count(), KEPT);
        assert!(last.exists());
    }

    #[test]
    fn silence_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        assert_eq!(Log::new(dir.path()).keep(&store, &Digest::of(b"a")), None);
    }
}
