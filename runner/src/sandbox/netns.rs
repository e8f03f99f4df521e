//! The network namespace, which takes longer to make than all others together: the parent makes it
//! while the stage starts.

use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::thread::{Builder, JoinHandle};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketType};
use rustix::thread::UnshareFlags;

use super::SandboxError;
use super::failure::{During, Failure, Step};
use crate::sys;

/// A network namespace in the making.
pub(super) struct Making(JoinHandle<Result<OwnedFd, Failure>>);

impl Making {
    /// Begins, in a thread, because whoever makes a namespace is in it.
    pub fn start() -> Result<Self, SandboxError> {
        let thread = Builder::new().name("netns".into()).spawn(make);
        thread.map(Self).map_err(SandboxError::Spawn)
    }

    /// The namespace, its loopback up and nothing else in it.
    pub fn finish(self) -> Result<OwnedFd, SandboxError> {
        let made = self.0.join();
        Ok(made.unwrap_or_else(|panicked| panic::resume_unwind(panicked))?)
    }
}

fn make() -> Result<OwnedFd, Failure> {
    sys::unshare(UnshareFlags::NEWNET).during(Step::Namespaces)?;
    rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|socket| sys::loopback_up(socket.as_fd()))
        .during(Step::Loopback)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty())
        .during(Step::Namespaces)
}
