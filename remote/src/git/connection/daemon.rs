//! git's own protocol, over TCP.
//!
//! Source: gitprotocol-pack(5), "Git Transport".

use std::io::{Read, Write};
use std::net::TcpStream;

use builder::cancel::Cancel;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::Connection;
use super::polled::Polled;
use crate::cancellable::unless;
use crate::client::{CONNECT, SILENCE};
use crate::git::error::GitError;

/// A connection to a git daemon.
pub struct Daemon<'a> {
    stream: Polled<'a, TcpStream>,
    greeting: Vec<u8>,
}

impl<'a> Daemon<'a> {
    /// Connects.
    pub fn connect(
        runtime: &Runtime,
        (host, port, path): (&str, u16, &str),
        cancel: &'a Cancel,
    ) -> Result<Self, GitError> {
        let stream = runtime.block_on(async {
            let connecting = timeout(CONNECT, tokio::net::TcpStream::connect((host, port)));
            let connected = unless(cancel, connecting)
                .await
                .ok_or(GitError::Cancelled)?;
            let stream = connected.map_err(std::io::Error::from)??.into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_write_timeout(Some(SILENCE))?;
            Ok::<_, GitError>(stream)
        })?;
        let text = format!("git-upload-pack {path}\0host={host}:{port}\0\0version=2\0");
        Ok(Self {
            stream: Polled {
                inner: stream,
                cancel,
            },
            greeting: format!("{:04x}{text}", text.len() + 4).into_bytes(),
        })
    }
}

impl Connection for Daemon<'_> {
    fn greet(&mut self) -> Result<Box<dyn Read + '_>, GitError> {
        let greeting = std::mem::take(&mut self.greeting);
        self.ask(greeting)
    }

    fn ask(&mut self, request: Vec<u8>) -> Result<Box<dyn Read + '_>, GitError> {
        self.stream.inner.write_all(&request)?;
        Ok(Box::new(&mut self.stream))
    }
}
