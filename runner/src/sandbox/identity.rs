//! Who the payload is: a user of the root file system's own files, by docker's rules.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::failure::{During, Failure, Step};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The most that is read of either file, in bytes; a machine with ten thousand users has one.
const LIMIT: u64 = 4 << 20;

/// The largest id that docker takes.
const LARGEST: u32 = i32::MAX as u32;

/// A user, their groups and their home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the group itself among them.
    pub groups: Vec<u32>,
    pub home: String,
}

impl Identity {
    /// Looks `user` up in the files of the root, which must be this process's root already.
    pub fn look_up(user: &str) -> Result<Self, Failure> {
        Self::find(user, &read(PASSWD)?, || read(GROUP))
    }

    /// `name|uid[:group|gid]`. A number need not be in the files; a user's own group and
    /// supplementary groups count only where no group is named.
    fn find(
        user: &str,
        passwd: &str,
        group: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<Self, Failure> {
        let (user, wanted_group) = match user.split_once(':') {
            Some((user, group)) => (user, group),
            None => (user, ""),
        };
        let number = if user.is_empty() { Some(0) } else { id(user) };
        let entry = passwd
            .lines()
            .filter_map(User::parse)
            .find(|entry| number.map_or(entry.name == user, |number| entry.uid == number));
        let mut identity = match (&entry, number) {
            (Some(entry), _) => Self {
                uid: entry.uid,
                gid: entry.gid,
                groups: Vec::new(),
                home: entry.home.to_owned(),
            },
            (None, Some(uid)) => Self {
                uid,
                gid: 0,
                groups: Vec::new(),
                home: String::new(),
            },
            (None, None) => return Err(Failure::UnknownUser { name: user.into() }),
        };
        if identity.home.is_empty() {
            identity.home = "/".into();
        }
        if !wanted_group.is_empty() {
            let number = id(wanted_group);
            let group = group()?;
            let found = group.lines().filter_map(Group::parse).find(|entry| {
                number.map_or(entry.name == wanted_group, |number| entry.gid == number)
            });
            identity.gid =
                found
                    .map(|entry| entry.gid)
                    .or(number)
                    .ok_or_else(|| Failure::UnknownGroup {
                        name: wanted_group.into(),
                    })?;
        } else if let Some(entry) = &entry {
            let group = group()?;
            let groups = group.lines().filter_map(Group::parse);
            identity.groups = groups
                .filter(|group| group.members.split(',').any(|member| member == entry.name))
                .map(|group| group.gid)
                .collect();
        }
        // Left out, a file that denies its own group something would not deny it to this user.
        identity.groups.insert(0, identity.gid);
        identity.groups.dedup();
        Ok(identity)
    }
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= LARGEST)
}

/// A line of passwd(5).
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some(Self {
            name,
            uid: id(fields.nth(1)?)?,
            gid: id(fields.next()?)?,
            home: fields.nth(1).unwrap_or_default(),
        })
    }
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some(Self {
            name,
            gid: id(fields.nth(1)?)?,
            members: fields.next().unwrap_or_default(),
        })
    }
}

/// The text of an ordinary file; one that is missing is empty. What is not UTF-8 is kept from
/// matching anything, and nothing else is.
fn read(path: &'static str) -> Result<String, Failure> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        opened => opened.during_at(Step::UserFiles, path)?,
    };
    let status = rustix::fs::fstat(&file).during_at(Step::UserFiles, path)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL).during_at(Step::UserFiles, path);
    }
    if status.st_size == 0 {
        // Or a file of the kernel, to which a link of the image may lead: reading `/proc/kmsg` would
        // take the machine's messages from who waits for them.
        return Ok(String::new());
    }
    let mut text = Vec::new();
    File::from(file)
        .take(LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .during_at(Step::UserFiles, path)?;
    if text.len() as u64 > LIMIT {
        return Err(Failure::OversizedFile {
            path: Path::new(path).into(),
            limit: LIMIT,
        });
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# no line\nann:x:1000:100::/home/ann:\n\
                          lost:x:7:7\nbad:x:y:z::/:\n1234:x:55:55::/numeric:\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nwheel:x:10:root,ann\naudio:x:63:ann\n";

    fn find(user: &str) -> Result<Identity, Failure> {
        Identity::find(user, PASSWD, || Ok(GROUP.into()))
    }

    fn is(uid: u32, gid: u32, groups: &[u32], home: &str) -> Result<Identity, Failure> {
        Ok(Identity {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.into(),
        })
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        assert_eq!(find(""), is(0, 0, &[0, 10], "/root"));
        assert_eq!(find("ann"), is(1000, 100, &[100, 10, 63], "/home/ann"));
        assert_eq!(find("1000"), is(1000, 100, &[100, 10, 63], "/home/ann"));
        assert_eq!(find("4711"), is(4711, 0, &[0], "/"));
        assert_eq!(find("lost"), is(7, 7, &[7], "/"));
        // A number is an id, whoever may be called so.
        assert_eq!(find("1234"), is(1234, 0, &[0], "/"));
    }

    #[test]
    fn a_named_group_is_the_only_one() {
        assert_eq!(find("ann:wheel"), is(1000, 10, &[10], "/home/ann"));
        assert_eq!(find("ann:63"), is(1000, 63, &[63], "/home/ann"));
        assert_eq!(find("5:4711"), is(5, 4711, &[4711], "/"));
        assert_eq!(find(":audio"), is(0, 63, &[63], "/root"));
        assert_eq!(find("ann:"), find("ann"));
    }

    #[test]
    fn strangers_and_impossible_numbers_are_refused() {
        for name in ["bob", "bad", "-1", "2147483648", "4294967295"] {
            let error = Failure::UnknownUser { name: name.into() };
            assert_eq!(find(name), Err(error));
        }
        let error = Failure::UnknownGroup { name: "bob".into() };
        assert_eq!(find("ann:bob"), Err(error));
    }

    #[test]
    fn without_files_there_is_root_and_there_are_numbers() {
        let none = |user| Identity::find(user, "", || Ok(String::new()));
        assert_eq!(none(""), is(0, 0, &[0], "/"));
        assert_eq!(none("7:8"), is(7, 8, &[8], "/"));
        assert!(none("root").is_err());
    }
}
