//! The parent's side: making a sandbox, and holding it while it runs.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Signal, pidfd_send_signal};

use super::channel::{Channel, Received, Reply, Request};
use super::spec::{Network, SandboxSpec, Stream};
use super::{ChannelError, Exit, SandboxError, seccomp};
use crate::reexec;
use crate::terminal::WindowSize;

/// A sandbox whose namespaces stand and whose payload waits.
///
/// Dropped, it is killed, and all that was in it.
#[derive(Debug)]
pub struct Sandbox {
    stage: Stage,
    init: OwnedFd,
    netns: Option<OwnedFd>,
    filter: Vec<u8>,
    streams: Streams,
}

impl Sandbox {
    /// Makes what `spec` says and runs it.
    pub fn spawn(spec: &SandboxSpec) -> Result<Running, SandboxError> {
        Self::create(spec)?.start()
    }

    /// Makes the namespaces, so that the network can be laid before the payload sees it.
    pub fn create(spec: &SandboxSpec) -> Result<Self, SandboxError> {
        Self::create_in(Stage::start(spec.network != Network::Host)?, spec)
    }

    /// As [`Sandbox::create`], with a stage that was started before.
    pub fn create_in(mut stage: Stage, spec: &SandboxSpec) -> Result<Self, SandboxError> {
        if spec.args.is_empty() {
            return Err(SandboxError::NoProgram);
        }
        let (streams, theirs) = Streams::open(spec).map_err(SandboxError::Streams)?;
        let descriptors: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        let request = Request::Make(Box::new(spec.clone()));
        let sent = stage.channel.send(&request, &spec.hidden(), &descriptors);
        drop(descriptors);
        drop(theirs);

        // While init makes it.
        stage.clone = None;
        let filter = if spec.seccomp {
            seccomp::docker_default(&spec.capabilities)?
        } else {
            Vec::new()
        };
        let reply = stage.answer(sent)?;
        let mut descriptors = reply.descriptors.into_iter();
        let (Reply::Namespaces, Some(init)) = (reply.body, descriptors.next()) else {
            return Err(ChannelError::CutShort.into());
        };
        let netns = descriptors.next();
        if netns.is_some() != (spec.network != Network::Host) {
            return Err(ChannelError::CutShort.into());
        }
        Ok(Self {
            stage,
            init,
            netns,
            filter,
            streams,
        })
    }

    /// The network namespace, unless the sandbox uses the parent's ([`super::Network::Host`]).
    pub fn netns(&self) -> Option<BorrowedFd<'_>> {
        self.netns.as_ref().map(AsFd::as_fd)
    }

    /// Runs the payload; the program has been found and executed when this returns.
    pub fn start(self) -> Result<Running, SandboxError> {
        let sent = self.stage.channel.send(&Request::Start, &self.filter, &[]);
        let reply = self.stage.answer(sent)?;
        let mut descriptors = reply.descriptors.into_iter();
        let (Reply::Started { created }, Some(payload)) = (reply.body, descriptors.next()) else {
            return Err(ChannelError::CutShort.into());
        };
        Ok(Running {
            stage: self.stage,
            init: self.init,
            payload,
            netns: self.netns,
            created,
            outcome: Mutex::new(None),
            stdin: self.streams.stdin,
            stdout: self.streams.stdout,
            stderr: self.streams.stderr,
            terminal: descriptors.next().map(File::from),
        })
    }
}

/// A payload that runs, and what belongs to it.
///
/// It can be shared between threads: one waits while others signal. Dropped, it is killed, and
/// all that was in its sandbox.
#[derive(Debug)]
pub struct Running {
    /// The pipe to its standard input, where that was asked for.
    pub stdin: Option<File>,
    /// The pipe from its standard output, where that was asked for.
    pub stdout: Option<File>,
    /// The pipe from its standard error, where that was asked for.
    pub stderr: Option<File>,
    /// The master of its terminal, where it has one.
    pub terminal: Option<File>,
    payload: OwnedFd,
    init: OwnedFd,
    netns: Option<OwnedFd>,
    created: Vec<PathBuf>,
    outcome: Mutex<Option<Exit>>,
    stage: Stage,
}

