//! One TCP connection of a published port: two sockets and what travels between them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, sockopt};

/// How often one direction may be served before others have their turn.
const TURNS: usize = 16;

/// Whether a connection has to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// When one of its sockets says so.
    Waits,
    /// Soon: there was more than its turn.
    Ready,
    /// No more: both sides have ended, or one has failed.
    Over,
}

/// One way, from one socket to the other.
///
/// What the receiver does not take is kept, and nothing more is read until it is gone: so a slow
/// receiver slows its sender down, and a connection holds one buffer at most.
#[derive(Debug, Default)]
struct Direction {
    kept: Vec<u8>,
    ended: bool,
    passed_on: bool,
}

impl Direction {
    fn pump(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> rustix::io::Result<Progress> {
        for _ in 0..TURNS {
            if !self.kept.is_empty() {
                let sent = match send(to, &self.kept)? {
                    Some(sent) => sent,
                    None => return Ok(Progress::Waits),
                };
                self.kept.drain(..sent);
                if self.kept.is_empty() {
                    // A connection that is idle holds no memory.
                    self.kept = Vec::new();
                }
                continue;
            }
            if self.ended {
                if !self.passed_on {
                    self.passed_on = true;
                    rustix::net::shutdown(to, Shutdown::Write)?;
                }
                return Ok(Progress::Over);
            }
            let got = match rustix::net::recv(from, &mut *buffer, RecvFlags::empty()) {
                Ok((got, _)) => got,
                Err(Errno::AGAIN) => return Ok(Progress::Waits),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            self.ended = got == 0;
            let sent = send(to, &buffer[..got])?.unwrap_or(0);
            self.kept.extend_from_slice(&buffer[sent..got]);
        }
        Ok(Progress::Ready)
    }
}

/// Sends what can be sent without waiting; `None` where that is nothing.
fn send(to: BorrowedFd<'_>, bytes: &[u8]) -> rustix::io::Result<Option<usize>> {
    if bytes.is_empty() {
        return Ok(Some(0));
    }
    match rustix::net::send(to, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(Some(sent)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A client outside and the server inside.
#[derive(Debug)]
pub(super) struct Stream {
    pub client: OwnedFd,
    pub server: OwnedFd,
    /// Whether the connection to the server is still being made.
    pub connecting: bool,
    /// The port inside.
    pub port: u16,
    requests: Direction,
    answers: Direction,
}

impl Stream {
    pub fn new(client: OwnedFd, server: OwnedFd, port: u16) -> Self {
        // Small messages are not held back, as they would not be without a proxy between.
        let _ = sockopt::set_tcp_nodelay(&client, true);
        let _ = sockopt::set_tcp_nodelay(&server, true);
        Self {
            client,
            server,
            connecting: true,
            port,
            requests: Direction::default(),
            answers: Direction::default(),
        }
    }

    /// Moves what can be moved, both ways.
    pub fn pump(&mut self, buffer: &mut [u8]) -> Progress {
        let (client, server) = (self.client.as_fd(), self.server.as_fd());
        let requests = self.requests.pump(client, server, buffer);
        let answers = self.answers.pump(server, client, buffer);
        match (requests, answers) {
            (Ok(Progress::Over), Ok(Progress::Over)) => Progress::Over,
            (Ok(Progress::Ready), Ok(_)) | (Ok(_), Ok(Progress::Ready)) => Progress::Ready,
            (Ok(_), Ok(_)) => Progress::Waits,
            _ => {
                self.reset();
                Progress::Over
            }
        }
    }

    /// Makes the end of the connection a reset for both sides.
    pub fn reset(&self) {
        for socket in [&self.client, &self.server] {
            // A socket that refuses is closed in the ordinary way.
            let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }
}
