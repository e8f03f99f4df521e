//! The UDP clients of published ports, each with a socket of its own inside.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::listen::{family_of, socket};
use super::port::Protocol;

/// How long a client may be silent before it is forgotten.
const IDLE: Duration = Duration::from_secs(90);
/// The most clients at once; the one that has been silent longest makes room.
const MOST: usize = 1024;
/// How many datagrams of one socket are served before others have their turn.
const TURNS: usize = 64;

/// A client: the listener it came to, and where it came from.
type Client = (usize, SocketAddr);

/// One client's socket inside.
#[derive(Debug)]
struct Flow {
    client: Client,
    socket: OwnedFd,
    server: SocketAddr,
    used: Instant,
}

/// All clients, by the numbers that they are watched by.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: HashMap<u64, Flow>,
    numbers: HashMap<Client, u64>,
    next: u64,
}

/// Has a socket watched under a number.
pub(super) type Watch<'a> = &'a mut dyn FnMut(BorrowedFd<'_>, u64) -> rustix::io::Result<()>;

impl Flows {
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Forgets who has been silent for too long.
    pub fn expire(&mut self) {
        let now = Instant::now();
        self.flows.retain(|_, flow| now - flow.used < IDLE);
        self.numbers
            .retain(|_, number| self.flows.contains_key(number));
    }

    /// Passes what came to a listener on to the port inside. True where there may be more.
    pub fn requests(
        &mut self,
        listener: (usize, BorrowedFd<'_>),
        port: u16,
        buffer: &mut [u8],
        watch: Watch<'_>,
    ) -> bool {
        for _ in 0..TURNS {
            let received = rustix::net::recvfrom(listener.1, &mut *buffer, RecvFlags::empty());
            let (got, from) = match received {
                Ok((got, _, Some(from))) => (got, from),
                Err(Errno::AGAIN) => return false,
                // An error that an earlier answer met is no reason to stop.
                _ => continue,
            };
            let Ok(from) = SocketAddr::try_from(from) else {
                continue;
            };
            let Ok(number) = self.number_of((listener.0, from), port, watch) else {
                continue;
            };
            if let Some(flow) = self.flows.get_mut(&number) {
                flow.used = Instant::now();
                // A datagram may be lost; the second attempt is for an error of an earlier one.
                if rustix::net::send(&flow.socket, &buffer[..got], SendFlags::NOSIGNAL).is_err() {
                    let _ = rustix::net::send(&flow.socket, &buffer[..got], SendFlags::NOSIGNAL);
                }
            }
        }
        true
    }

    /// Passes the answers to one client on. True where there may be more.
    pub fn answers<'l>(
        &mut self,
        number: u64,
        listener: impl Fn(usize) -> Option<BorrowedFd<'l>>,
        buffer: &mut [u8],
        watch: Watch<'_>,
    ) -> bool {
        let Some(flow) = self.flows.get_mut(&number) else {
            return false;
        };
        let Some(outside) = listener(flow.client.0) else {
            return false;
        };
        for _ in 0..TURNS {
            match rustix::net::recv(&flow.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((got, _)) => {
                    flow.used = Instant::now();
                    let to = &flow.client.1;
                    // As above.
                    let _ = rustix::net::sendto(outside, &buffer[..got], SendFlags::NOSIGNAL, to);
                }
                Err(Errno::INTR) => {}
                Err(Errno::CONNREFUSED) => {
                    // Nobody listens there: the next datagram tries the other family.
                    let other = loopback(flow.server.port(), flow.server.is_ipv4());
                    if let Ok(socket) = connected(&other)
                        && watch(socket.as_fd(), number).is_ok()
                    {
                        flow.socket = socket;
                        flow.server = other;
                    }
                    return false;
                }
                Err(_) => return false,
            }
        }
        true
    }

    fn number_of(
        &mut self,
        client: Client,
        port: u16,
        watch: Watch<'_>,
    ) -> rustix::io::Result<u64> {
        if let Some(number) = self.numbers.get(&client) {
            return Ok(*number);
        }
        if self.flows.len() >= MOST
            && let Some(silent) = self.flows.iter().min_by_key(|(_, flow)| flow.used)
        {
            let number = *silent.0;
            self.flows.remove(&number);
            self.numbers.retain(|_, other| *other != number);
        }
        let server = loopback(port, false);
        let socket = connected(&server)?;
        let number = self.next;
        self.next += 1;
        watch(socket.as_fd(), number)?;
        self.numbers.insert(client, number);
        let used = Instant::now();
        self.flows.insert(
            number,
            Flow {
                client,
                socket,
                server,
                used,
            },
        );
        Ok(number)
    }
}

pub(super) fn loopback(port: u16, v6: bool) -> SocketAddr {
    let ip = match v6 {
        true => IpAddr::V6(Ipv6Addr::LOCALHOST),
        false => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, port)
}

fn connected(server: &SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = socket(family_of(server), Protocol::Udp)?;
    rustix::net::connect(&socket, server)?;
    Ok(socket)
}
