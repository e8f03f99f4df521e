//! The container's end of its way out: a tap device with an address and a route.
//!
//! What is told to the kernel is rtnetlink(7), written by hand: four messages, sent as one.

use std::ffi::CStr;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The device's name inside, as docker's.
pub(super) const NAME: &str = "eth0";
const DEVICE: &CStr = c"eth0";
/// The container's own address.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
/// The bits of the network that is said to be on the link.
pub(super) const PREFIX: u8 = 24;
/// The router's address.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Where name queries are taken, for a host whose own resolver listens on its loopback only.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The most bytes in a packet: the more, the fewer packets go through user space.
const MTU: u32 = 65520;

/// How long the kernel waits before it asks again who has an address, in milliseconds, and how often
/// it asks. What a program sends while nobody answers yet, it keeps, so nothing is lost.
const ASK_AGAIN: u64 = 20;
const ASK: u32 = 500;

/// Whether the kernel forgets its questions, and what waits for the answers, while nobody has the
/// device open: between us and `pasta`.
const KEEP_WAITING: &str = "/proc/sys/net/ipv4/conf/eth0/arp_evict_nocarrier";

// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/neighbour.h
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_SETNEIGHTBL: u16 = 67;
const IFLA_MTU: u16 = 4;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_RETRANS_TIME: u16 = 5;
const NDTPA_MCAST_PROBES: u16 = 11;

/// `ETH_P_ARP`, where an Ethernet frame has its type.
const ARP: [u8; 2] = [0x08, 0x06];
/// The longest frame, in bytes.
const FRAME: usize = MTU as usize + 14;

/// Makes the device in the network namespace of the calling thread, and gives it what it needs. It
/// stays when the descriptor is closed, and nothing that is sent leaves it before somebody answers.
pub(super) fn create() -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tap = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    crate::sys::make_tap(tap.as_fd(), DEVICE)?;
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let index = rustix::net::netdevice::name_to_index(&socket, NAME)?;
    let (messages, count) = configuration(index);
    rustix::net::send(&socket, &messages, SendFlags::empty())?;
    let mut buffer = [0; 8192];
    let mut answered = 0;
    while answered < count {
        let (got, _) = rustix::net::recv(&socket, &mut buffer, RecvFlags::empty())?;
        answered += acknowledged(&buffer[..got])?;
    }
    // Linux before 5.16 has no such file; there the first connection may take a second longer.
    let _ = std::fs::write(KEEP_WAITING, "0");
    Ok(tap)
}

/// Whether what came to the device is a question for a neighbour: somebody wants out.
pub(super) fn somebody_wants_out(tap: &OwnedFd) -> bool {
    let mut frame = [0; FRAME];
    while let Ok(got) = rustix::io::read(tap, &mut frame) {
        if got == 0 {
            return false;
        }
        if frame.get(12..14) == Some(&ARP) {
            return true;
        }
    }
    false
}

fn configuration(index: u32) -> (Vec<u8>, usize) {
    let device = index.to_ne_bytes();
    let address = ADDRESS.octets();
    let mut messages = Vec::new();

    // struct ndtmsg: family and padding.
    let mut neighbours = vec![AddressFamily::INET.as_raw() as u8, 0, 0, 0];
    attribute(&mut neighbours, NDTA_NAME, b"arp_cache\0");
    let mut parameters = Vec::new();
    attribute(&mut parameters, NDTPA_IFINDEX, &device);
    attribute(
        &mut parameters,
        NDTPA_RETRANS_TIME,
        &ASK_AGAIN.to_ne_bytes(),
    );
    attribute(&mut parameters, NDTPA_MCAST_PROBES, &ASK.to_ne_bytes());
    attribute(&mut neighbours, NDTA_PARMS, &parameters);

    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let mut addresses = vec![AddressFamily::INET.as_raw() as u8, PREFIX, 0, 0];
    addresses.extend(device);
    attribute(&mut addresses, IFA_LOCAL, &address);
    attribute(&mut addresses, IFA_ADDRESS, &address);

    // struct ifinfomsg: family, padding, type, index, flags, which of them to change.
    let mut link = vec![0; 4];
    link.extend(device);
    link.extend(IFF_UP.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes());
    attribute(&mut link, IFLA_MTU, &MTU.to_ne_bytes());

    // struct rtmsg: family, two lengths, type of service, table, protocol, scope, type, flags.
    let mut route = vec![AddressFamily::INET.as_raw() as u8, 0, 0, 0];
    route.extend([RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST]);
    route.extend(0_u32.to_ne_bytes());
    attribute(&mut route, RTA_GATEWAY, &GATEWAY.octets());
    attribute(&mut route, RTA_OIF, &device);

    let all = [
        (RTM_SETNEIGHTBL, neighbours),
        (RTM_NEWADDR, addresses),
        (RTM_NEWLINK, link),
        (RTM_NEWROUTE, route),
    ];
    let count = all.len();
    for (kind, body) in all {
        // struct nlmsghdr: length, type, flags, sequence, port.
        messages.extend((16 + body.len() as u32).to_ne_bytes());
        messages.extend(kind.to_ne_bytes());
        messages.extend((NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE).to_ne_bytes());
        messages.extend([0; 8]);
        messages.extend(body);
    }
    (messages, count)
}

/// struct rtattr: length, type, and the value, padded to four bytes.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend((4 + value.len() as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// How many messages are acknowledged in what the kernel answers; the first refusal is the error.
fn acknowledged(mut answers: &[u8]) -> Result<usize, Errno> {
    let mut count = 0;
    while let [a, b, c, d, k, l, ..] = *answers {
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        if u16::from_ne_bytes([k, l]) == NLMSG_ERROR {
            let code = answers.get(16..20).and_then(|code| code.try_into().ok());
            match code.map(i32::from_ne_bytes) {
                Some(0) => count += 1,
                Some(code) => return Err(Errno::from_raw_os_error(code.saturating_neg())),
                None => return Err(Errno::BADMSG),
            }
        }
        let Some(rest) = answers.get(length.next_multiple_of(4).max(16)..) else {
            break;
        };
        answers = rest;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_attributes_are_aligned_and_say_their_length() {
        let (messages, count) = configuration(2);
        let mut rest = &messages[..];
        for _ in 0..count {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            assert_eq!(length % 4, 0);
            rest = &rest[length..];
        }
        assert_eq!(rest, [0; 0]);
    }

    #[test]
    fn a_refusal_is_the_error() {
        let answer = |code: i32| {
            let mut answer = 36_u32.to_ne_bytes().to_vec();
            answer.extend(NLMSG_ERROR.to_ne_bytes());
            answer.extend([0; 10]);
            answer.extend(code.to_ne_bytes());
            answer.resize(36, 0);
            answer
        };
        let good = answer(0);
        assert_eq!(acknowledged(&[good.clone(), good.clone()].concat()), Ok(2));
        assert_eq!(acknowledged(&[good, answer(-1)].concat()), Err(Errno::PERM));
    }
}