impl Running {
    /// Waits until the payload has ended, and everything else in the sandbox with it: no process
    /// is left then and nothing is mounted.
    pub fn wait(&self) -> Result<Exit, SandboxError> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exit) = *outcome {
            return Ok(exit);
        }
        // The stage ends last, and what was said before its end is not lost with it.
        self.stage.reap();
        let reply = self.stage.receive()?;
        match reply.body {
            Reply::Exited(exit) => {
                *outcome = Some(exit);
                Ok(exit)
            }
            _ => Err(ChannelError::CutShort.into()),
        }
    }

    /// Readable once [`Running::wait`] would not block, for who watches other things too.
    pub fn watched(&self) -> BorrowedFd<'_> {
        self.stage.channel.as_fd()
    }

    /// Sends a signal to the payload; one that has already ended is no error.
    pub fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        let sent = match Signal::from_named_raw(signal) {
            Some(named) => pidfd_send_signal(&self.payload, named),
            None => crate::sys::pidfd_send_raw_signal(self.payload.as_fd(), signal),
        };
        match sent {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(SandboxError::Signal {
                signal,
                source: errno.into(),
            }),
        }
    }

    /// Kills everything in the sandbox at once.
    pub fn kill(&self) -> Result<(), SandboxError> {
        match pidfd_send_signal(&self.init, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(SandboxError::Signal {
                signal: Signal::KILL.as_raw(),
                source: errno.into(),
            }),
        }
    }

    /// The payload's process id as this process sees it, until it has ended.
    pub fn pid(&self) -> Option<u32> {
        pid_of(&self.payload)
    }

    /// The process id of the sandbox's init as this process sees it, until it has ended; its
    /// `/proc/<pid>/ns` are the sandbox's namespaces.
    pub fn init_pid(&self) -> Option<u32> {
        pid_of(&self.init)
    }

    /// The network namespace, unless the sandbox uses the parent's ([`super::Network::Host`]).
    pub fn netns(&self) -> Option<BorrowedFd<'_>> {
        self.netns.as_ref().map(AsFd::as_fd)
    }

    /// What was made inside the root file system only for something to be mounted on it, parents
    /// before children, absolute inside the root: it belongs in no layer.
    pub fn created_targets(&self) -> &[PathBuf] {
        &self.created
    }

    /// Resizes the terminal; without one, nothing happens.
    pub fn resize(&self, size: WindowSize) -> Result<(), SandboxError> {
        match &self.terminal {
            Some(terminal) => Ok(size.apply(terminal)?),
            None => Ok(()),
        }
    }
}

/// Hangs up ([`PollFlags::HUP`](rustix::event::PollFlags)) when [`Running::wait`] would not wait
/// any more, for whoever has more to wait for. Nothing is to be read from it.
impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stage.channel.as_fd()
    }
}

/// The kernel shows it in the pidfd's fdinfo, translated for whoever reads (pidfd_open(2)).
fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(Path::new(&path)).ok()?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok()
}

/// The process that makes a sandbox, and the channel to it and to what it makes.
///
/// It takes as long to start as all else together. Whoever has other things to do first starts it
/// before them. Dropped, it is gone, and the sandbox that it made too.
#[derive(Debug)]
pub struct Stage {
    channel: Channel,
    child: Mutex<Option<Child>>,
    /// The clone of the binary that it runs. To close it takes the kernel a while.
    clone: Option<OwnedFd>,
}

impl Stage {
    /// Starts one, which makes namespaces and then waits to be told what to make in them. With
    /// `network`, one of them is a network namespace, for a sandbox that has one of its own.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(network: bool) -> Result<Self, SandboxError> {
        let (ours, theirs) = Channel::pair()?;
        // The child's standard input, because that needs nothing done between fork and exec.
        let reexec::Stage { mut command, clone } = reexec::command(reexec::SANDBOX)?;
        let child = command
            .stdin(theirs.into_fd())
            .spawn()
            .map_err(SandboxError::Spawn)?;
        // Or its end of the channel would seem to live.
        drop(command);
        let stage = Self {
            channel: ours,
            child: Mutex::new(Some(child)),
            clone: Some(clone),
        };
        stage.channel.send(&Request::Begin { network }, &[], &[])?;
        Ok(stage)
    }

    /// The reply to what was, or was not, sent. A child that has failed meanwhile says more than the
    /// broken pipe does.
    fn answer(&self, sent: Result<(), ChannelError>) -> Result<Received<Reply>, SandboxError> {
        match (self.receive(), sent) {
            (Err(SandboxError::Vanished) | Ok(_), Err(error)) => Err(error.into()),
            (reply, _) => reply,
        }
    }

    /// The next reply; a failure becomes the error, once everything has ended.
    fn receive(&self) -> Result<Received<Reply>, SandboxError> {
        let Some(reply) = self.channel.receive::<Reply>()? else {
            return Err(SandboxError::Vanished);
        };
        match reply.body {
            Reply::Failed(failure) => {
                self.reap();
                Err(failure.into())
            }
            _ => Ok(reply),
        }
    }

    /// Waits for the stage, which ends last.
    fn reap(&self) {
        let child = self
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut child) = child {
            // It can only fail for a child that is not ours.
            let _ = child.wait();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The stage takes it as the parent's end, kills everything and ends.
        let _ = rustix::net::shutdown(&self.channel, rustix::net::Shutdown::Both);
        self.reap();
    }
}

/// The parent's ends of the payload's standard streams.
#[derive(Debug, Default)]
struct Streams {
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Streams {
    /// Makes the pipes; what is given beside are the payload's ends.
    fn open(spec: &SandboxSpec) -> io::Result<(Self, Vec<OwnedFd>)> {
        let mut ours = Self::default();
        let mut theirs = Vec::new();
        if spec.terminal.is_some() {
            return Ok((ours, theirs));
        }
        if spec.stdio.stdin == Stream::Pipe {
            let (reader, writer) = io::pipe()?;
            ours.stdin = Some(File::from(OwnedFd::from(writer)));
            theirs.push(reader.into());
        }
        for (stream, end) in [
            (spec.stdio.stdout, &mut ours.stdout),
            (spec.stdio.stderr, &mut ours.stderr),
        ] {
            if stream == Stream::Pipe {
                let (reader, writer) = io::pipe()?;
                *end = Some(File::from(OwnedFd::from(reader)));
                theirs.push(writer.into());
            }
        }
        Ok((ours, theirs))
    }
}
