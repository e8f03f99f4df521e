//! Being there while a container runs: its terminal, the signals for it, its way out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::Container;
use super::signals::{Event, Signals, SignalsError};
use super::streams::Outputs;
use crate::network::{Outbound, OutboundError};
use crate::terminal::{RawMode, TerminalError, WindowSize, is_terminal};
use crate::{Exit, Running, SandboxError};

/// How much is read at once, in bytes: what a terminal holds.
const CHUNK: usize = 4096;

/// Why a container cannot be attended to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel does not tell what happens.
    #[error("cannot wait for the container")]
    Wait(#[source] Errno),
    /// The container's terminal cannot be used.
    #[error("cannot use the container's terminal")]
    Console(#[source] io::Error),
    /// What the container writes cannot be passed on.
    #[error("cannot pass on what the container writes")]
    Output(#[source] Errno),
    /// mkimg's own terminal cannot be used.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// Signals cannot be read.
    #[error(transparent)]
    Signals(#[from] SignalsError),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// mkimg's own terminal, as the other side of a container's.
#[derive(Debug)]
pub struct Console {
    /// Whether what is typed is for the container.
    interactive: bool,
    raw: Option<RawMode>,
}

impl Console {
    /// Takes mkimg's terminal, where it has one: what is typed goes to the container as it is, the
    /// keys that end programs too. It is given back when this is dropped.
    ///
    /// # Errors
    /// When the terminal's settings cannot be changed.
    pub fn open(interactive: bool) -> Result<Self, TerminalError> {
        let stdin = rustix::stdio::stdin();
        let raw = match interactive && is_terminal(stdin) {
            true => Some(RawMode::enter(stdin)?),
            false => None,
        };
        Ok(Self { interactive, raw })
    }

    /// The size of mkimg's terminal, or the usual one where it has none.
    #[must_use]
    pub fn size() -> WindowSize {
        WindowSize::of(rustix::stdio::stdout())
            .or_else(|_| WindowSize::of(rustix::stdio::stdin()))
            .unwrap_or_default()
    }
}

/// What travels between mkimg's terminal and the container's.
struct Link<'a> {
    master: &'a File,
    /// What was typed and is not yet taken.
    typed: Vec<u8>,
    reads_input: bool,
    reads_output: bool,
}

/// Waits for the end of `container`, which is `running`. Meanwhile signals go to it, its way out is
/// opened when it is wanted, its standard streams are copied, and its terminal, if it has one, is
/// `console`'s. `lost` is told when the way out is lost.
///
/// To be called by the process's first thread, because `pasta` ends with the thread that starts it.
///
/// # Errors
/// When the sandbox fails, or the terminal; the container is killed when `running` is dropped then.
pub fn attend(
    container: &Container,
    running: &mut Running,
    signals: &Signals,
    mut outbound: Option<Outbound>,
    console: Option<Console>,
    mut lost: impl FnMut(&OutboundError),
) -> Result<Exit, AttachError> {
    let outputs = Outputs::start(running)?;
    let running = &*running;
    let mut link = match (&console, &running.terminal) {
        (Some(console), Some(master)) => Some(Link::new(master, console.interactive)?),
        _ => None,
    };
    loop {
        let ready = wait(running, signals, outbound.as_ref(), link.as_ref())?;
        if ready.signals {
            pass_on(running, signals)?;
        }
        if ready.outbound
            && let Some(Err(error)) = outbound.as_mut().map(Outbound::attend)
        {
            lost(&error);
            outbound = None;
        }
        if let Some(link) = &mut link {
            link.move_bytes(ready.input, ready.output)?;
        }
        if ready.ended {
            if let Some(link) = &mut link {
                link.drain()?;
            }
            container.ending();
            let exit = running.wait()?;
            outputs.finish()?;
            // Before anything else is said.
            drop(console.and_then(|console| console.raw));
            return Ok(exit);
        }
    }
}

/// Passes on what has come so far.
fn pass_on(running: &Running, signals: &Signals) -> Result<(), AttachError> {
    while let Some(event) = signals.next()? {
        match event {
            Event::PassOn(signal) => running.signal(signal)?,
            Event::Resized => running.resize(Console::size())?,
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Ready {
    ended: bool,
    signals: bool,
    outbound: bool,
    input: bool,
    output: bool,
}

fn wait(
    running: &Running,
    signals: &Signals,
    outbound: Option<&Outbound>,
    link: Option<&Link<'_>>,
) -> Result<Ready, AttachError> {
    type Mark = fn(&mut Ready);
    let mut watched: Vec<(BorrowedFd<'_>, PollFlags, Mark)> = vec![
        (running.watched(), PollFlags::IN, |ready| ready.ended = true),
        (signals.as_fd(), PollFlags::IN, |ready| ready.signals = true),
    ];
    if let Some(fd) = outbound.and_then(Outbound::watched) {
        watched.push((fd, PollFlags::IN, |ready| ready.outbound = true));
    }
    if let Some(link) = link {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, link.reads_output);
        flags.set(PollFlags::OUT, !link.typed.is_empty());
        if !flags.is_empty() {
            watched.push((link.master.as_fd(), flags, |ready| ready.output = true));
        }
        if link.reads_input && link.typed.is_empty() {
            let stdin = rustix::stdio::stdin();
            watched.push((stdin, PollFlags::IN, |ready| ready.input = true));
        }
    }
    let mut fds: Vec<PollFd<'_>> = watched
        .iter()
        .map(|(fd, flags, _)| PollFd::from_borrowed_fd(*fd, *flags))
        .collect();
    rustix::io::retry_on_intr(|| poll(&mut fds, None)).map_err(AttachError::Wait)?;
    let mut ready = Ready::default();
    for (fd, (_, _, mark)) in fds.iter().zip(&watched) {
        if !fd.revents().is_empty() {
            mark(&mut ready);
        }
    }
    Ok(ready)
}

impl<'a> Link<'a> {
    fn new(master: &'a File, reads_input: bool) -> Result<Self, AttachError> {
        // A container that does not read must not keep its output, or signals, from moving.
        fcntl_getfl(master)
            .and_then(|flags| fcntl_setfl(master, flags | OFlags::NONBLOCK))
            .map_err(|errno| AttachError::Console(errno.into()))?;
        Ok(Self {
            master,
            typed: Vec::new(),
            reads_input,
            reads_output: true,
        })
    }

    fn move_bytes(&mut self, input: bool, output: bool) -> Result<(), AttachError> {
        if input {
            let mut chunk = [0; CHUNK];
            match rustix::io::read(rustix::stdio::stdin(), &mut chunk) {
                // The terminal is gone; what runs may go on.
                Ok(0) | Err(Errno::IO) => self.reads_input = false,
                Ok(got) => self.typed.extend_from_slice(&chunk[..got]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(AttachError::Console(errno.into())),
            }
        }
        if !self.typed.is_empty() {
            let mut master = self.master;
            match master.write(&self.typed) {
                Ok(sent) => drop(self.typed.drain(..sent)),
                Err(error) if waits(&error) => {}
                // Nobody has the other side open; what comes may open it again.
                Err(_) => self.typed.clear(),
            }
        }
        if output {
            self.show()?;
        }
        Ok(())
    }

    /// Shows one chunk; false where there is none now.
    fn show(&mut self) -> Result<bool, AttachError> {
        let mut chunk = [0; CHUNK];
        let mut master = self.master;
        match master.read(&mut chunk) {
            Ok(0) => self.reads_output = false,
            Ok(got) => {
                let mut stdout = File::from(
                    rustix::stdio::stdout()
                        .try_clone_to_owned()
                        .map_err(AttachError::Console)?,
                );
                stdout
                    .write_all(&chunk[..got])
                    .map_err(AttachError::Console)?;
                return Ok(true);
            }
            Err(error) if waits(&error) => {}
            // EIO: nobody has the other side open.
            Err(_) => self.reads_output = false,
        }
        Ok(false)
    }

    /// Shows all that the container wrote before its end.
    fn drain(&mut self) -> Result<(), AttachError> {
        while self.show()? {}
        Ok(())
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
