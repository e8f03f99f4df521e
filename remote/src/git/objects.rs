//! The objects that a server has sent.
//!
//! Source: gitformat-pack(5).

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix_hash::ObjectId;
use gix_object::{CommitRef, Kind, TagRef};
use gix_pack::Bundle;
use gix_pack::bundle::write::Options;

use super::error::GitError;

/// The largest object that is read, in bytes: it is in memory, whole.
const LARGEST: usize = 1 << 30;
/// The longest chain of tags of tags.
const MOST_TAGS: usize = 16;

/// A pack, on the disk.
pub struct Objects {
    bundle: Bundle,
    inflate: gix_zlib::Inflate,
}

/// A commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub id: ObjectId,
    /// What is checked out.
    pub tree: ObjectId,
    /// When it was made, in seconds since 1970.
    pub seconds: i64,
}

impl Commit {
    /// Reads a commit's content.
    pub fn read(id: ObjectId, data: &[u8]) -> Result<Self, GitError> {
        let malformed = |source| GitError::Object { id, source };
        let commit = CommitRef::from_bytes(data, gix_hash::Kind::Sha1).map_err(malformed)?;
        let committer = commit.committer().map_err(malformed)?;
        Ok(Self {
            id,
            tree: commit.tree(),
            seconds: committer.seconds(),
        })
    }
}

impl Objects {
    /// A pack that is on the disk, by its index.
    pub fn open(index: &Path) -> Result<Self, GitError> {
        let bundle = Bundle::at(index, gix_hash::Kind::Sha1).map_err(GitError::Pack)?;
        Ok(Self {
            bundle: Bundle {
                pack: bundle.pack.with_alloc_limit_bytes(Some(LARGEST)),
                index: bundle.index,
            },
            inflate: gix_zlib::Inflate::default(),
        })
    }

    /// Writes a pack into a directory, with its index; each object's name is computed anew.
    pub fn receive(pack: impl Read, dir: &Path) -> Result<Self, GitError> {
        let options = Options {
            alloc_limit_bytes: Some(LARGEST),
            ..Options::default()
        };
        let mut pack = Watched {
            inner: pack,
            failed: None,
        };
        let received = Bundle::write_to_directory(
            &mut BufReader::with_capacity(64 * 1024, &mut pack),
            Some(dir),
            &mut gix_utils::progress::Discard,
            // Who cancels ends the reading of the pack.
            &AtomicBool::new(false),
            None::<gix_object::find::Never>,
            gix_hash::Kind::Sha1,
            options,
        );
        let received = match (received, pack.failed) {
            (Ok(received), _) => received,
            (Err(_), Some(error)) => return Err(error.into()),
            (Err(error), None) => return Err(GitError::Pack(error)),
        };
        if let Some(keep) = &received.keep_path {
            remove(keep)?;
        }
        let bundle = received.to_bundle().ok_or(GitError::Empty)?;
        Ok(Self {
            bundle: bundle.map_err(GitError::Pack)?,
            inflate: gix_zlib::Inflate::default(),
        })
    }

    /// The content of an object, and what it is.
    pub fn read<'a>(
        &mut self,
        id: ObjectId,
        buffer: &'a mut Vec<u8>,
    ) -> Result<(Kind, &'a [u8]), GitError> {
        let mut cache = gix_pack::cache::Never;
        let found = self.bundle.find(&id, buffer, &mut self.inflate, &mut cache);
        match found.map_err(|source| GitError::Object { id, source })? {
            Some((data, _)) => Ok((data.kind, data.data)),
            None => Err(GitError::Missing(id)),
        }
    }

    /// Whether it is there.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.bundle.index.lookup(id).is_some()
    }

    /// The commit that an object is, or is a tag of.
    pub fn commit(&mut self, id: ObjectId) -> Result<Commit, GitError> {
        let (mut id, mut buffer) = (id, Vec::new());
        for _ in 0..MOST_TAGS {
            let (kind, data) = self.read(id, &mut buffer)?;
            match kind {
                Kind::Commit => return Commit::read(id, data),
                Kind::Tag => {
                    let tag = TagRef::from_bytes(data, gix_hash::Kind::Sha1);
                    id = tag
                        .map_err(|source| GitError::Object { id, source })?
                        .target();
                }
                Kind::Tree | Kind::Blob => return Err(GitError::NotACommit(id)),
            }
        }
        Err(GitError::TooMuch("tags of tags of tags"))
    }
}

fn remove(path: &Path) -> Result<(), GitError> {
    std::fs::remove_file(path).map_err(|source| GitError::File {
        action: "remove",
        path: path.to_owned(),
        source,
    })
}

/// Keeps the error that reading ended with, which the unpacking wraps out of sight.
struct Watched<R> {
    inner: R,
    failed: Option<std::io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(to).map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            kind.into()
        })
    }
}
