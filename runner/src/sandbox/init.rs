//! Init, pid 1 of the sandbox: makes its file system, starts the payload, reaps all.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::channel::{Channel, Reply, Request};
use super::devices::{Devices, Terminal};
use super::failure::{During, Failure, Step};
use super::payload::{self, Payload};
use super::root::{self, Root};
use super::spec::SandboxSpec;
use super::target::Targets;
use super::{Exit, devices, kernel, mounts, stage};
use crate::sys;

/// Becomes init. `lifeline` is the stage.
pub(super) fn run(channel: &Channel, lifeline: OwnedFd) -> ! {
    let last_word = match work(channel, lifeline) {
        Ok(Some(exit)) => Reply::Exited(exit),
        // The parent is gone.
        Ok(None) => sys::exit(1),
        Err(failure) => Reply::Failed(failure),
    };
    stage::tell(channel, &last_word);
    // With this process the kernel ends all others of the namespace.
    sys::exit(0)
}

fn work(channel: &Channel, lifeline: OwnedFd) -> Result<Option<Exit>, Failure> {
    follow(lifeline)?;
    // Modes are given in full here; the payload gets the usual mask.
    rustix::process::umask(rustix::fs::Mode::empty());
    let Some(request) = stage::receive(channel)? else {
        return Ok(None);
    };
    let (Request::Make(mut spec), pipes) = (request.body, request.descriptors) else {
        return Err(Failure::Specification {
            reason: "something else in place of a specification".into(),
        });
    };
    if !spec.reveal(&request.bytes) {
        return Err(Failure::Specification {
            reason: "it is cut short".into(),
        });
    }
    rustix::system::sethostname(spec.hostname.as_bytes()).during(Step::Hostname)?;
    let (created, Devices { null, terminal }) = file_system(&spec)?;

    let Some(request) = stage::receive(channel)? else {
        return Ok(None);
    };
    let Request::Start = request.body else {
        return Err(Failure::Specification {
            reason: "something else in place of a start".into(),
        });
    };
    let (master, streams) = match terminal {
        Some(Terminal { master, slave }) => (Some(master), payload::Streams::Terminal(slave)),
        None => (None, payload::Streams::separate(spec.stdio, pipes, null)?),
    };
    let Payload { pid, pidfd } = payload::start(&spec, &streams, &request.bytes)?;
    drop(streams);
    let mut descriptors = vec![pidfd.as_fd()];
    descriptors.extend(master.as_ref().map(AsFd::as_fd));
    if channel
        .send(&Reply::Started { created }, &[], &descriptors)
        .is_err()
    {
        return Ok(None);
    }
    drop(master);
    drop(pidfd);
    reap(pid).map(Some)
}

/// Dies with the stage, whenever that is.
fn follow(lifeline: OwnedFd) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).during(Step::Lifeline)?;
    // The stage may have died before the kernel knew.
    let mut polled = [PollFd::new(&lifeline, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut polled, Some(&at_once)).during(Step::Lifeline)? {
        0 => Ok(()),
        _ => sys::exit(1),
    }
}

/// Makes the file system of the sandbox and enters it: what was made only to be mounted on, and
/// what of its devices is open.
fn file_system(spec: &SandboxSpec) -> Result<(Vec<std::path::PathBuf>, Devices), Failure> {
    sys::unshare(UnshareFlags::NEWNS).during(Step::Namespaces)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).during(Step::Propagation)?;

    let root = Root::open(&spec.root, true)?;
    let prepared = mounts::prepare(&spec.mounts, root.place())?;
    let mut targets = Targets::new(root.mount(spec.volatile)?)?;
    let mut empty = kernel::EmptyDirectory::default();
    kernel::mount(&mut targets, &mut empty)?;
    let devices = devices::mount(&mut targets, spec.terminal, spec.shm_size)?;
    mounts::attach(prepared, &mut targets)?;
    kernel::mask(&targets, &spec.masked_paths, &mut empty)?;
    kernel::make_read_only(&targets, &spec.readonly_paths)?;
    if spec.read_only {
        sys::mount_setattr(targets.root(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)
            .during(Step::ReadOnly)?;
    }
    root::enter(targets.root()).during(Step::Pivot)?;
    Ok((targets.into_created(), devices))
}

/// Waits for every process that ends in the sandbox, until the payload has.
fn reap(payload: Pid) -> Result<Exit, Failure> {
    loop {
        let ended = rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::empty()));
        let Some((pid, status)) = ended.during(Step::Lifeline)? else {
            continue;
        };
        if pid != payload {
            continue;
        }
        if let Some(code) = status.exit_status() {
            return Ok(Exit::Code(code));
        }
        if let Some(signal) = status.terminating_signal() {
            return Ok(Exit::Signal(signal));
        }
    }
}
