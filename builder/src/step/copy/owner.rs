//! Names of users and groups to numbers, by the files of the image.

use image_format::nearest::nearest;

use crate::dockerfile::Span;
use crate::dockerfile::ownership::{Account, Owner};

use super::CopyError;
use super::resolve::resolve;
use super::rootfs::Rootfs;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// The most bytes of either that are read.
const LARGEST: u64 = 16 << 20;

/// The numbers of an owner in a root file system. A number needs no file; without a group, a named
/// user has its own, and a number the same number.
///
/// # Errors
/// When a name is not there. (Docker takes root then, and says nothing.)
pub(super) fn numbers(rootfs: &Rootfs, owner: &Owner, span: Span) -> Result<(u32, u32), CopyError> {
    let (uid, own_group) = match &owner.user {
        Account::Id(id) => (*id, *id),
        // Known without a file, as in an empty image.
        Account::Name(name) if name == "root" => (0, 0),
        Account::Name(name) => {
            let lines = lines(rootfs, PASSWD)?;
            find(&lines, name)
                .and_then(|fields| {
                    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
                })
                .ok_or_else(|| unknown("user", name, PASSWD, &lines, span))?
        }
    };
    let gid = match &owner.group {
        None => own_group,
        Some(Account::Id(id)) => *id,
        Some(Account::Name(name)) => {
            let lines = lines(rootfs, GROUP)?;
            match find(&lines, name).and_then(|fields| fields.get(2)?.parse().ok()) {
                Some(id) => id,
                None if name == "root" => 0,
                None => return Err(unknown("group", name, GROUP, &lines, span)),
            }
        }
    };
    Ok((uid, gid))
}

/// The numbers of a `USER` to whom a working directory is to belong: what is not known is root's, for
/// docker says of a user that is not there only where something has to run as that.
pub(super) fn numbers_or_root(rootfs: &Rootfs, user: &str) -> Result<(u32, u32), CopyError> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let (uid, own_group) = match number(user) {
        Some(id) => (id, id),
        None => find(&lines(rootfs, PASSWD)?, user)
            .and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
            .unwrap_or((0, 0)),
    };
    let gid = match group.map(|group| (group, number(group))) {
        None => own_group,
        Some((_, Some(id))) => id,
        Some((group, None)) => find(&lines(rootfs, GROUP)?, group)
            .and_then(|fields| fields.get(2)?.parse().ok())
            .unwrap_or(own_group),
    };
    Ok((uid, gid))
}

/// The number of an account in a `USER`, where it needs no file.
fn number(account: &str) -> Option<u32> {
    match account {
        "" | "root" => Some(0),
        _ => account.parse().ok(),
    }
}

fn find<'a>(lines: &'a str, name: &str) -> Option<Vec<&'a str>> {
    lines
        .lines()
        .map(|line| line.split(':').map(str::trim).collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))
}

fn unknown(
    what: &'static str,
    name: &str,
    file: &'static str,
    lines: &str,
    span: Span,
) -> CopyError {
    let names = lines
        .lines()
        .filter_map(|line| line.split_once(':').map(|(name, _)| name));
    CopyError::NoAccount {
        what,
        name: name.to_owned(),
        file,
        nearest: nearest(name, names),
        linked: false,
        span,
    }
}

/// The text of a file of the image; empty where it is none.
fn lines(rootfs: &Rootfs, path: &str) -> Result<String, CopyError> {
    let Ok(path) = resolve(path.as_bytes(), |path| rootfs.seen(path)) else {
        return Ok(String::new());
    };
    let Some(place) = rootfs.file(&path) else {
        return Ok(String::new());
    };
    let mut reader = rootfs.reader();
    let bytes = reader.open(place)?.read_all(LARGEST)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
