//! Git repositories: one commit's files, fetched without their history.
//!
//! A commit that was checked out is kept, and is not fetched again; what a branch or tag names is asked
//! each time. Submodules come along, as BuildKit has it.

mod address;
mod attributes;
mod connection;
mod error;
pub mod head;
pub mod login;
mod modules;
mod objects;
mod packet;
mod reference;
mod repository;
mod session;
mod worktree;

use std::fs;
use std::path::{Path, PathBuf};

use builder::cancel::Cancel;
use builder::remote::{Checkout, GitSource};
use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use image_format::digest::Digest;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::kept::{Kept, Kind};
use address::Address;
use connection::{Connection, daemon::Daemon, http::Http, ssh::Ssh};
pub use error::GitError;
use login::Logins;
use objects::{Commit, Objects};
use reference::Reference;
use session::Session;
use worktree::{Entry, to_os};

/// The deepest submodule of submodules.
const DEEPEST: usize = 8;
/// The most submodules of one repository, and of theirs.
const MOST_MODULES: usize = 1000;
/// As often in a row a pack that breaks off is asked for.
const MOST_ATTEMPTS: usize = 3;

/// A repository that was checked out, and when its commit was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// The checkout.
    pub checkout: Checkout,
    /// When the commit was made, in seconds since 1970: what `SOURCE_DATE_EPOCH=context` takes.
    pub seconds: i64,
}

/// What is kept beside a checkout.
#[derive(Serialize, Deserialize)]
struct About {
    commit: String,
    seconds: i64,
}

/// The name of the checkout, and of what is said of it, in the directory that is kept.
const TREE: &str = "tree";
const ABOUT: &str = "about.json";

/// Checks out a repository; see [`builder::remote::Remote::git`].
///
/// # Errors
/// When it cannot be had or kept, or has no such reference or directory.
pub fn check_out(
    client: &Client,
    kept: &Kept,
    logins: &Logins,
    source: &GitSource,
    cancel: &Cancel,
) -> Result<Dated, GitError> {
    let address = Address::parse(&source.url)?;
    let known = |commit: &ObjectId| find(kept, source, commit);
    // A commit is the same for ever: nobody need be asked.
    let wanted = source.reference.as_deref().and_then(reference::full_id);
    if let Some(found) = wanted.map(|commit| known(&commit)).transpose()?.flatten() {
        return found.within(source.directory.as_deref());
    }
    let found = client.with(|runtime, http| {
        let mut way = Way {
            runtime,
            http,
            kept,
            logins,
            named: match &address {
                Address::Http(url) => Some(url),
                _ => None,
            },
            cancel,
            keeps_git_dir: source.keep_git_dir,
            takes_modules: source.submodules,
            modules: 0,
        };
        let mut session = way.open(&address)?;
        let reference = match wanted {
            Some(_) => None,
            None => Some(resolve(&mut session, source.reference.as_deref())?),
        };
        if let Some(reference) = &reference
            && let Some(found) = known(&reference.commit())?
        {
            return Ok(found);
        }
        let dir = kept.store().tmp_dir()?;
        let tree = dir.path().join(TREE);
        make_dir(&tree)?;
        let goal = match (&reference, wanted) {
            (Some(reference), _) => Goal::Reference(reference),
            (None, Some(commit)) => Goal::Commit(commit),
            (None, None) => return Err(GitError::Empty),
        };
        let commit = way.fetch(&source.url, Some(session), goal, &tree, 0)?;
        let about = About {
            commit: commit.id.to_string(),
            seconds: commit.seconds,
        };
        let path = dir.path().join(ABOUT);
        fs::write(&path, serde_json::to_vec(&about).unwrap_or_default())
            .map_err(failed("write", &path))?;
        let path = kept.keep(Kind::Checkouts, &key(source, &commit.id), dir.path())?;
        Ok(Found { path, about })
    })??;
    found.within(source.directory.as_deref())
}

/// What a kept checkout is called. The address belongs to it, for submodules may be named relative to it.
fn key(source: &GitSource, commit: &ObjectId) -> String {
    // Its tag is in `.git`.
    let reference = source.reference.as_deref().filter(|_| source.keep_git_dir);
    let text = format!(
        "{}\0{commit}\0{}\0{}\0{}",
        source.url,
        source.keep_git_dir,
        source.submodules,
        reference.unwrap_or_default()
    );
    Digest::of(text.as_bytes()).hex()
}

