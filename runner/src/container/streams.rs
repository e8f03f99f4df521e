//! What travels between mkimg's standard streams and those of a container without a terminal.
//!
//! The container never has mkimg's own: whoever has a descriptor of a file can open the file anew
//! and change its mode, and whoever has one of a terminal can read what is typed for others.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::{Builder, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::AttachError;
use crate::Running;

/// How much is copied at once, in bytes: what a pipe holds.
const BUFFER: usize = 64 << 10;

/// The container's output on its way, each stream in a thread of its own: one that nobody takes
/// holds up neither the other nor signals.
pub(super) struct Outputs(Vec<JoinHandle<rustix::io::Result<()>>>);

impl Outputs {
    /// Begins to copy all streams that are pipes, standard input too.
    pub fn start(running: &mut Running) -> Result<Self, AttachError> {
        if let Some(to) = running.stdin.take() {
            // It may wait for input that never comes, so nobody waits for it. An error ends the
            // container's input, which is all that can be done.
            thread("stdin", move || copy(rustix::stdio::stdin(), &to))?;
        }
        let mut outputs = Vec::new();
        let ends: [(_, Option<File>, BorrowedFd<'static>); 2] = [
            ("stdout", running.stdout.take(), rustix::stdio::stdout()),
            ("stderr", running.stderr.take(), rustix::stdio::stderr()),
        ];
        for (name, from, to) in ends {
            if let Some(from) = from {
                outputs.push(thread(name, move || copy(&from, to))?);
            }
        }
        Ok(Self(outputs))
    }

    /// Waits until all has arrived that the container wrote before its end.
    pub fn finish(self) -> Result<(), AttachError> {
        for output in self.0 {
            match output.join().unwrap_or(Err(Errno::IO)) {
                // Nobody wants any more of it, and the container has been told.
                Ok(()) | Err(Errno::PIPE) => {}
                Err(errno) => return Err(AttachError::Output(errno)),
            }
        }
        Ok(())
    }
}

fn thread(
    name: &str,
    copy: impl FnOnce() -> rustix::io::Result<()> + Send + 'static,
) -> Result<JoinHandle<rustix::io::Result<()>>, AttachError> {
    let thread = Builder::new().name(name.into()).spawn(copy);
    thread.map_err(|error: io::Error| {
        AttachError::Output(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })
}

fn copy(from: impl AsFd, to: impl AsFd) -> rustix::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let got = wait(&from, PollFlags::IN, || {
            rustix::io::read(&from, &mut *buffer)
        })?;
        if got == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..got];
        while !rest.is_empty() {
            let sent = wait(&to, PollFlags::OUT, || rustix::io::write(&to, rest))?;
            rest = &rest[sent..];
        }
    }
}

/// Calls until there is an answer: who shares mkimg's streams may have made them non-blocking.
fn wait<T>(
    fd: impl AsFd,
    flags: PollFlags,
    mut call: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::AGAIN) => {
                rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&fd, flags)], None).map(drop))?;
            }
            Err(Errno::INTR) => {}
            answer => return answer,
        }
    }
}
