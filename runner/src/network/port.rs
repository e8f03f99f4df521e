//! Published ports as docker's `-p` says them: `[[ip:]host:]container[/tcp|udp]`, each port a range if wanted.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most ports that one flag may publish.
const MOST: usize = 16 << 10;

/// A transport protocol that ports belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// One port of a container, and where on the host it is to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// The address of the host; all of them, of both families, where absent.
    pub ip: Option<IpAddr>,
    /// The first and the last port of the host that will do, the first free one of which is taken;
    /// any that is free where absent.
    pub host: Option<(u16, u16)>,
    /// The port inside.
    pub container: u16,
    /// Of which protocol both are.
    pub protocol: Protocol,
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            None => {}
        }
        match self.host {
            Some((first, last)) if first == last => write!(f, "{first}:")?,
            Some((first, last)) => write!(f, "{first}-{last}:")?,
            None if self.ip.is_some() => f.write_str(":")?,
            None => {}
        }
        write!(f, "{}/{}", self.container, self.protocol)
    }
}

/// The ports of one `-p`: several where it gives ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPorts(pub Vec<PublishedPort>);

/// Why a `-p` cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortSyntaxError {
    /// The part after the last colon is missing.
    #[error("no port of the container is given")]
    NoContainerPort,
    /// Not a port.
    #[error("{0:?} is not a port: a number from {least} to 65535 is expected", least = i32::from(*.1))]
    Number(String, bool),
    /// A range that ends before it starts.
    #[error("the range {0:?} ends before it starts")]
    Reversed(String),
    /// Two ranges that do not fit each other.
    #[error("the ranges {host:?} and {container:?} have not the same length")]
    Lengths {
        /// Of the host.
        host: String,
        /// Of the container.
        container: String,
    },
    /// Not an address.
    #[error("{0:?} is not an IP address")]
    Address(String),
    /// A protocol that cannot be published.
    #[error("the protocol {0:?} cannot be published: tcp and udp can")]
    Protocol(String),
    /// More ports than is sensible.
    #[error("more than {MOST} ports")]
    TooMany,
}

impl FromStr for PublishedPorts {
    type Err = PortSyntaxError;

    fn from_str(text: &str) -> Result<Self, PortSyntaxError> {
        let (ports, protocol) = match text.split_once('/') {
            Some((ports, protocol)) => (ports, protocol_of(protocol)?),
            None => (text, Protocol::Tcp),
        };
        let (rest, container) = match ports.rsplit_once(':') {
            Some((rest, container)) => (Some(rest), container),
            None => (None, ports),
        };
        if container.is_empty() {
            return Err(PortSyntaxError::NoContainerPort);
        }
        let (ip, host) = match rest.map(|rest| (rest, rest.rsplit_once(':'))) {
            None => (None, ""),
            Some((rest, None)) => (None, rest),
            Some((_, Some((ip, host)))) => (address(ip)?, host),
        };
        let inside = range(container, true)?;
        let outside = match host {
            "" => None,
            // Port 0 means what it means to the kernel: any.
            host => Some(range(host, false)?).filter(|range| *range != (0, 0)),
        };
        let length = usize::from(inside.1 - inside.0) + 1;
        if length > MOST {
            return Err(PortSyntaxError::TooMany);
        }
        if let Some((first, last)) = outside
            && length > 1
            && length != usize::from(last - first) + 1
        {
            return Err(PortSyntaxError::Lengths {
                host: host.into(),
                container: container.into(),
            });
        }
        let port = |container: u16| PublishedPort {
            ip,
            host: outside.map(|(first, last)| match length {
                1 => (first, last),
                _ => {
                    let port = first + (container - inside.0);
                    (port, port)
                }
            }),
            container,
            protocol,
        };
        Ok(Self((inside.0..=inside.1).map(port).collect()))
    }
}

fn protocol_of(text: &str) -> Result<Protocol, PortSyntaxError> {
    match text.to_ascii_lowercase().as_str() {
        "" | "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err(PortSyntaxError::Protocol(text.into())),
    }
}

/// An address, an IPv6 one in brackets or not; none where empty.
fn address(text: &str) -> Result<Option<IpAddr>, PortSyntaxError> {
    let wrong = || PortSyntaxError::Address(text.into());
    if text.is_empty() {
        return Ok(None);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let parsed = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => text.parse::<IpAddr>(),
    };
    Ok(Some(parsed.map_err(|_| wrong())?))
}

/// A port or a range; `inside` there is no port 0.
fn range(text: &str, inside: bool) -> Result<(u16, u16), PortSyntaxError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first, inside)?, number(last, inside)?);
    if last < first {
        return Err(PortSyntaxError::Reversed(text.into()));
    }
    Ok((first, last))
}

fn number(text: &str, inside: bool) -> Result<u16, PortSyntaxError> {
    let wrong = || PortSyntaxError::Number(text.into(), inside);
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let port = text.parse().map_err(|_| wrong())?;
    if inside && port == 0 {
        return Err(wrong());
    }
    Ok(port)
}

#[cfg(test)]
mod tests;
