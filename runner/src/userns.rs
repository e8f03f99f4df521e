//! The user namespace that mkimg works in when it is not root: user_namespaces(7).
//!
//! A child makes the namespace and holds it while newuidmap(1) and newgidmap(1) map the user's
//! subordinate ids into it; only then does this process enter, so that a failure leaves it as it
//! was. With the user namespace comes a mount namespace that belongs to it, in which nothing is
//! mounted: owning one is what allows [`crate::reexec`] its read-only clone.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Pid, PidfdFlags, Uid, WaitOptions};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use crate::subid::{self, Range, SubidError};
use crate::sys::{self, Fork};

/// What this process stands on, from the top of the privilege ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    /// Root of the machine, or of a namespace somebody else made.
    Root,
    /// Root of a user namespace of its own with a subordinate range of ids.
    Subordinate,
}

/// Why there is no user namespace to work in.
#[derive(Debug, thiserror::Error)]
pub enum UsernsError {
    /// The user has no subordinate ids.
    #[error("the user {user} has no subordinate ids in /etc/subuid and /etc/subgid")]
    NoRange {
        /// The user's name, or number where it has none.
        user: String,
    },
    /// The subordinate ids cannot be read.
    #[error(transparent)]
    Subid(#[from] SubidError),
    /// The kernel makes no user namespace for this user.
    #[error("no user namespace can be made")]
    Refused(#[source] io::Error),
    /// The program that maps ids is not installed.
    #[error("{program} is not installed, and without it subordinate ids cannot be mapped")]
    NoMapper {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
    },
    /// The program that maps ids failed.
    #[error("{program} cannot map the subordinate ids: {message}")]
    Mapper {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
        /// What it said, on one line.
        message: String,
        /// Whether it lacks the set-user-ID bit and file capabilities, of which it needs one.
        powerless: bool,
    },
    /// Something else failed on the way.
    #[error("cannot {action}")]
    System {
        /// What was to be done.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl UsernsError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            UsernsError::NoRange { user } => Some(format!(
                "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}, \
                 with a range that nobody else has"
            )),
            UsernsError::NoMapper { .. } => {
                Some("install the package uidmap (Debian) or shadow-utils (Fedora)".into())
            }
            UsernsError::Mapper {
                program, powerless, ..
            } => Some(mapper_hint(program, *powerless)),
            UsernsError::Refused(error) => refusal_hint(Errno::from_io_error(error)?),
            UsernsError::Subid(_) | UsernsError::System { .. } => None,
        }
    }
}

fn mapper_hint(program: &str, powerless: bool) -> String {
    if powerless {
        return format!("as root: chmod u+s \"$(command -v {program})\"");
    }
    if rustix::thread::no_new_privs().unwrap_or(false) {
        return format!(
            "this process has no_new_privs set, so {program} runs without its privileges: start \
             mkimg without it (in a container: allowPrivilegeEscalation: true)"
        );
    }
    "see that the user's ranges in /etc/subuid and /etc/subgid are within the ids that exist \
     here, and overlap nobody else's"
        .into()
}

/// The remedy by errno, with the sysctl that stands in the way and its value where there is one.
fn refusal_hint(errno: Errno) -> Option<String> {
    let sysctl = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let value = std::fs::read_to_string(path).ok()?;
        Some(value.trim().to_owned())
    };
    let set = |name: &str, value: &str, to: &str| {
        format!("the sysctl {name} is {value}; as root: sysctl -w {name}={to}")
    };
    Some(match errno {
        Errno::PERM | Errno::ACCESS => {
            let switches = [
                ("kernel.unprivileged_userns_clone", "0", "1"),
                ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
            ];
            let found = switches
                .iter()
                .find(|(name, off, _)| sysctl(name).as_deref() == Some(*off));
            match found {
                Some((name, off, on)) => set(name, off, on),
                None => {
                    "a security policy forbids it, such as the seccomp filter of the container \
                         that mkimg runs in (docker: --security-opt seccomp=unconfined)"
                        .into()
                }
            }
        }
        Errno::NOSPC => {
            let (name, usual) = ("user.max_user_namespaces", 15_000);
            match sysctl(name) {
                Some(value) if value.parse::<u64>().is_ok_and(|limit| limit < usual) => {
                    set(name, &value, &usual.to_string())
                }
                // A namespace around this one has a limit of its own, which cannot be seen here.
                _ => format!(
                    "the limit {name} is reached, here or in the namespace or container that mkimg \
                     runs in: raise it there (bubblewrap: without --disable-userns)"
                ),
            }
        }
        Errno::USERS => "user namespaces are nested too deeply here, or the limit \
                         user.max_user_namespaces is reached"
            .into(),
        Errno::INVAL | Errno::NOSYS => {
            "this kernel was built without user namespaces (CONFIG_USER_NS)".into()
        }
        _ => return None,
    })
}

/// Becomes root: of a new user namespace, unless it is root already. In this very process, so
/// there must not have been any thread yet.
///
/// # Errors
/// When no namespace can be made; the process is as it was then.
pub fn enter() -> Result<Rung, UsernsError> {
    if rustix::process::geteuid().is_root() {
        return Ok(Rung::Root);
    }
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let name = user_name(uid);
    let name = name.as_deref();
    let uids = subid::ranges(Path::new("/etc/subuid"), name, uid.as_raw())?;
    let gids = subid::ranges(Path::new("/etc/subgid"), name, uid.as_raw())?;
    if uids.is_empty() || gids.is_empty() {
        let user = name.map_or_else(|| uid.to_string(), str::to_owned);
        return Err(UsernsError::NoRange { user });
    }

    let holder = Holder::start()?;
    // Both at once: starting a program takes longer than what they do.
    let users = Mapper::start("newuidmap", holder.pid, uid.as_raw(), &uids)?;
    let groups = Mapper::start("newgidmap", holder.pid, gid.as_raw(), &gids)?;
    users.finish()?;
    groups.finish()?;
    holder.enter()?;
    become_root()?;
    Ok(Rung::Subordinate)
}

