//! The payload: from init's fork to the program that was asked for.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Pid, PidfdFlags, Uid};
use rustix::thread::CapabilitySet;

use super::failure::{During, Failure, Step};
use super::identity::Identity;
use super::limits;
use super::privileges::{self, DOCKER_CAPABILITIES};
use super::program::Program;
use super::spec::{SandboxSpec, Stdio, Stream};
use super::target::{Kind, Targets};
use crate::sys::{self, Fork};

/// What ids this user namespace has.
const UIDS: &str = "/proc/self/uid_map";
const GIDS: &str = "/proc/self/gid_map";

/// A payload that runs.
pub(super) struct Payload {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// What its standard streams will be.
pub(super) enum Streams {
    /// A terminal, which becomes its controlling one too.
    Terminal(OwnedFd),
    /// Input, output, error.
    Separate(Vec<OwnedFd>),
}

impl Streams {
    /// Takes the pipes in their order, and `null` in place of a stream that has none.
    pub fn separate(stdio: Stdio, pipes: Vec<OwnedFd>, null: OwnedFd) -> Result<Self, Failure> {
        let mut pipes = pipes.into_iter();
        let streams = [stdio.stdin, stdio.stdout, stdio.stderr].map(|stream| match stream {
            Stream::Null => rustix::io::fcntl_dupfd_cloexec(&null, 3),
            Stream::Pipe => pipes.next().ok_or(Errno::BADF),
        });
        let streams = streams.into_iter().collect::<rustix::io::Result<_>>();
        streams.map(Self::Separate).during(Step::Payload)
    }
}

/// Starts the payload in this process's root; its program is running when this returns.
pub(super) fn start(
    spec: &SandboxSpec,
    streams: &Streams,
    filter: &[u8],
) -> Result<Payload, Failure> {
    let identity = Identity::look_up(&spec.user)?;
    let program = Program::new(spec, &identity.home)?;
    let directory = working_directory(&spec.cwd, spec.create_cwd)?;
    let capabilities = capabilities(spec)?;
    own_streams(spec, streams, &identity)?;

    let pipe = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let (mut outcome, report) = io::pipe().map_err(pipe).during(Step::Fork)?;
    // From here on nothing in the sandbox can look into this process, whoever it is root to.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).during(Step::Fork)?;
    let pid = match sys::fork().during(Step::Fork)? {
        Fork::Child => {
            let become_it = || {
                prepare(streams, directory.as_fd())?;
                limits::set(&spec.limits)?;
                drop_privileges(spec, &identity, capabilities, filter)?;
                Err(program.execute())
            };
            fail(report, become_it())
        }
        Fork::Parent(pid) => pid,
    };
    drop(report);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).during(Step::Fork)?;
    // Its end of the pipe closes when the program takes over.
    let mut failure = Vec::new();
    outcome
        .read_to_end(&mut failure)
        .map_err(pipe)
        .during(Step::Fork)?;
    if failure.is_empty() {
        return Ok(Payload { pid, pidfd });
    }
    Err(
        serde_json::from_slice(&failure).unwrap_or_else(|error| Failure::Specification {
            reason: error.to_string(),
        }),
    )
}

fn fail(mut report: io::PipeWriter, outcome: Result<(), Failure>) -> ! {
    if let Err(failure) = outcome {
        let words = serde_json::to_vec(&failure).unwrap_or_default();
        // Init sees a payload that exits, where this does not get through.
        let _ = report.write_all(&words);
    }
    sys::exit(125)
}

/// Opens the working directory, making what is missing of it where that is wanted.
fn working_directory(path: &Path, make: bool) -> Result<OwnedFd, Failure> {
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // A magic link could lead to what init still holds open (CVE-2024-21626).
        let resolve = ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)
    };
    let opened = match open() {
        Err(Errno::NOENT) if make => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(c"/", flags, Mode::empty());
            let mut targets = Targets::new(root.during_at(Step::WorkingDirectory, path)?)?;
            return targets.make(path, Kind::Directory);
        }
        opened => opened,
    };
    opened.during_at(Step::WorkingDirectory, path)
}

/// What the payload shall hold of what this process has.
fn capabilities(spec: &SandboxSpec) -> Result<CapabilitySet, Failure> {
    let held = rustix::thread::capabilities(None)
        .during(Step::Capabilities)?
        .permitted;
    let wanted = CapabilitySet::from_bits_retain(privileges::bits(&spec.capabilities));
    let usual = CapabilitySet::from_bits_retain(privileges::bits(DOCKER_CAPABILITIES));
    // The usual ones go as far as they can; one that was asked for must be there.
    if !(held | usual).contains(wanted) {
        return Err(Errno::PERM).during(Step::Capabilities);
    }
    Ok(wanted & held)
}

