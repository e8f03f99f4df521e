//! What a container sees as `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname`.

use std::fs;
use std::net::IpAddr;

use super::outbound;

/// Where systemd-resolved lists the servers behind its own on 127.0.0.53.
const BEHIND_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
const HOST: &str = "/etc/resolv.conf";

/// The host's resolver configuration as a container can use it.
///
/// One that shares the host's network gets it as it is. For others, servers on the host's loopback
/// are out of reach: what is left without them is used, else those behind systemd-resolved, as docker
/// does, else the one that `pasta` stands in for.
#[must_use]
pub fn resolv_conf(shares_host_network: bool) -> String {
    let host = fs::read_to_string(HOST).unwrap_or_default();
    if shares_host_network {
        return host;
    }
    let behind = || fs::read_to_string(BEHIND_RESOLVED).unwrap_or_default();
    reachable(&host)
        .or_else(|| reachable(&behind()))
        .unwrap_or_else(|| {
            let others = host.lines().filter(|line| server_of(line).is_none());
            let server = format!("nameserver {}", outbound::RESOLVER);
            let lines: Vec<&str> = others.chain([server.as_str()]).collect();
            lines.join("\n") + "\n"
        })
}

/// The text without servers on loopback addresses, if there are others.
fn reachable(text: &str) -> Option<String> {
    let is_near = |line: &&str| server_of(line).is_some_and(|ip| ip.is_loopback());
    let kept: Vec<&str> = text.lines().filter(|line| !is_near(line)).collect();
    let any = kept.iter().any(|line| server_of(line).is_some());
    any.then(|| kept.join("\n") + "\n")
}

/// The address in a `nameserver` line (resolv.conf(5)).
fn server_of(line: &str) -> Option<IpAddr> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("nameserver") {
        return None;
    }
    let address = words.next()?;
    address.split('%').next()?.parse().ok()
}

/// Names that a container knows by itself: its loopback's, and its own at `address`.
#[must_use]
pub fn hosts(hostname: &str, address: IpAddr) -> String {
    format!(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n\
         {address}\t{hostname}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_hosts_loopback_are_left_out() {
        let text = "search a.example\nnameserver 127.0.0.53\nnameserver 192.0.2.1\noptions edns0\n";
        assert_eq!(
            reachable(text).unwrap(),
            "search a.example\nnameserver 192.0.2.1\noptions edns0\n"
        );
        assert_eq!(reachable("nameserver 127.0.0.53\nnameserver ::1\n"), None);
        assert_eq!(reachable("# nameserver 192.0.2.1\n"), None);
        assert!(reachable("nameserver fe80::1%eth0\n").is_some());
    }
}
