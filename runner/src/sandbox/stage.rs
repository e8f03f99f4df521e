//! The stage: makes the namespaces and init, then watches that neither outlives mkimg.

use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::channel::{Channel, Received, Reply, Request};
use super::failure::{During, Failure, Step};
use super::{Exit, init};
use crate::sys::{self, Fork};

/// What a stage ends with when it had something to say.
const FAILED: i32 = 1;

/// Becomes the stage. Its channel is descriptor 0.
pub(crate) fn run() -> ! {
    let Ok(channel) = take_channel() else {
        // There is nobody to tell.
        sys::exit(FAILED);
    };
    match work(&channel) {
        Ok(()) => sys::exit(0),
        Err(failure) => {
            tell(&channel, &Reply::Failed(failure));
            sys::exit(FAILED)
        }
    }
}

/// Sends a last word. A parent that is gone needs none.
pub(super) fn tell(channel: &Channel, reply: &Reply) {
    let _ = channel.send(reply, &[], &[]);
}

/// Moves the channel out of the way, so that the payload's standard input has its place.
fn take_channel() -> rustix::io::Result<Channel> {
    let standard_input = sys::take_standard_input()?;
    let channel = rustix::io::fcntl_dupfd_cloexec(&standard_input, 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
    // It stays open as what it is now.
    let _ = standard_input.into_raw_fd();
    Ok(Channel::from_fd(channel))
}

fn work(channel: &Channel) -> Result<(), Failure> {
    // Away from the terminal's signals: those for the payload go to the payload.
    rustix::process::setsid().during(Step::Lifeline)?;
    let _ = rustix::thread::set_name(c"mkimg-sandbox");
    let Some(request) = receive(channel)? else {
        return Ok(());
    };
    let Request::Begin { network } = request.body else {
        return Err(Failure::Specification {
            reason: "something else in place of a beginning".into(),
        });
    };
    let network = network.then(network_namespace).transpose()?;
    namespaces()?;
    let lifeline = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .during(Step::Lifeline)?;
    let init = match sys::fork().during(Step::Fork)? {
        Fork::Child => {
            drop(network);
            init::run(channel, lifeline)
        }
        Fork::Parent(pid) => pid,
    };
    let pidfd = rustix::process::pidfd_open(init, PidfdFlags::empty()).during(Step::Lifeline)?;
    let mut descriptors = vec![pidfd.as_fd()];
    descriptors.extend(network.as_ref().map(AsFd::as_fd));
    // If it does not get through, the parent is gone, which is what is watched for next.
    let _ = channel.send(&Reply::Namespaces, &[], &descriptors);
    drop(network);
    watch(channel, init, &pidfd)
}

/// The next request, or none where the parent is gone.
pub(super) fn receive(channel: &Channel) -> Result<Option<Received<Request>>, Failure> {
    let received = channel.receive();
    received.map_err(|error| Failure::Specification {
        reason: error.to_string(),
    })
}

/// Makes the network namespace, with its loopback up; its descriptor. It takes longer than all
/// others together.
fn network_namespace() -> Result<OwnedFd, Failure> {
    sys::unshare(UnshareFlags::NEWNET).during(Step::Namespaces)?;
    rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|socket| sys::loopback_up(socket.as_fd()))
        .during(Step::Loopback)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, "/proc/self/ns/net", flags, Mode::empty()).during(Step::Namespaces)
}

/// Makes all other namespaces but that of the mounts, which is init's.
fn namespaces() -> Result<(), Failure> {
    let flags = UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    sys::unshare(flags).during(Step::Namespaces)?;
    match sys::unshare(UnshareFlags::NEWTIME) {
        // A kernel without: nothing in the sandbox may set a clock anyway.
        Err(Errno::INVAL) => Ok(()),
        made => made,
    }
    .during(Step::Namespaces)
}

/// Waits for init's end, and brings it about where the parent closes the channel or is gone.
fn watch(channel: &Channel, init: Pid, pidfd: &OwnedFd) -> Result<(), Failure> {
    let mut polled = [
        PollFd::new(channel, PollFlags::RDHUP),
        PollFd::new(pidfd, PollFlags::IN),
    ];
    loop {
        match poll(&mut polled, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).during(Step::Lifeline),
        }
    }
    if !polled[0].revents().is_empty() {
        // It may have ended by itself.
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    }
    // Returns once the kernel has ended every process of the namespace.
    let status = rustix::process::waitpid(Some(init), WaitOptions::empty())
        .during(Step::Lifeline)?
        .map(|(_, status)| status);
    // One that ended by itself has said why.
    if let Some(signal) = status.and_then(|status| status.terminating_signal()) {
        tell(channel, &Reply::Exited(Exit::Signal(signal)));
    }
    Ok(())
}
