//! Finding containers, removing them, and what they need of the store.

use std::path::{Path, PathBuf};

use image_format::digest::Digest;
use image_format::layout::{Roots, Store, remove_tree};

use super::record::{Ended, Record};
use super::{ContainerError, Places, entries, io_error, lock};

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It has ended; how is known unless its mkimg was killed.
    Ended(Option<Ended>),
}

/// A container in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What is kept of it.
    pub record: Record,
    /// What it does.
    pub state: State,
    dir: PathBuf,
}

/// All containers of a store, the newest first. One whose record was cut off is not among them.
///
/// # Errors
/// When a directory cannot be read.
pub fn list(store: &Store) -> Result<Vec<Listed>, ContainerError> {
    let places = Places::of(store);
    let mut found = Vec::new();
    for dir in entries(&places.all)?
        .into_iter()
        .chain(entries(&places.ephemeral)?)
    {
        let Ok(record) = Record::read(&dir) else {
            continue;
        };
        let state = match lock(&dir)? {
            // What is left of an ephemeral one goes with the next that is made.
            Some(_) if record.ephemeral => continue,
            Some(_) => State::Ended(Ended::read(&dir)),
            None if dir.exists() => State::Running,
            None => continue,
        };
        found.push(Listed { record, state, dir });
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.record.created));
    Ok(found)
}

/// Finds a container by its name, its ID or the beginning of that.
///
/// # Errors
/// [`ContainerError::NoContainer`] with the nearest name, or [`ContainerError::Ambiguous`].
pub fn find(store: &Store, name: &str) -> Result<Listed, ContainerError> {
    let mut all = list(store)?;
    if let Some(index) = all
        .iter()
        .position(|found| found.record.name.as_str() == name)
    {
        return Ok(all.swap_remove(index));
    }
    let names: Vec<String> = all
        .iter()
        .map(|found| found.record.name.to_string())
        .collect();
    all.retain(|found| !name.is_empty() && found.record.id.starts_with(name));
    match (all.pop(), all.is_empty()) {
        (Some(found), true) => Ok(found),
        (Some(_), false) => Err(ContainerError::Ambiguous(name.into())),
        (None, _) => Err(ContainerError::NoContainer {
            name: name.into(),
            nearest: image_format::nearest::nearest(name, names),
        }),
    }
}

/// Removes a container that has ended, and all that it wrote.
///
/// # Errors
/// When there is none of that name, it runs, or not all can be removed.
pub fn remove(store: &Store, name: &str) -> Result<Record, ContainerError> {
    let found = match find(store, name) {
        Err(ContainerError::NoContainer { .. }) if super::name::is_id(name) => {
            return remove_remains(store, name);
        }
        found => found?,
    };
    match lock(&found.dir)? {
        Some(_lock) => {
            Places::of(store).remove(&found.record, &found.dir)?;
            Ok(found.record)
        }
        None => Err(ContainerError::Running {
            name: found.record.name,
        }),
    }
}

/// Removes what has an ID and no sound record.
fn remove_remains(store: &Store, id: &str) -> Result<Record, ContainerError> {
    let none = || ContainerError::NoContainer {
        name: id.into(),
        nearest: None,
    };
    let dir = Places::of(store).dir(id).ok_or_else(none)?;
    let _lock = lock(&dir)?.ok_or_else(none)?;
    let damage = Record::read(&dir);
    remove_tree(&dir).map_err(io_error("remove", &dir))?;
    damage
}

/// What the containers need of the store: layers that are mounted while they run, and of those that
/// have ended what their files stand on.
///
/// # Errors
/// When a record cannot be read, for what it names would be lost.
pub fn roots(store: &Store) -> Result<Roots, ContainerError> {
    let mut roots = Roots::default();
    for record in records(store)? {
        roots.blobs.extend(record.blobs);
        roots.stacks.push(record.stack);
    }
    Ok(roots)
}

/// The names of the containers that were made from the image with this ID.
///
/// # Errors
/// As [`roots`].
pub fn used_by(store: &Store, image: Digest) -> Result<Vec<String>, ContainerError> {
    let records = records(store)?.into_iter();
    Ok(records
        .filter(|record| record.image == image)
        .map(|record| record.name.to_string())
        .collect())
}

fn records(store: &Store) -> Result<Vec<Record>, ContainerError> {
    let places = Places::of(store);
    let dirs = entries(&places.all)?
        .into_iter()
        .chain(entries(&places.ephemeral)?);
    dirs.filter_map(|dir| needed(&dir).transpose()).collect()
}

/// The record of a container that may still need something: not of one whose making was cut off.
fn needed(dir: &Path) -> Result<Option<Record>, ContainerError> {
    match Record::read(dir) {
        Ok(record) if record.ephemeral && lock(dir)?.is_some() => Ok(None),
        Ok(record) => Ok(Some(record)),
        Err(_) if lock(dir)?.is_some() || !dir.exists() => Ok(None),
        Err(error) => Err(error),
    }
}
