//! The way out of a container's network namespace, by `pasta` (passt(1)).
//!
//! `pasta` takes some ten milliseconds to start, which is longer than many containers live. So the
//! device is made before the payload runs, complete with address and route, and `pasta` is started
//! by the first packet that wants out: the kernel asks who the router is, we see the question, and
//! `pasta` answers when the kernel asks again. The packet waits in the kernel meanwhile.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::tap;

/// The most that is shown of what `pasta` says, in bytes.
const WORDS: usize = 4096;

/// The container's own address.
pub const ADDRESS: Ipv4Addr = tap::ADDRESS;
/// A name server that `pasta` stands in for, with whatever resolver the host has.
pub const RESOLVER: Ipv4Addr = tap::RESOLVER;

/// Why there is no way out.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// `pasta` is not installed.
    #[error("pasta is not installed")]
    NotInstalled,
    /// The device for tap interfaces cannot be opened.
    #[error("/dev/net/tun cannot be opened")]
    NoTun(#[source] Errno),
    /// The kernel refuses something else.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// `pasta` cannot be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// `pasta` has ended.
    #[error("pasta has ended: {words}")]
    Ended {
        /// What it said.
        words: String,
    },
}

impl OutboundError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            OutboundError::NotInstalled => {
                "apt install passt, or use the host's network with --network host, or say --network none"
            }
            OutboundError::NoTun(_) => {
                "let users open it (modprobe tun; chmod 666 /dev/net/tun), or use --network host or --network none"
            }
            _ => "use the host's network with --network host, or say --network none",
        }
    }
}

fn failed(action: &'static str) -> impl Fn(Errno) -> OutboundError {
    move |source| OutboundError::System { action, source }
}

/// The way out: a device that waits for the first packet, then `pasta`. Dropped, it is closed.
#[derive(Debug)]
pub struct Outbound {
    program: PathBuf,
    netns: OwnedFd,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(OwnedFd),
    Running { pasta: Child, words: File },
    Ended,
}

impl Outbound {
    /// Makes the device in `netns`.
    ///
    /// # Errors
    /// When `pasta` or the kernel's tap device is missing, and nothing is made then.
    pub fn prepare(netns: BorrowedFd<'_>) -> Result<Self, OutboundError> {
        let program = find(std::env::var_os("PATH")).ok_or(OutboundError::NotInstalled)?;
        // A thread of its own, because root of a user namespace cannot go back to the host's network.
        let made = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
                    .map_err(failed("enter the container's network"))?;
                Ok(tap::create())
            });
            inside.join().unwrap_or(Ok(Err(Errno::IO)))
        })?;
        let tap = made.map_err(|errno| match errno {
            Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::ACCESS | Errno::PERM => {
                OutboundError::NoTun(errno)
            }
            errno => failed("make a tap device for the container")(errno),
        })?;
        let netns = netns
            .try_clone_to_owned()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .map_err(failed("keep the container's network"))?;
        Ok(Self {
            program,
            netns,
            state: State::Waiting(tap),
        })
    }

    /// What to watch: when it is readable, [`Outbound::attend`] has something to do.
    #[must_use]
    pub fn watched(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Waiting(tap) => Some(tap.as_fd()),
            State::Running { words, .. } => Some(words.as_fd()),
            State::Ended => None,
        }
    }

    /// Starts `pasta` when somebody wants out, and sees whether it lives. To be called by a thread
    /// that lives as long as the container: `pasta` ends with the thread that started it.
    ///
    /// # Errors
    /// When it cannot be started, or has ended. The container goes on without a way out.
    pub fn attend(&mut self) -> Result<(), OutboundError> {
        match &mut self.state {
            State::Waiting(tap) => {
                if tap::somebody_wants_out(tap) {
                    // The device stays, and is free for pasta to take.
                    self.state = State::Ended;
                    self.state = self.start()?;
                }
                Ok(())
            }
            State::Running { pasta, words } => {
                let mut said = vec![0; WORDS];
                match words.read(&mut said) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
                    Ok(got) => said.truncate(got),
                    Err(_) => said.clear(),
                }
                if said.is_empty() || matches!(pasta.try_wait(), Ok(Some(_))) {
                    self.end();
                    let words = String::from_utf8_lossy(&said).trim().to_owned();
                    return Err(OutboundError::Ended { words });
                }
                Ok(())
            }
            State::Ended => Ok(()),
        }
    }

    fn start(&self) -> Result<State, OutboundError> {
        let refused = |source| OutboundError::Start {
            program: self.program.clone(),
            source,
        };
        let (words, theirs) = std::io::pipe().map_err(refused)?;
        // Nobody empties the pipe in time, and pasta must not stand still for that.
        for end in [words.as_fd(), theirs.as_fd()] {
            rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)
                .map_err(failed("prepare pasta's messages"))?;
        }
        let mut command = Command::new(&self.program);
        command
            .args(ARGUMENTS)
            .args(["--ns-ifname", tap::NAME])
            .args(["--address", &tap::ADDRESS.to_string()])
            .args(["--netmask", &tap::PREFIX.to_string()])
            .args(["--gateway", &tap::GATEWAY.to_string()])
            .args(["--dns-forward", &tap::RESOLVER.to_string()])
            // By descriptor 0, because later versions close all others first.
            .args(["--netns", "/proc/self/fd/0"])
            .stdin(self.netns.try_clone().map_err(refused)?)
            .stdout(Stdio::null())
            .stderr(theirs);
        crate::sys::die_with_parent(&mut command);
        Ok(State::Running {
            pasta: command.spawn().map_err(refused)?,
            words: File::from(OwnedFd::from(words)),
        })
    }

    fn end(&mut self) {
        if let State::Running { mut pasta, .. } = std::mem::replace(&mut self.state, State::Ended) {
            // Both fail only for a process that has been waited for.
            let _ = pasta.kill();
            let _ = pasta.wait();
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.end();
    }
}

/// No port is forwarded in either direction, and the host's own loopback cannot be reached.
const ARGUMENTS: &[&str] = &[
    "--foreground",
    "--quiet",
    "--ipv4-only",
    "--netns-only",
    // Whoever runs mkimg: it has no right to enter the namespace as anybody else.
    "--runas",
    "0:0",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "--tcp-ns",
    "none",
    "--udp-ns",
    "none",
    "--no-map-gw",
    "--no-dhcp",
];

/// `pasta` in `PATH`, or where Debian puts it.
fn find(path: Option<OsString>) -> Option<PathBuf> {
    let path = path.unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin".into(), "/usr/local/bin".into()])
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("pasta"))
        .find(|program| rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok())
}
