//! Caches that machines share: what one has built, no other builds again.
//!
//! ```text
//! --cache-from   Import   reads the records of a place once, when the store first lacks a step
//! --cache-to     Export   puts what a build did, or found, to a place, when all else is done
//!                Place    where a cache lies: a directory here, a registry elsewhere
//! ```
//!
//! **What lies there** is an ordinary OCI artifact: a manifest whose layers are the very blobs of the images, so
//! that a registry which has the image has the cache's layers too. The records are in the manifest itself, in
//! one annotation ([`document`]): whoever has fetched it has them all, a thousand of them with one request.
//! With `type=inline` the manifest is the image's own, and the same annotation is in it.
//!
//! **A record** is a step's key and the layer that the step made, or that it made none. What the key was made of
//! does not travel: the machine that looks a step up knows it, and build arguments and file names concern
//! nobody else.
//!
//! **A layer that comes** is plain tar in the store, as if the step had been done here: the image and its digest
//! are the same with a cache and without. It is taken only if its blob has its digest, its tar the diff ID and the
//! size of the record, and it reads as a layer.
//!
//! **Whom a record is believed from.** A key says what a step depends on, and nobody can tell by it whether a layer
//! is what the step makes: who writes to a cache decides what those who read it get. So
//! - nothing is imported but what the build names, and an import never writes;
//! - the record that is kept here for an imported step says which place it came from, and only a build that
//!   names that place believes it: what was imported for one build is in no other one's way ([`Import::name`]);
//! - an export has a scope, which is part of its name at the place ([`scoped`]) and of what is written in it. A
//!   branch that is not trusted writes to a scope of its own, and reads that of the main branch; the main branch
//!   reads its own alone. That whoever can write to a place cannot write to other scopes there, only the
//!   rights of the place can see to.
//!
//! **What goes wrong** with a cache is told, and the build goes on without: a place that does not answer in time,
//! a document that is foreign, too large, damaged or of another scope, a layer that is not what it should be.

mod directory;
pub mod document;
mod export;
mod import;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::{Layer, Store, StoreError};

use crate::cancel::Cancel;
pub use directory::{Directory, Entry};
pub(crate) use export::inline;
pub use export::{Export, Mode};
pub use import::{Import, ImportError};

/// How long a build waits for a place to give its records, or to take them, where nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// So often it is looked whether to go on waiting.
const TICK: Duration = Duration::from_millis(20);
/// So long something that took too long may take to put away what it had begun.
const GRACE: Duration = Duration::from_millis(500);

/// Where a cache lies. What is read from there is anybody's: who reads it verifies it.
pub trait Place: Send + Sync {
    /// What messages call it, and records that came from there.
    fn name(&self) -> &str;

    /// The manifest there; `None` where there is none yet.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn manifest(&self, cancel: &Cancel) -> Result<Option<Vec<u8>>, PlaceError>;

    /// A blob, not verified.
    ///
    /// # Errors
    /// When it cannot be had.
    fn blob(&self, blob: &Descriptor, cancel: &Cancel) -> Result<Box<dyn Read + Send>, PlaceError>;

    /// Puts layers of the store there, as what blobs ever, and then the manifest that `make` makes of the
    /// blobs' descriptors and the manifest that is there now.
    ///
    /// # Errors
    /// When the place takes them not. What was there is there still.
    fn publish(
        &self,
        store: &Store,
        layers: &[Layer],
        make: &dyn Fn(&[Descriptor], Option<&[u8]>) -> Vec<u8>,
        cancel: &Cancel,
    ) -> Result<(), PlaceError>;
}

/// Why a place cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The build, or what was asked of the place, was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What should be a file is none, or larger than any sound one.
    #[error("{} is no file of an image layout", .0.display())]
    NotAFile(PathBuf),
    /// The directory holds something else.
    #[error("{} is not empty and no image layout", .0.display())]
    NotALayout(PathBuf),
    /// The list of a layout does not read.
    #[error("{} is not valid JSON of its kind", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The store failed, or what was read is not what it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another machine does not answer as it should.
    #[error("{message}")]
    Remote {
        /// What was tried.
        message: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was not done in time.
    #[error("it took longer than {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
}

/// The name of a cache of this scope in place of the name alone. Two scopes have never the same one, and none has
/// that of no scope; it is a tag where the name is one.
#[must_use]
pub fn scoped(name: &str, scope: &str) -> String {
    /// A tag has at most 128 characters.
    const LONGEST: usize = 128;
    if scope.is_empty() {
        return name.to_owned();
    }
    let digest = Digest::of(format!("{name}\0{scope}").as_bytes());
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let mut tag: String = name.chars().chain(['-']).collect();
    tag.extend(scope.chars().map(plain));
    tag.truncate(LONGEST - 17);
    format!("{tag}-{}", &digest.hex()[..16])
}

/// Does something in a thread of its own and waits for it no longer than this. What takes longer is cancelled; what
/// does not hear that is left alone.
fn within<T: Send + 'static>(
    timeout: Duration,
    cancel: &Cancel,
    work: impl FnOnce(&Cancel) -> Result<T, PlaceError> + Send + 'static,
) -> Result<T, PlaceError> {
    let own = cancel.child();
    let (done, wait) = channel();
    let begun = Builder::new().name("cache".into()).spawn({
        let own = own.clone();
        // Nobody waits any more for what comes too late.
        move || drop(done.send(work(&own)))
    });
    begun.map_err(|source| PlaceError::Io {
        action: "start a thread for",
        path: PathBuf::from("the cache"),
        source,
    })?;
    let mut end = Instant::now() + timeout;
    let mut late = false;
    loop {
        match wait.recv_timeout(TICK.min(timeout)) {
            Ok(result) if !late => return result,
            // It panicked, which it has told itself.
            Err(RecvTimeoutError::Disconnected) => return Err(PlaceError::Cancelled),
            Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
            Err(RecvTimeoutError::Timeout) if !late => {
                own.cancel();
                late = true;
                end = Instant::now() + GRACE;
            }
            _ => return Err(PlaceError::Timeout(timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_names_of_their_own() {
        assert_eq!(scoped("cache", ""), "cache");
        let names: Vec<String> = ["feature/x", "feature-x", "feature.x", "Feature/x", "-"]
            .map(|scope| scoped("cache", scope))
            .into();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
            let tagged: image_format::reference::Reference = format!("x:{name}").parse().unwrap();
            assert_eq!(tagged.tag(), Some(name.as_str()));
        }
        assert!(names[0].starts_with("cache-feature-x-"));
        // nothing can be moved from the one to the other
        assert_ne!(scoped("cache-a", "b"), scoped("cache", "a-b"));
        let long = scoped(&"x".repeat(128), &"é".repeat(500));
        assert_eq!(long.len(), 128);
        assert_ne!(long, scoped(&"x".repeat(128), &"é".repeat(501)));
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let (cancel, time) = (Cancel::new(), Duration::from_millis(30));
        assert_eq!(within(time, &cancel, |_| Ok(7)).unwrap(), 7);
        let late = within(time, &cancel, |cancel| {
            while !cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(7)
        });
        assert!(matches!(late, Err(PlaceError::Timeout(_))));
        let (_never, heard) = channel::<()>();
        let deaf = within(time, &cancel, move |_| Ok(heard.recv().is_ok()));
        assert!(matches!(deaf, Err(PlaceError::Timeout(_))));
        assert!(!cancel.is_cancelled());
    }
}
