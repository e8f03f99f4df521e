//! Listeners on the host for published ports: bound before anything else is done.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

use super::holder::{self, Holder};
use super::port::{Protocol, PublishedPort};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How often another free port is tried when only one family has the last one free.
const ATTEMPTS: usize = 16;

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has it.
    #[error("port {port} is already taken{}", by(holder))]
    Taken {
        /// The port of the host, or the range none of which is free.
        port: String,
        /// Who has it, where that can be seen.
        holder: Option<Holder>,
    },
    /// The user may not have it.
    #[error("port {port} may not be bound by this user")]
    Forbidden {
        /// The port of the host.
        port: String,
    },
    /// The address is none of this machine's.
    #[error("{address} is not an address of this machine")]
    NoSuchAddress {
        /// The address.
        address: IpAddr,
    },
    /// Another reason.
    #[error("port {port} cannot be bound")]
    Bind {
        /// The port of the host.
        port: String,
        /// Why not.
        source: Errno,
    },
}

fn by(holder: &Option<Holder>) -> String {
    match holder {
        Some(holder) => format!(" by {holder}"),
        None => String::new(),
    }
}

impl ListenError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ListenError::Taken { .. } => {
                Some("publish on another port of the host, as in -p 8081:80, or end what holds it")
            }
            ListenError::Forbidden { .. } => Some(
                "publish on a port from 1024 up, or let users have lower ones: sysctl net.ipv4.ip_unprivileged_port_start=80",
            ),
            _ => None,
        }
    }
}

/// A port that is published: where it is reached and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPort {
    /// The address and port of the host.
    pub host: SocketAddr,
    /// The port inside.
    pub container: u16,
    /// The protocol of both.
    pub protocol: Protocol,
    /// Whether the port of the host was for mkimg to choose.
    pub chosen: bool,
}

impl fmt::Display for BoundPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}/{}", self.host, self.container, self.protocol)
    }
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    pub socket: OwnedFd,
    pub port: BoundPort,
}

/// The bound sockets of all published ports.
#[derive(Debug, Default)]
pub struct Listeners(pub(super) Vec<Listener>);

impl Listeners {
    /// Binds all of them, or none.
    ///
    /// # Errors
    /// At the first port that cannot be had.
    pub fn bind(ports: &[PublishedPort]) -> Result<Self, ListenError> {
        let mut listeners = Vec::new();
        for port in ports {
            bind_one(port, &mut listeners)?;
        }
        Ok(Self(listeners))
    }

    /// What is published.
    #[must_use]
    pub fn ports(&self) -> Vec<BoundPort> {
        self.0.iter().map(|listener| listener.port).collect()
    }

    /// Whether nothing is published.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn bind_one(port: &PublishedPort, listeners: &mut Vec<Listener>) -> Result<(), ListenError> {
    let addresses: &[IpAddr] = match &port.ip {
        Some(ip) => std::slice::from_ref(ip),
        None => &[
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ],
    };
    let candidates: Vec<u16> = match port.host {
        Some((first, last)) => (first..=last).collect(),
        None => vec![0; ATTEMPTS],
    };
    let mut last = Errno::ADDRINUSE;
    for candidate in candidates {
        match bind_all(addresses, candidate, port) {
            Ok(bound) => {
                listeners.extend(bound);
                return Ok(());
            }
            Err(Errno::ADDRINUSE) => {}
            Err(errno) => {
                last = errno;
                break;
            }
        }
    }
    Err(refusal(port, last))
}

/// Binds a port on every address.
fn bind_all(
    addresses: &[IpAddr],
    number: u16,
    port: &PublishedPort,
) -> rustix::io::Result<Vec<Listener>> {
    let mut bound: Vec<Listener> = Vec::new();
    for address in addresses {
        // The second family gets the port that was found free for the first.
        let number = bound.first().map_or(number, |first| first.port.host.port());
        match bind_socket(SocketAddr::new(*address, number), port.protocol) {
            Ok((socket, host)) => bound.push(Listener {
                socket,
                port: BoundPort {
                    host,
                    container: port.container,
                    protocol: port.protocol,
                    chosen: port.host.is_none_or(|(first, last)| first != last),
                },
            }),
            // A machine without IPv6.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if !bound.is_empty() => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(bound)
}

fn bind_socket(
    address: SocketAddr,
    protocol: Protocol,
) -> rustix::io::Result<(OwnedFd, SocketAddr)> {
    let socket = socket(family_of(&address), protocol)?;
    if protocol == Protocol::Tcp {
        // Connections of an earlier container that linger do not keep the port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if protocol == Protocol::Tcp {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, bound))
}

pub(super) fn family_of(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// A socket that does not block, in the network namespace of the calling thread.
pub(super) fn socket(family: AddressFamily, protocol: Protocol) -> rustix::io::Result<OwnedFd> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, kind, flags, None)
}

fn refusal(port: &PublishedPort, errno: Errno) -> ListenError {
    let shown = match port.host {
        Some((first, last)) if first != last => format!("{first}-{last}/{}", port.protocol),
        Some((first, _)) => format!("{first}/{}", port.protocol),
        None => format!("0/{}", port.protocol),
    };
    match (errno, port.ip, port.host) {
        (Errno::ADDRINUSE, _, host) => ListenError::Taken {
            holder: host.and_then(|(first, _)| holder::of(first, port.protocol)),
            port: shown,
        },
        (Errno::ACCESS, ..) => ListenError::Forbidden { port: shown },
        (Errno::ADDRNOTAVAIL, Some(address), _) => ListenError::NoSuchAddress { address },
        (source, ..) => ListenError::Bind {
            port: shown,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::port::PublishedPorts;
    use super::*;

    fn bind(text: &str) -> Result<Listeners, ListenError> {
        Listeners::bind(&text.parse::<PublishedPorts>().unwrap().0)
    }

    #[test]
    fn a_taken_port_is_refused_and_its_holder_named() {
        let first = bind("127.0.0.1::80").unwrap();
        let port = first.ports()[0].host.port();
        assert!(first.ports()[0].chosen);
        let again = bind(&format!("127.0.0.1:{port}:80")).unwrap_err();
        let ListenError::Taken { holder, .. } = &again else {
            panic!("{again:?}");
        };
        assert_eq!(holder.as_ref().unwrap().pid, std::process::id());
        assert!(again.to_string().contains(&port.to_string()), "{again}");
    }

    #[test]
    fn a_range_gives_its_first_free_port() {
        let held = bind("127.0.0.1::80").unwrap();
        let port = held.ports()[0].host.port();
        let bound = bind(&format!("127.0.0.1:{port}-{}:80", port + 20)).unwrap();
        assert!(bound.ports()[0].host.port() > port);
    }

    #[test]
    fn both_families_get_the_same_port() {
        let bound = bind("80/udp").unwrap().ports();
        assert!(
            bound
                .iter()
                .all(|port| port.host.port() == bound[0].host.port())
        );
        assert!(bound[0].host.is_ipv4());
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = bind("192.0.2.77:0:80").unwrap_err();
        assert!(matches!(error, ListenError::NoSuchAddress { .. }));
    }
}
