//! Which process holds a port, as far as `/proc` tells.

use std::fmt;
use std::fs;

use super::port::Protocol;

/// `TCP_LISTEN` in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The process that holds a port of this network namespace; one of another user stays unknown to
/// who is not root.
pub(super) fn of(port: u16, protocol: Protocol) -> Option<Holder> {
    let sockets: Vec<String> = ["", "6"]
        .iter()
        .filter_map(|family| fs::read_to_string(format!("/proc/net/{protocol}{family}")).ok())
        .flat_map(|table| inodes(&table, port, protocol))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
            descriptors.is_ok_and(|fds| {
                fds.flatten().any(|fd| {
                    fs::read_link(fd.path()).is_ok_and(|link| {
                        sockets.iter().any(|socket| link.as_os_str() == &**socket)
                    })
                })
            })
        })
        .map(|pid| Holder {
            pid,
            name: fs::read_to_string(format!("/proc/{pid}/comm"))
                .map_or_else(|_| "a process".into(), |name| name.trim().into()),
        })
}

/// The inodes of the sockets that hold `port`, out of a table such as `/proc/net/tcp` (proc(5)).
fn inodes(table: &str, port: u16, protocol: Protocol) -> Vec<u64> {
    let held = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let listens = protocol == Protocol::Udp || *fields.get(3)? == LISTEN;
        if !listens || u16::from_str_radix(local, 16) != Ok(port) {
            return None;
        }
        fields.get(9)?.parse().ok()
    };
    table.lines().skip(1).filter_map(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(of(port, Protocol::Tcp).unwrap().pid, std::process::id());
        drop(listener);
        assert_eq!(of(port, Protocol::Tcp), None);
    }

    #[test]
    fn a_connection_does_not_hold_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 41 1\n   \
            1: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000 0 0 42 1\n";
        assert_eq!(inodes(table, 8080, Protocol::Tcp), [41]);
        assert!(inodes(table, 8081, Protocol::Tcp).is_empty());
    }
}
