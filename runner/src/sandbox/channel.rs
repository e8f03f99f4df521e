//! What parent and child say to each other, and how it travels.
//!
//! A message is JSON, with descriptors and, for what JSON would only bloat, raw bytes beside it.
//! It goes over a `SOCK_SEQPACKET` pair in packets that the kernel delivers whole: the first
//! begins with the two lengths and carries the descriptors.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Exit;
use super::failure::Failure;
use super::spec::SandboxSpec;

/// The most a message may hold, in bytes: the kernel takes 2 MiB of arguments and environment,
/// and JSON at most doubles what is text; 8 MiB beside are for secrets.
const LIMIT: usize = 16 << 20;
/// The most in one packet, in bytes; well below the least socket buffer.
const PACKET: usize = 64 << 10;
/// The most descriptors beside one message.
const DESCRIPTORS: usize = 4;
/// The two lengths at the start of the first packet, in bytes.
const HEADER: usize = 8;

/// From the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// To the stage: make the namespaces, and init.
    Begin {
        /// Whether one of them is a network namespace.
        network: bool,
    },
    /// To init: make this. Descriptors: the payload's ends of pipes. Bytes: what is hidden in it.
    Make(Box<SandboxSpec>),
    /// To init: the network stands, run the payload. Bytes: the system call filter, if any.
    Start,
}

/// From the child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// From the stage. Descriptors: init, and the network namespace where one was made.
    Namespaces,
    /// From init: the payload runs. Descriptors: the payload, and the terminal's master.
    Started {
        /// What was made inside the root only for something to be mounted on it.
        created: Vec<PathBuf>,
    },
    /// From init, or from the stage for an init that was killed.
    Exited(Exit),
    /// From whichever failed; nothing comes after it.
    Failed(Failure),
}

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A system call failed.
    #[error("the channel to the sandbox's process")]
    System(#[from] Errno),
    /// The message is too long.
    #[error("a message of {length} bytes, where {LIMIT} are the most")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The message cannot be written as JSON, as with a path that is not UTF-8, or read from it.
    #[error("a message that is not well-formed")]
    Malformed(#[from] serde_json::Error),
    /// The message is cut short, or comes with more descriptors than it should.
    #[error("a message that is cut short")]
    CutShort,
}

/// A message as it came.
pub(super) struct Received<T> {
    pub body: T,
    pub bytes: Vec<u8>,
    pub descriptors: Vec<OwnedFd>,
}

/// One end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// The two ends.
    pub fn pair() -> Result<(Channel, Channel), ChannelError> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Channel(one), Channel(other)))
    }

    pub fn from_fd(fd: OwnedFd) -> Channel {
        Channel(fd)
    }

    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Sends one message, wholly.
    pub fn send(
        &self,
        body: &impl Serialize,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let body = serde_json::to_vec(body)?;
        let length = body.len() + bytes.len();
        if length > LIMIT {
            return Err(ChannelError::TooLong { length });
        }
        let mut message = Vec::with_capacity(HEADER + length);
        message.extend((body.len() as u32).to_le_bytes());
        message.extend((bytes.len() as u32).to_le_bytes());
        message.extend(body);
        message.extend(bytes);

        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        for packet in message.chunks(PACKET) {
            rustix::io::retry_on_intr(|| {
                let packet = [IoSlice::new(packet)];
                rustix::net::sendmsg(&self.0, &packet, &mut ancillary, SendFlags::NOSIGNAL)
            })?;
            ancillary.clear();
        }
        Ok(())
    }

    /// Receives one message, or none where the other end is closed.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<Received<T>>, ChannelError> {
        let mut packet = vec![0; PACKET];
        let mut descriptors = Vec::new();
        let got = self.packet(&mut packet, &mut descriptors)?;
        if got == 0 {
            return Ok(None);
        }
        let Some((header, start)) = packet[..got].split_first_chunk::<HEADER>() else {
            return Err(ChannelError::CutShort);
        };
        let [a, b, c, d, e, f, g, h] = *header;
        let body_length = u32::from_le_bytes([a, b, c, d]) as usize;
        let length = body_length + u32::from_le_bytes([e, f, g, h]) as usize;
        if length > LIMIT {
            return Err(ChannelError::TooLong { length });
        }
        let mut message = start.to_vec();
        while message.len() < length {
            let got = self.packet(&mut packet, &mut descriptors)?;
            if got == 0 {
                return Err(ChannelError::CutShort);
            }
            message.extend(&packet[..got]);
        }
        if message.len() != length {
            return Err(ChannelError::CutShort);
        }
        let bytes = message.split_off(body_length);
        Ok(Some(Received {
            body: serde_json::from_slice(&message)?,
            bytes,
            descriptors,
        }))
    }

    fn packet(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<usize, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let mut slices = [IoSliceMut::new(buffer)];
            let got = rustix::net::recvmsg(
                &self.0,
                &mut slices,
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            match got {
                // The other end closed with something unread. The kernel says so once, before it
                // hands out what that end had sent.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                got => break got?,
            }
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if got
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            return Err(ChannelError::CutShort);
        }
        Ok(got.bytes)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_whole_with_its_bytes_and_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let text = "ä\"\n".repeat(10_000);
        let file = std::fs::File::open("/dev/null").unwrap();
        one.send(&text, &bytes, &[file.as_fd(), file.as_fd()])
            .unwrap();
        let got = other.receive::<String>().unwrap().unwrap();
        assert_eq!((got.body, got.bytes), (text, bytes));
        assert_eq!(got.descriptors.len(), 2);
    }

    #[test]
    fn a_closed_channel_is_an_end_and_half_a_message_an_error() {
        let (one, other) = Channel::pair().unwrap();
        drop(one);
        assert!(other.receive::<String>().unwrap().is_none());

        let (one, other) = Channel::pair().unwrap();
        rustix::net::send(&one, &[200, 0, 0, 0, 0, 0, 0, 0, b'"'], SendFlags::empty()).unwrap();
        drop(one);
        assert!(matches!(
            other.receive::<String>(),
            Err(ChannelError::CutShort)
        ));
    }

    #[test]
    fn last_words_are_heard_from_one_that_did_not_listen() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&"unheard", &[], &[]).unwrap();
        other.send(&"last words", &[], &[]).unwrap();
        drop(other);
        let got = one.receive::<String>().unwrap().unwrap();
        assert_eq!(got.body, "last words");
        assert!(one.receive::<String>().unwrap().is_none());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let (one, other) = Channel::pair().unwrap();
        rustix::net::send(&one, &[255; 8], SendFlags::empty()).unwrap();
        assert!(matches!(
            other.receive::<String>(),
            Err(ChannelError::TooLong { .. })
        ));
        rustix::net::send(
            &one,
            &[1, 0, 0, 0, 0, 0, 0, 0, b'1', b'2'],
            SendFlags::empty(),
        )
        .unwrap();
        assert!(matches!(other.receive::<u8>(), Err(ChannelError::CutShort)));
    }
}