/// A checkout that is kept.
struct Found {
    path: PathBuf,
    about: About,
}

fn find(kept: &Kept, source: &GitSource, commit: &ObjectId) -> Result<Option<Found>, GitError> {
    let Some(path) = kept.hold(Kind::Checkouts, &key(source, commit))? else {
        return Ok(None);
    };
    let file = path.join(ABOUT);
    let bytes = fs::read(&file).map_err(failed("read", &file))?;
    let about =
        serde_json::from_slice(&bytes).map_err(|error| failed("read", &file)(error.into()))?;
    Ok(Some(Found { path, about }))
}

impl Found {
    /// A directory of it, which a link may lead to, if it is inside.
    fn within(self, directory: Option<&str>) -> Result<Dated, GitError> {
        let tree = self.path.join(TREE);
        let path = match directory.map(|directory| directory.trim_start_matches('/')) {
            None | Some("") => tree,
            Some(directory) => {
                let real = |path: &Path| fs::canonicalize(path).ok();
                let found = real(&tree).zip(real(&tree.join(directory)));
                let inside = found.filter(|(tree, path)| path.starts_with(tree) && path.is_dir());
                let none = || GitError::NoDirectory(directory.to_owned());
                inside.ok_or_else(none)?.1
            }
        };
        Ok(Dated {
            checkout: Checkout {
                path,
                commit: self.about.commit,
            },
            seconds: self.about.seconds,
        })
    }
}

/// What to fetch.
#[derive(Clone, Copy)]
enum Goal<'a> {
    Reference(&'a Reference),
    Commit(ObjectId),
}

impl Goal<'_> {
    fn id(self) -> ObjectId {
        match self {
            Self::Reference(reference) => reference.id,
            Self::Commit(id) => id,
        }
    }
}

fn resolve(session: &mut Session<'_>, wanted: Option<&str>) -> Result<Reference, GitError> {
    let candidates = reference::candidates(wanted);
    let prefixes: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let some = session.references(&prefixes)?;
    if let Some(found) = reference::by_name(wanted, &some) {
        return Ok(found.clone());
    }
    let all = session.references(&["HEAD", "refs/heads/", "refs/tags/"])?;
    match wanted {
        // A new repository, or one whose HEAD names a branch that is not there.
        None => Err(GitError::Empty),
        Some(wanted) => reference::by_commit(wanted, &all).cloned(),
    }
}

/// What fetching takes.
struct Way<'a> {
    runtime: &'a Runtime,
    http: &'a reqwest::Client,
    kept: &'a Kept,
    logins: &'a Logins,
    /// The address that the build names, where it is of this kind.
    named: Option<&'a Url>,
    cancel: &'a Cancel,
    keeps_git_dir: bool,
    takes_modules: bool,
    /// The submodules so far.
    modules: usize,
}

