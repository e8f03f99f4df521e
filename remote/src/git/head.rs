//! The commit that a working tree of this machine is at.
//!
//! Source: gitrepository-layout(5), git-worktree(1) and gitformat-pack(5).

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use gix_hash::ObjectId;
use gix_zlib::Decompress;
use gix_zlib::stream::inflate;

use super::error::GitError;
use super::failed;
use super::objects::{Commit, Objects};

/// The longest chain of references that name another.
const MOST_REFERENCES: usize = 5;
/// The most places of objects that name further ones.
const MOST_PLACES: usize = 32;
/// The largest commit that is read, in bytes; those with signatures have some thousand.
const LARGEST: usize = 1 << 20;
/// The largest file of references that is read, in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// Why it is not known when the commit was made.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Neither the directory nor one above it has a `.git`.
    #[error("{} is in no git repository", .0.display())]
    NoRepository(PathBuf),
    /// Nothing has been committed, or the references are kept in a way that is not read.
    #[error("HEAD of {} names no commit", .0.display())]
    NoCommit(PathBuf),
    /// Something in it cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// When the commit was made that the working tree around a directory is at, in seconds since 1970.
///
/// # Errors
/// When the directory is in no working tree, or there is no commit, or it cannot be read.
pub fn commit_time(directory: &Path) -> Result<i64, HeadError> {
    let real = fs::canonicalize(directory).map_err(failed("open", directory))?;
    let mut above = real.ancestors().map(|path| path.join(".git"));
    let found = above.find_map(|path| git_dir(&path).transpose());
    let git_dir = found.ok_or_else(|| HeadError::NoRepository(directory.to_owned()))??;
    // A further working tree of a repository has a directory of its own there.
    let common = match text(&git_dir.join("commondir"))? {
        Some(path) => git_dir.join(path.trim_end()),
        None => git_dir.clone(),
    };
    let head = head(&git_dir, &common)?.ok_or_else(|| HeadError::NoCommit(real.clone()))?;
    Ok(commit(&common.join("objects"), head)?.seconds)
}

/// What `.git` is: the directory itself, or a file that says where it is.
fn git_dir(path: &Path) -> Result<Option<PathBuf>, GitError> {
    if path.join("HEAD").is_file() {
        return Ok(Some(path.to_owned()));
    }
    let text = match path.is_file() {
        true => text(path)?,
        false => None,
    };
    let named = text
        .as_deref()
        .and_then(|text| text.strip_prefix("gitdir: "));
    Ok(named.map(|named| path.with_file_name("").join(named.trim_end())))
}

/// What `HEAD` leads to.
fn head(git_dir: &Path, common: &Path) -> Result<Option<ObjectId>, GitError> {
    let mut name = "HEAD".to_owned();
    for _ in 0..MOST_REFERENCES {
        let own = text(&git_dir.join(&name))?;
        let found = match own {
            None => text(&common.join(&name))?,
            own => own,
        };
        let Some(found) = found else {
            return packed(common, &name);
        };
        match found.trim_end().strip_prefix("ref: ") {
            Some(next) if is_reference(next) => name = next.to_owned(),
            Some(_) => return Ok(None),
            None => return Ok(ObjectId::from_hex(found.trim_end().as_bytes()).ok()),
        }
    }
    Ok(None)
}

/// Whether it is a name that leads to no other place.
fn is_reference(name: &str) -> bool {
    name.starts_with("refs/") && gix_validate::reference::name(name.into()).is_ok()
}

/// What is written of a reference in the file of many.
fn packed(common: &Path, name: &str) -> Result<Option<ObjectId>, GitError> {
    let all = text(&common.join("packed-refs"))?.unwrap_or_default();
    let mut lines = all.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(_, other)| *other == name);
    Ok(found.and_then(|(id, _)| ObjectId::from_hex(id.as_bytes()).ok()))
}

/// Finds a commit among the objects, and those of the repositories that it borrows from.
fn commit(objects: &Path, id: ObjectId) -> Result<Commit, GitError> {
    let mut places = vec![objects.to_owned()];
    let mut next = 0;
    while let Some(place) = places.get(next).cloned() {
        next += 1;
        if let Some(found) = loose(&place, id)? {
            return Ok(found);
        }
        for index in indices(&place.join("pack"))? {
            let mut pack = Objects::open(&index)?;
            if pack.has(&id) {
                return pack.commit(id);
            }
        }
        let others = text(&place.join("info/alternates"))?.unwrap_or_default();
        let room = MOST_PLACES - places.len();
        let others = others.lines().filter(|line| !line.is_empty());
        places.extend(others.take(room).map(|other| place.join(other)));
    }
    Err(GitError::Missing(id))
}

/// A commit that has a file of its own.
fn loose(place: &Path, id: ObjectId) -> Result<Option<Commit>, GitError> {
    let hex = id.to_string();
    let path = place.join(&hex[..2]).join(&hex[2..]);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed("open", &path))?,
    };
    let mut bytes = vec![0; LARGEST];
    let read = inflate::read(
        &mut BufReader::new(file),
        &mut Decompress::new(),
        &mut bytes,
    );
    bytes.truncate(read.map_err(failed("read", &path))?);
    let data = bytes.strip_prefix(b"commit ").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(&rest[end + 1..])
    });
    Commit::read(id, data.ok_or(GitError::NotACommit(id))?).map(Some)
}

fn indices(dir: &Path) -> Result<Vec<PathBuf>, GitError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("read", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A file's text; `None` where there is none.
fn text(path: &Path) -> Result<Option<String>, GitError> {
    let file = match File::open(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        file => file.map_err(failed("open", path))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(LARGEST_FILE).read_to_end(&mut bytes);
    read.map_err(failed("read", path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