/// The name by `/etc/passwd`, else `$USER`: newuidmap checks for itself whose ranges these are.
fn user_name(uid: Uid) -> Option<String> {
    let id = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&id)).then(|| name.to_owned())
    });
    entry.or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()))
}

fn system(action: &'static str) -> impl Fn(io::Error) -> UsernsError {
    move |source| UsernsError::System { action, source }
}

/// A child that made the namespaces and keeps them until it is dropped.
struct Holder {
    pid: Pid,
    release: Option<io::PipeWriter>,
}

impl Holder {
    fn start() -> Result<Self, UsernsError> {
        let pipe = system("make a pipe");
        let (mut outcome, report) = io::pipe().map_err(&pipe)?;
        let (hold, release) = io::pipe().map_err(&pipe)?;
        let pid = match sys::fork().map_err(|errno| system("make a process")(errno.into()))? {
            Fork::Child => {
                drop(release);
                hold_namespaces(report, hold)
            }
            Fork::Parent(pid) => pid,
        };
        drop(report);
        let holder = Self {
            pid,
            release: Some(release),
        };
        let mut errno = [0; 4];
        outcome
            .read_exact(&mut errno)
            .map_err(system("make a user namespace"))?;
        match i32::from_ne_bytes(errno) {
            0 => Ok(holder),
            errno => Err(UsernsError::Refused(io::Error::from_raw_os_error(errno))),
        }
    }

    fn enter(&self) -> Result<(), UsernsError> {
        rustix::process::pidfd_open(self.pid, PidfdFlags::empty())
            .and_then(|pidfd| {
                rustix::thread::move_into_thread_name_spaces(
                    pidfd.as_fd(),
                    ThreadNameSpaceType::USER,
                )
            })
            // A mount namespace of its own making, as entering the child's would change the
            // working directory.
            .and_then(|()| sys::unshare(UnshareFlags::NEWNS))
            .map_err(|errno| system("enter the user namespace")(errno.into()))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.release.take());
        // Only for a child that is not ours could it fail.
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// The child: says how it went, and stays until the parent lets go or is gone.
fn hold_namespaces(mut report: io::PipeWriter, mut hold: io::PipeReader) -> ! {
    // The second shows whether the first gave any power: AppArmor can let one be made that has none.
    let made = sys::unshare(UnshareFlags::NEWUSER).and_then(|()| sys::unshare(UnshareFlags::NEWNS));
    let errno = made.err().map_or(0, Errno::raw_os_error);
    if report.write_all(&errno.to_ne_bytes()).is_ok() {
        let _ = hold.read(&mut [0]);
    }
    sys::exit(0)
}

/// One of the two programs, running.
struct Mapper {
    program: &'static str,
    child: std::process::Child,
}

impl Mapper {
    /// Maps 0 to `own`, and from 1 on the subordinate ranges.
    fn start(
        program: &'static str,
        pid: Pid,
        own: u32,
        ranges: &[Range],
    ) -> Result<Self, UsernsError> {
        let mut command = Command::new(program);
        command.arg(pid.to_string());
        let mut inside = 0u32;
        for range in std::iter::once(&Range {
            first: own,
            count: 1,
        })
        .chain(ranges)
        {
            // What lies beyond the ids that exist is of no use.
            let count = range.count.min(u32::MAX - inside);
            if count == 0 {
                break;
            }
            for number in [inside, range.first, count] {
                command.arg(number.to_string());
            }
            inside += count;
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => UsernsError::NoMapper { program },
                _ => system("run the program that maps subordinate ids")(error),
            })?;
        Ok(Self { program, child })
    }

    fn finish(self) -> Result<(), UsernsError> {
        let output = self
            .child
            .wait_with_output()
            .map_err(system("wait for the program that maps subordinate ids"))?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        Err(UsernsError::Mapper {
            program: self.program,
            message: message.trim().replace('\n', "; "),
            powerless: found(self.program).is_some_and(|path| powerless(&path)),
        })
    }
}

/// Where `$PATH` has the program.
fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

fn powerless(program: &Path) -> bool {
    let set_user_id = std::fs::metadata(program)
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o4000 != 0);
    let mut value = [0u8; 64];
    !set_user_id && rustix::fs::getxattr(program, "security.capability", &mut value).is_err()
}

/// Root with no other group, whose `/proc/self` is its own: entering a namespace took it away.
fn become_root() -> Result<(), UsernsError> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_res_gid(gid, gid, gid))
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
        .and_then(|()| rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable))
        .map_err(|errno| system("become root of the user namespace")(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_remedy() {
        for errno in [
            Errno::PERM,
            Errno::NOSPC,
            Errno::USERS,
            Errno::INVAL,
            Errno::NOSYS,
        ] {
            let error = UsernsError::Refused(errno.into());
            assert!(error.hint().is_some(), "{errno}");
        }
        let limit = UsernsError::Refused(Errno::NOSPC.into()).hint().unwrap();
        assert!(limit.contains("user.max_user_namespaces"), "{limit}");
    }

    #[test]
    fn a_mapper_without_privileges_is_told_from_one_that_refuses() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("newuidmap");
        std::fs::write(&program, "").unwrap();
        assert!(powerless(&program));
        let mode = std::fs::Permissions::from_mode(0o4755);
        std::fs::set_permissions(&program, mode).unwrap();
        assert!(!powerless(&program));
    }

    #[test]
    fn names_come_from_the_user_file() {
        assert_eq!(user_name(Uid::ROOT).as_deref(), Some("root"));
    }
}