impl<'a> Way<'a> {
    fn open(&self, address: &Address) -> Result<Session<'a>, GitError> {
        let connection: Box<dyn Connection + 'a> = match address {
            Address::Http(url) => Box::new(Http {
                runtime: self.runtime,
                client: self.http,
                login: self.logins.header(url, self.is_named(url))?,
                base: url.clone(),
                cancel: self.cancel,
            }),
            Address::Daemon { host, port, path } => {
                let place = (host.as_str(), *port, path.as_str());
                Box::new(Daemon::connect(self.runtime, place, self.cancel)?)
            }
            Address::Ssh { host, port, path } => {
                let place = (host.as_str(), *port, path.as_str());
                let talk = self.kept.store().tmp_file()?.into_file();
                Box::new(Ssh::start(place, talk, self.cancel)?)
            }
        };
        Session::open(connection)
    }

    /// Whether an address is of the server that the build names.
    fn is_named(&self, url: &Url) -> bool {
        self.named
            .is_some_and(|named| named.origin() == url.origin())
    }

    /// Fetches a commit and checks it out, with its submodules.
    fn fetch(
        &mut self,
        url: &str,
        session: Option<Session<'_>>,
        goal: Goal<'_>,
        tree: &Path,
        depth: usize,
    ) -> Result<Commit, GitError> {
        let address = Address::parse(url)?;
        let git_dir = tree.join(".git");
        let packs = git_dir.join("objects/pack");
        make_dir(&packs)?;
        let (mut objects, shallow) = self.objects(&address, session, goal, &packs)?;
        let commit = objects.commit(goal.id())?;
        let written = worktree::write(&mut objects, commit.tree, tree, self.cancel)?;
        match self.keeps_git_dir {
            true => {
                let head = repository::Head {
                    commit: &commit,
                    reference: match goal {
                        Goal::Reference(reference) => Some((&reference.name, reference.id)),
                        Goal::Commit(_) => None,
                    },
                    shallow: &shallow,
                    url: &without_login(url),
                };
                repository::write(&git_dir, &head, &written.entries)?;
            }
            false => {
                image_format::layout::remove_tree(&git_dir).map_err(failed("remove", &git_dir))?;
            }
        }
        if !self.takes_modules {
            return Ok(commit);
        }
        let entry = |path: &[u8]| written.entries.iter().find(|entry| entry.path == path);
        let addresses = match entry(modules::FILE) {
            Some(Entry { id, kind, .. }) if *kind != EntryKind::Link => {
                let mut bytes = Vec::new();
                objects.read(*id, &mut bytes)?;
                modules::addresses(&bytes)?
            }
            _ => Default::default(),
        };
        drop(objects);
        let modules = written.entries.iter();
        for module in modules.filter(|entry| entry.kind == EntryKind::Commit) {
            let path = String::from_utf8_lossy(&module.path).into_owned();
            let Some(from) = addresses.get(&path) else {
                return Err(GitError::NoModule(path));
            };
            self.modules += 1;
            if depth >= DEEPEST || self.modules > MOST_MODULES {
                return Err(GitError::TooMuch(
                    "more than 1,000 submodules, or 8 in each other",
                ));
            }
            let below = tree.join(to_os(&module.path));
            let fetched = address::resolve(url, from)
                .and_then(|url| self.fetch(&url, None, Goal::Commit(module.id), &below, depth + 1));
            fetched.map_err(|error| match error {
                GitError::Cancelled => error,
                error => GitError::Submodule {
                    path,
                    url: crate::client::shown(from),
                    source: Box::new(error),
                },
            })?;
        }
        Ok(commit)
    }

    /// The objects of a commit, and those of them whose parents are left out.
    fn objects(
        &self,
        address: &Address,
        mut session: Option<Session<'_>>,
        goal: Goal<'_>,
        packs: &Path,
    ) -> Result<(Objects, Vec<ObjectId>), GitError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut session = match session.take() {
                Some(open) => open,
                None => self.open(address)?,
            };
            match receive(&mut session, &[goal.id()], false, packs) {
                // Not every server lets have a commit that no reference names.
                Err(GitError::Remote(_)) if matches!(goal, Goal::Commit(_)) => {
                    drop(session);
                    return self.with_history(address, goal.id(), packs);
                }
                // A connection that breaks once may not the next time.
                Err(
                    GitError::Connection(_) | GitError::Http(crate::http::HttpError::Connection(_)),
                ) if attempts < MOST_ATTEMPTS => {}
                received => return received,
            }
        }
    }

    /// The same, by all that the repository's branches and tags lead to.
    fn with_history(
        &self,
        address: &Address,
        commit: ObjectId,
        packs: &Path,
    ) -> Result<(Objects, Vec<ObjectId>), GitError> {
        let mut session = self.open(address)?;
        let all = session.references(&["refs/heads/", "refs/tags/"])?;
        let mut wanted: Vec<ObjectId> = all.iter().map(|reference| reference.id).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Err(GitError::Empty);
        }
        let received = receive(&mut session, &wanted, true, packs)?;
        match received.0.has(&commit) {
            true => Ok(received),
            false => Err(GitError::Missing(commit)),
        }
    }
}

fn receive(
    session: &mut Session<'_>,
    wanted: &[ObjectId],
    history: bool,
    packs: &Path,
) -> Result<(Objects, Vec<ObjectId>), GitError> {
    let pack = session.fetch(wanted, history)?;
    Ok((Objects::receive(pack.bytes, packs)?, pack.shallow))
}

/// What may stand in a checkout's config.
fn without_login(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if matches!(parsed.scheme(), "http" | "https") => {
            // One of this scheme can have both.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

fn make_dir(path: &Path) -> Result<(), GitError> {
    fs::create_dir_all(path).map_err(failed("make", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> GitError + use<> {
    let path = path.to_owned();
    move |source| GitError::File {
        action,
        path,
        source,
    }
}
