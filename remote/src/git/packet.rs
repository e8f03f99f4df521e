//! Packets, of which all that git says on a line is made.
//!
//! Source: gitprotocol-common(5), "pkt-line Format", and gitprotocol-v2(5).

use std::io::{self, Read};

use super::error::GitError;

/// The most bytes of a packet, with its length in front.
const LARGEST: usize = 65520;

/// What is read.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// Some bytes; of text, without the end of the line.
    Line(Vec<u8>),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a part of a message.
    Delimiter,
    /// `0002`: the end of an answer.
    End,
}

impl Packet {
    /// Reads the next one.
    pub fn read(from: &mut dyn Read) -> Result<Self, GitError> {
        match Self::read_raw(from)? {
            Self::Line(mut line) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                match line.strip_prefix(b"ERR ") {
                    Some(message) => Err(GitError::remote(message)),
                    None => Ok(Self::Line(line)),
                }
            }
            packet => Ok(packet),
        }
    }

    fn read_raw(from: &mut dyn Read) -> Result<Self, GitError> {
        let mut digits = [0; 4];
        from.read_exact(&mut digits)?;
        let length = std::str::from_utf8(&digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(0) => Ok(Self::Flush),
            Some(1) => Ok(Self::Delimiter),
            Some(2) => Ok(Self::End),
            Some(length @ 4..=LARGEST) => {
                let mut line = vec![0; length - 4];
                from.read_exact(&mut line)?;
                Ok(Self::Line(line))
            }
            _ => Err(GitError::Protocol("a packet without a length")),
        }
    }

    /// The text, if it is some.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Line(line) => String::from_utf8(line).ok(),
            _ => None,
        }
    }
}

/// Appends a line of text.
pub fn line(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

/// Appends the end of a part.
pub fn delimiter(to: &mut Vec<u8>) {
    to.extend_from_slice(b"0001");
}

/// Appends the end of a message.
pub fn flush(to: &mut Vec<u8>) {
    to.extend_from_slice(b"0000");
}

/// The data among what a server sends side by side with its talk.
pub struct Band<'a> {
    from: Box<dyn Read + 'a>,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<'a> Band<'a> {
    pub fn new(from: Box<dyn Read + 'a>) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            at: 0,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.at >= self.buffer.len() && !self.ended {
            match Packet::read_raw(&mut self.from).map_err(GitError::into_io)? {
                Packet::Line(line) => match line.split_first() {
                    Some((1, _)) => (self.buffer, self.at) = (line, 1),
                    Some((2, _)) => {}
                    Some((3, message)) => return Err(GitError::remote(message).into_io()),
                    _ => return Err(GitError::Protocol("a band of no number").into_io()),
                },
                _ => self.ended = true,
            }
        }
        Ok(())
    }
}

impl Read for Band<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let length = rest.len().min(to.len());
        to[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut bytes = Vec::new();
        line(&mut bytes, "command=fetch");
        delimiter(&mut bytes);
        flush(&mut bytes);
        let mut from = bytes.as_slice();
        assert_eq!(
            Packet::read(&mut from).unwrap(),
            Packet::Line(b"command=fetch".into())
        );
        assert_eq!(Packet::read(&mut from).unwrap(), Packet::Delimiter);
        assert_eq!(Packet::read(&mut from).unwrap(), Packet::Flush);
        assert!(matches!(
            Packet::read(&mut from),
            Err(GitError::Connection(_))
        ));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for bytes in ["0003", "zzzz", "fff1", "+001", "<htm"] {
            let read = Packet::read(&mut bytes.as_bytes());
            assert!(matches!(read, Err(GitError::Protocol(_))), "{bytes}");
        }
        let read = Packet::read(&mut &b"000cERR no\x1b!"[..]);
        assert!(matches!(read, Err(GitError::Remote(text)) if text == "no\x1b!"));
    }

    #[test]
    fn data_comes_without_the_talk() {
        let bytes = b"0007\x01ab0008\x02hey0006\x01c0000";
        let mut read = Vec::new();
        Band::new(Box::new(&bytes[..]))
            .read_to_end(&mut read)
            .unwrap();
        assert_eq!(read, b"abc");
        let failed = Band::new(Box::new(&b"0008\x03no!"[..])).read_to_end(&mut Vec::new());
        assert!(
            matches!(GitError::from(failed.unwrap_err()), GitError::Remote(text) if text == "no!")
        );
    }
}
