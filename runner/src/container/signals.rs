//! Signals to mkimg, taken one by one in place of what they would do.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What is passed on to a container, as docker does; the window's size is told in another way.
const PASSED_ON: &[Signal] = &[
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGIO,
    Signal::SIGPWR,
];

/// What a terminal in raw mode needs in addition: its size, and no stop that would leave it raw.
const TERMINAL: &[Signal] = &[Signal::SIGWINCH, Signal::SIGTSTP];

/// Signals that wait to be taken.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// Why signals cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot take signals")]
pub struct SignalsError(#[from] Errno);

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A signal for the container.
    PassOn(i32),
    /// The terminal has another size.
    Resized,
}

impl Signals {
    /// Blocks the signals in the calling thread, which must be the only one, or its threads would
    /// get them; from now on they wait here. A sandbox's payload is started with none blocked.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn block(terminal: bool) -> Result<Self, SignalsError> {
        let mut set: SigSet = PASSED_ON.iter().copied().collect();
        if terminal {
            set.extend(TERMINAL.iter().copied());
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// The next one that waits.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn next(&self) -> Result<Option<Event>, SignalsError> {
        while let Some(info) = self.0.read_signal()? {
            let number = info.ssi_signo as i32;
            if number == Signal::SIGWINCH as i32 {
                return Ok(Some(Event::Resized));
            }
            if number != Signal::SIGTSTP as i32 {
                return Ok(Some(Event::PassOn(number)));
            }
        }
        Ok(None)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
