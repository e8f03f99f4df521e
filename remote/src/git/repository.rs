//! The `.git` of a checkout, as git reads it.
//!
//! Source: gitrepository-layout(5) and gitformat-index(5).

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gix_hash::ObjectId;
use gix_index::entry::{Flags, Mode, Stat};
use gix_index::{File, State};

use super::error::GitError;
use super::objects::Commit;
use super::worktree::Entry;

/// What is checked out, and from where.
pub struct Head<'a> {
    pub commit: &'a Commit,
    /// The reference that was asked for, in full, and what it names.
    pub reference: Option<(&'a str, ObjectId)>,
    /// Commits without parents here.
    pub shallow: &'a [ObjectId],
    /// Where it comes from, without login.
    pub url: &'a str,
}

/// Writes all but the objects, which are there already.
///
/// Nothing in it tells when or where that was: of what git keeps of a file in its index to see that
/// it has not changed there is nothing, and git looks at the files once more.
pub fn write(git_dir: &Path, head: &Head<'_>, entries: &[Entry]) -> Result<(), GitError> {
    for dir in ["objects/info", "refs/heads", "refs/tags"] {
        let path = git_dir.join(dir);
        fs::create_dir_all(&path).map_err(failed("make", &path))?;
    }
    let id = head.commit.id;
    put(git_dir, "HEAD", &format!("{id}\n"))?;
    put(git_dir, "config", &config(head.url))?;
    if !head.shallow.is_empty() {
        let lines: String = head.shallow.iter().map(|id| format!("{id}\n")).collect();
        put(git_dir, "shallow", &lines)?;
    }
    if let Some((name, id)) = head
        .reference
        .filter(|(name, _)| name.starts_with("refs/tags/"))
    {
        put(git_dir, "packed-refs", &format!("{id} {name}\n"))?;
    }
    let mut state = State::new(gix_hash::Kind::Sha1);
    for entry in entries {
        let mode = Mode::from_bits_truncate(entry.kind as u32);
        let path = entry.path.as_slice().into();
        state.dangerously_push_entry(Stat::default(), entry.id, Flags::empty(), mode, path);
    }
    state.sort_entries();
    let mut index = File::from_state(state, git_dir.join("index"));
    index
        .write(gix_index::write::Options::default())
        .map_err(GitError::Index)?;
    publish_modes(git_dir)
}

fn config(url: &str) -> String {
    let url = url.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\
         [remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    )
}

fn put(git_dir: &Path, name: &str, text: &str) -> Result<(), GitError> {
    let path = git_dir.join(name);
    fs::write(&path, text).map_err(failed("write", &path))
}

/// Gives all the modes that git gives, whatever the umask.
fn publish_modes(dir: &Path) -> Result<(), GitError> {
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("write", path))
    };
    set(dir, 0o755)?;
    for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
        let entry = entry.map_err(failed("read", dir))?;
        let path = entry.path();
        let is_dir = entry.file_type().map_err(failed("read", &path))?.is_dir();
        match is_dir {
            true => publish_modes(&path)?,
            false
                if path
                    .extension()
                    .is_some_and(|ext| ext == "pack" || ext == "idx") =>
            {
                set(&path, 0o444)?;
            }
            false => set(&path, 0o644)?,
        }
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GitError + use<> {
    let path: PathBuf = path.to_owned();
    move |source| GitError::File {
        action,
        path,
        source,
    }
}
