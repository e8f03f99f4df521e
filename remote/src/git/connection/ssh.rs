//! git over the ssh program, with the keys of the user's agent.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use builder::cancel::Cancel;

use super::Connection;
use super::polled::Polled;
use crate::git::error::GitError;

/// As much of what ssh says is told.
const MOST_TALK: u64 = 4096;

/// A running ssh.
pub struct Ssh<'a> {
    child: Child,
    input: ChildStdin,
    output: Polled<'a, ChildStdout>,
    talk: File,
}

impl<'a> Ssh<'a> {
    /// Starts ssh; what it complains of goes into `talk`.
    pub fn start(
        (host, port, path): (&str, Option<u16>, &str),
        talk: File,
        cancel: &'a Cancel,
    ) -> Result<Self, GitError> {
        let mut command = Command::new("ssh");
        // It must ask nobody: there may be no terminal, and on the terminal there is a display.
        command.args(["-o", "BatchMode=yes", "-o", "SendEnv=GIT_PROTOCOL"]);
        command.args(own_files());
        if let Some(port) = port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", host, &format!("git-upload-pack {}", quoted(path))]);
        command.env("GIT_PROTOCOL", "version=2");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(talk.try_clone()?);
        let mut child = command.spawn().map_err(GitError::Ssh)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(GitError::Ssh(io::ErrorKind::BrokenPipe.into()));
        };
        let output = Polled {
            inner: output,
            cancel,
        };
        Ok(Self {
            child,
            input,
            output,
            talk,
        })
    }
}

/// Root of a user namespace has root's home for ssh, and not the user's.
fn own_files() -> Vec<String> {
    let is_root = rustix::process::geteuid().is_root();
    let Some(home) = std::env::var_os("HOME").filter(|_| is_root) else {
        return Vec::new();
    };
    let dir = Path::new(&home).join(".ssh");
    let mut args = Vec::new();
    let (config, hosts) = (dir.join("config"), dir.join("known_hosts"));
    if config.exists() {
        args.extend(["-F".to_owned(), config.display().to_string()]);
    }
    if hosts.exists() {
        let option = format!("UserKnownHostsFile=\"{}\"", hosts.display());
        args.extend(["-o".to_owned(), option]);
    }
    args
}

/// One word to the shell over there.
fn quoted(path: &str) -> String {
    match path.strip_prefix('~').and_then(|rest| rest.split_once('/')) {
        // The shell finds the home.
        Some((user, rest)) if user.chars().all(|c| c.is_ascii_alphanumeric()) => {
            format!("~{user}/{}", quoted(rest))
        }
        _ => format!("'{}'", path.replace('\'', "'\\''").replace('!', "'\\!'")),
    }
}

/// Reads what ssh passes on; where that is nothing, ssh has failed and said why.
struct Told<'a, 'b> {
    output: &'a mut Polled<'b, ChildStdout>,
    talk: &'a mut File,
}

impl Read for Told<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.output.read(to)?;
        if length == 0 && !to.is_empty() {
            let mut bytes = Vec::new();
            self.talk.rewind()?;
            (&mut self.talk).take(MOST_TALK).read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            if !text.is_empty() {
                return Err(GitError::SshFailed(text).into_io());
            }
        }
        Ok(length)
    }
}

impl Connection for Ssh<'_> {
    fn greet(&mut self) -> Result<Box<dyn Read + '_>, GitError> {
        self.ask(Vec::new())
    }

    fn ask(&mut self, request: Vec<u8>) -> Result<Box<dyn Read + '_>, GitError> {
        self.input.write_all(&request)?;
        Ok(Box::new(Told {
            output: &mut self.output,
            talk: &mut self.talk,
        }))
    }
}

impl Drop for Ssh<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_is_one_word_to_the_shell() {
        assert_eq!(quoted("/a b"), "'/a b'");
        assert_eq!(quoted("a';id"), "'a'\\'';id'");
        assert_eq!(quoted("~me/a;id"), "~me/'a;id'");
        assert_eq!(quoted("~$(id)/a"), "'~$(id)/a'");
    }
}
