//! Reading that ends when the build is cancelled, or the other side is silent for too long.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use builder::cancel::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::client::SILENCE;
use crate::git::error::GitError;

/// How often the flag is looked at.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// A socket or pipe, read with an eye on the build.
pub struct Polled<'a, T> {
    pub inner: T,
    pub cancel: &'a Cancel,
}

impl<T: Read + AsFd> Read for Polled<'_, T> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let end = Instant::now() + SILENCE;
        loop {
            if self.cancel.is_cancelled() {
                return Err(GitError::Cancelled.into_io());
            }
            let mut fds = [PollFd::new(&self.inner, PollFlags::IN)];
            match poll(&mut fds, Some(&LOOK)) {
                Ok(0) if Instant::now() >= end => return Err(silent()),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.inner.read(to),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn silent() -> io::Error {
    let seconds = Duration::as_secs(&SILENCE);
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the server was silent for {seconds} s"),
    )
}
