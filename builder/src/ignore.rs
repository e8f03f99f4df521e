//! `.dockerignore`: which paths of the context exist for the build.

/// A pattern of a `.dockerignore` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the ignore file: {kind}")]
pub struct IgnoreError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: IgnoreErrorKind,
}

/// The kinds of [`IgnoreError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreErrorKind {
    /// `!` and nothing after it.
    #[error("`!` without a pattern")]
    EmptyException,
}

/// The patterns of an ignore file, compiled.
#[derive(Clone, Debug, Default)]
pub struct Ignore {}

/// What the patterns say of a directory; needed to ask about what is in it.
#[derive(Clone, Debug, Default)]
pub struct Matched {}

/// What the patterns say of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the path is left out of the context.
    pub excluded: bool,
    /// The line (from 1) of the last pattern that applied; none where no pattern did.
    pub line: Option<usize>,
}

impl Ignore {
    /// Reads an ignore file.
    pub fn parse(text: &str) -> Result<Ignore, IgnoreError> {
        let _ = text;
        Ok(Ignore::default())
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Decides about one path (relative, `/` between names, no `.` or `..`), its parents included.
    pub fn matches(&self, path: &[u8]) -> Decision {
        let _ = path;
        Decision {
            excluded: false,
            line: None,
        }
    }

    /// What to begin a walk with: the context's root.
    pub fn root(&self) -> Matched {
        Matched::default()
    }

    /// Decides about `path`, whose parent directory gave `parent`. The second value is for what is in it.
    pub fn matches_in(&self, parent: &Matched, path: &[u8]) -> (Decision, Matched) {
        let _ = (parent, path);
        (self.matches(path), Matched::default())
    }

    /// Whether something inside the excluded directory `dir` may be let in by a later `!` pattern; if not,
    /// it need not be walked.
    pub fn may_contain_included(&self, dir: &[u8]) -> bool {
        let _ = dir;
        true
    }
}