/// Gives the user the streams that were made for it, so that it can open `/dev/stdout` anew.
fn own_streams(spec: &SandboxSpec, streams: &Streams, identity: &Identity) -> Result<(), Failure> {
    let uid = Uid::from_raw(identity.uid);
    let own = |fd: &OwnedFd| {
        rustix::fs::fchown(fd, Some(uid), None).map_err(|errno| unmapped(errno, identity.uid, UIDS))
    };
    match streams {
        _ if uid.is_root() => Ok(()),
        Streams::Terminal(slave) => own(slave),
        Streams::Separate(streams) => {
            let kinds = [spec.stdio.stdin, spec.stdio.stdout, spec.stdio.stderr];
            let made = streams.iter().zip(kinds);
            made.filter(|(_, kind)| *kind == Stream::Pipe)
                .try_for_each(|(fd, _)| own(fd))
        }
    }
}

/// Session, streams, descriptors, signals, directory.
fn prepare(streams: &Streams, directory: BorrowedFd<'_>) -> Result<(), Failure> {
    rustix::process::setsid().during(Step::Payload)?;
    let [stdin, stdout, stderr] = match streams {
        Streams::Terminal(slave) => {
            rustix::process::ioctl_tiocsctty(slave).during(Step::Terminal)?;
            [slave, slave, slave]
        }
        Streams::Separate(streams) => match streams.as_slice() {
            [stdin, stdout, stderr] => [stdin, stdout, stderr],
            _ => return Err(Errno::BADF).during(Step::Payload),
        },
    };
    rustix::stdio::dup2_stdin(stdin).during(Step::Payload)?;
    rustix::stdio::dup2_stdout(stdout).during(Step::Payload)?;
    rustix::stdio::dup2_stderr(stderr).during(Step::Payload)?;
    rustix::process::fchdir(directory).during(Step::WorkingDirectory)?;
    sys::close_on_exec_from(3).during(Step::Payload)?;
    sys::reset_signals();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// In the order that each step needs: a capability can be taken from the bounding set only with
/// `CAP_SETPCAP`, the user changed only with `CAP_SETUID`, and a filter loaded only with
/// `CAP_SYS_ADMIN` unless `no_new_privs` is set; so what goes last is all capabilities.
fn drop_privileges(
    spec: &SandboxSpec,
    identity: &Identity,
    capabilities: CapabilitySet,
    filter: &[u8],
) -> Result<(), Failure> {
    match sys::join_session_keyring() {
        // A kernel without keyrings.
        Err(Errno::NOSYS) => {}
        // No key call gets through the filter: this would only have been a second wall.
        Err(_) if spec.seccomp => {}
        joined => joined.during(Step::Keyring)?,
    }
    if spec.no_new_privs {
        rustix::thread::set_no_new_privs(true).during(Step::Capabilities)?;
    }
    if spec.scoped {
        match sys::leave_abstract_sockets() {
            // A kernel without Landlock, one where it is off, and one that knows no scopes.
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::TOOBIG) => {}
            left => left.during(Step::Capabilities)?,
        }
    }
    bound(capabilities).during(Step::Capabilities)?;

    rustix::thread::set_keep_capabilities(true).during(Step::Identity)?;
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|id| Gid::from_raw(*id))
        .collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_groups(&groups).map_err(|errno| group_failure(errno, identity))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(|errno| group_failure(errno, identity))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .map_err(|errno| unmapped(errno, identity.uid, UIDS))?;

    let mut sets = rustix::thread::capabilities(None).during(Step::Capabilities)?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets).during(Step::Capabilities)?;
    if spec.seccomp {
        sys::load_filter(filter).during(Step::Seccomp)?;
    }
    rustix::thread::clear_ambient_capability_set().during(Step::Capabilities)?;
    // A user other than root gets none, unless a program's file grants it.
    let kept = if uid.is_root() {
        capabilities
    } else {
        CapabilitySet::empty()
    };
    sets.effective = kept;
    sets.permitted = kept;
    sets.inheritable = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, sets).during(Step::Capabilities)
}

/// Takes from the bounding set all but `kept`, also what this version does not know.
fn bound(kept: CapabilitySet) -> rustix::io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Beyond the last that the kernel has.
            Err(Errno::INVAL) => break,
            removed => removed?,
        }
    }
    Ok(())
}

fn group_failure(errno: Errno, identity: &Identity) -> Failure {
    let largest = identity.groups.iter().max().copied();
    unmapped(errno, largest.unwrap_or(identity.gid), GIDS)
}

/// Gives a file to a user and a group.
pub(super) fn own(file: impl AsFd, uid: u32, gid: u32) -> Result<(), Failure> {
    let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::fchown(&file, user, None).map_err(|errno| unmapped(errno, uid, UIDS))?;
    rustix::fs::fchown(&file, None, group).map_err(|errno| unmapped(errno, gid, GIDS))
}

/// A user or group that cannot be become, in words.
fn unmapped(errno: Errno, id: u32, map: &str) -> Failure {
    let mapped = std::fs::read_to_string(map).ok().map(|map| {
        let lines = map.lines();
        let ends = lines.filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            let first = numbers.next()?.ok()?;
            Some(first + numbers.nth(1)?.ok()?)
        });
        ends.max().unwrap_or(0)
    });
    match mapped {
        Some(ids) if errno == Errno::INVAL && u64::from(id) >= ids => {
            Failure::UnmappedId { id, ids }
        }
        _ => Failure::System {
            step: Step::Identity,
            path: None,
            errno: errno.raw_os_error(),
        },
    }
}
