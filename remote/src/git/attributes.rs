//! What `.gitattributes` say of how files are written: line ends, `$Id$`, encodings. Programs that
//! they name are not run: which ones those are, only a user's own config says.
//!
//! Source: gitattributes(5).

use std::borrow::Cow;

use gix_attributes::Search;
use gix_attributes::search::{MetadataCollection, Outcome};
use gix_filter::Pipeline;
use gix_filter::pipeline::convert::ToWorktreeOutcome;
use gix_filter::pipeline::convert::to_worktree::{Options, UnknownEncoding};
use gix_glob::pattern::Case;
use gix_hash::ObjectId;
use gix_object::bstr::{BStr, ByteSlice};

use super::error::GitError;

/// The name of a file with attributes.
pub const FILE: &[u8] = b".gitattributes";
/// What git itself says of one.
const BUILT_IN: &[u8] = b"[attr]binary -diff -merge -text";

/// The attributes of a directory and those above it.
pub struct Attributes {
    search: Search,
    collection: MetadataCollection,
    pipeline: Pipeline,
    /// How many directories' are there.
    depth: usize,
}

impl Attributes {
    /// Those of a repository without any.
    pub fn new() -> Result<Self, GitError> {
        let mut attributes = Self {
            search: Search::default(),
            collection: MetadataCollection::default(),
            pipeline: Pipeline::new(
                gix_command::Context::default(),
                gix_hash::Kind::Sha1,
                gix_filter::pipeline::Options::default(),
            ),
            depth: 0,
        };
        attributes.push(BUILT_IN, "[built in]", true)?;
        Ok(attributes)
    }

    fn push(&mut self, bytes: &[u8], path: &str, macros: bool) -> Result<(), GitError> {
        self.search
            .add_patterns_buffer(
                bytes,
                path.into(),
                Some("".as_ref()),
                &mut self.collection,
                macros,
            )
            .map_err(GitError::Connection)
    }

    /// Enters a directory, whose file with attributes has this content; `path` is the file's.
    pub fn enter(&mut self, bytes: &[u8], path: &str) -> Result<(), GitError> {
        self.push(bytes, path, self.depth == 0)?;
        self.depth += 1;
        Ok(())
    }

    /// Leaves the directory that was entered last.
    pub fn leave(&mut self) {
        self.search.pop_pattern_list();
        self.depth -= 1;
    }

    /// What is written for the content of a file, by the name of its object.
    pub fn convert<'a>(
        &mut self,
        path: &[u8],
        id: &ObjectId,
        content: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, GitError> {
        let (search, collection) = (&self.search, &self.collection);
        let mut find = |path: &BStr, out: &mut Outcome| {
            out.initialize(collection);
            search.pattern_matching_relative_path(path, Case::Sensitive, Some(false), out);
        };
        let options = Options {
            // As git does, which then warns.
            unknown_encoding: UnknownEncoding::Ignore,
            ..Options::default()
        };
        let converted = self
            .pipeline
            .convert_to_worktree(content, path.into(), &mut find, options);
        let converted = converted.map_err(|source| GitError::Convert {
            path: String::from_utf8_lossy(path).into_owned(),
            source,
        })?;
        Ok(match converted {
            ToWorktreeOutcome::Unchanged(_) => Cow::Borrowed(content),
            ToWorktreeOutcome::Buffer(bytes) => Cow::Owned(spaced(bytes, id)),
            // No program is there to be asked.
            ToWorktreeOutcome::Process(_) => Cow::Borrowed(content),
        })
    }
}

/// git writes a space behind the name in `$Id: … $`, and the library none. No content holds its own
/// name, so that this is nothing else.
fn spaced(bytes: &[u8], id: &ObjectId) -> Vec<u8> {
    bytes.replace(format!("$Id: {id}$"), format!("$Id: {id} $"))
}
