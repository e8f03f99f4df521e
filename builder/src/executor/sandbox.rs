//! Commands in the runner's sandbox.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use runner::sandbox::{Mount, MountSource, Network, SandboxSpec, Stdio, Stream};
use runner::{Running, Sandbox, SandboxError};
use rustix::event::{PollFd, PollFlags, poll};

use super::{Executor, ExecutorError, Ran, RunStep};
use crate::cancel::Cancel;
use crate::progress::Output;
use crate::request::RunNetwork;

/// How long a command may go on after it was cancelled, at most.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same on every machine: nothing of this one may be in a layer.
const HOSTNAME: &str = "localhost";
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Runs each command in a sandbox of its own, with docker's defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct SandboxExecutor;

impl Executor for SandboxExecutor {
    fn run(
        &self,
        step: &RunStep,
        cancel: &Cancel,
        output: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<Ran, ExecutorError> {
        if cancel.is_cancelled() {
            return Err(ExecutorError::Cancelled);
        }
        let mut running = Sandbox::spawn(&spec(step)).map_err(|error| refused(step, error))?;
        let (stdout, stderr) = (running.stdout.take(), running.stderr.take());
        let running = &running;
        let (pumped, exit) = std::thread::scope(|scope| {
            let (ended, watch) = mpsc::channel::<()>();
            scope.spawn(move || kill_on_cancel(running, cancel, &watch));
            let pumped = pump(stdout, stderr, output);
            if pumped.is_err() {
                // Nobody reads what it writes: it would wait for that for ever.
                let _ = running.kill();
            }
            let exit = running.wait();
            drop(ended);
            (pumped, exit)
        });
        if cancel.is_cancelled() {
            return Err(ExecutorError::Cancelled);
        }
        pumped.map_err(ExecutorError::Output)?;
        let exit = exit.map_err(|error| ExecutorError::Sandbox(Box::new(error)))?;
        Ok(Ran {
            code: exit.code(),
            mount_targets: running.created_targets().to_vec(),
        })
    }
}

fn kill_on_cancel(running: &Running, cancel: &Cancel, ended: &mpsc::Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PATIENCE) {
        if cancel.is_cancelled() {
            // It can only fail where there is nothing left to kill.
            let _ = running.kill();
            return;
        }
    }
}

fn refused(step: &RunStep, error: SandboxError) -> ExecutorError {
    let source = Box::new(error);
    match source.exit_code() {
        code @ (126 | 127) => ExecutorError::Program {
            program: step.args.first().cloned().unwrap_or_default(),
            code,
            source,
        },
        _ => ExecutorError::Sandbox(source),
    }
}

fn spec(step: &RunStep) -> SandboxSpec {
    SandboxSpec {
        // What a crash of the machine loses of it, the next build makes again.
        volatile: true,
        mounts: vec![
            file("/etc/resolv.conf", resolv_conf(step.network)),
            file("/etc/hosts", HOSTS.to_owned()),
            file("/etc/hostname", format!("{HOSTNAME}\n")),
        ],
        hostname: HOSTNAME.to_owned(),
        env: step.env.clone(),
        cwd: PathBuf::from(&step.cwd),
        user: step.user.clone(),
        stdio: Stdio {
            stdin: Stream::Null,
            stdout: Stream::Pipe,
            stderr: Stream::Pipe,
        },
        network: match step.network {
            RunNetwork::Host => Network::Host,
            RunNetwork::None => Network::None,
        },
        // Package managers need set-user-ID programs.
        no_new_privs: false,
        ..SandboxSpec::new(step.root.clone(), step.args.clone())
    }
}

fn file(target: &str, contents: String) -> Mount {
    Mount {
        source: MountSource::File {
            contents,
            mode: 0o644,
        },
        target: PathBuf::from(target),
        read_only: true,
    }
}

/// The host's name servers where its network is used; a host without the file has none.
fn resolv_conf(network: RunNetwork) -> String {
    match network {
        RunNetwork::Host => std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        RunNetwork::None => String::new(),
    }
}

/// Hands on what both pipes bring, as it comes, until both are closed.
fn pump(
    stdout: Option<File>,
    stderr: Option<File>,
    output: &mut dyn FnMut(Output, &[u8]),
) -> io::Result<()> {
    let mut open: Vec<(Output, File)> = [(Output::Stdout, stdout), (Output::Stderr, stderr)]
        .into_iter()
        .filter_map(|(stream, pipe)| Some((stream, pipe?)))
        .collect();
    let mut buffer = vec![0; 64 << 10];
    while !open.is_empty() {
        let mut polled: Vec<PollFd<'_>> = open
            .iter()
            .map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN))
            .collect();
        match poll(&mut polled, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut closed = Vec::new();
        for (at, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            let (stream, pipe) = &mut open[at];
            match pipe.read(&mut buffer) {
                Ok(0) => closed.push(at),
                Ok(read) => output(*stream, &buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        for at in closed.into_iter().rev() {
            open.remove(at);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn both_pipes_are_pumped_to_their_ends() {
        let pipe = || {
            let (reader, writer) = io::pipe().unwrap();
            (File::from(OwnedFd::from(reader)), writer)
        };
        let ((out, mut to_out), (err, mut to_err)) = (pipe(), pipe());
        let writer = std::thread::spawn(move || {
            to_err.write_all(b"first").unwrap();
            drop(to_err);
            to_out.write_all(&vec![b'x'; 1 << 20]).unwrap();
        });
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        pump(Some(out), Some(err), &mut |stream, bytes| match stream {
            Output::Stdout => stdout.extend_from_slice(bytes),
            Output::Stderr => stderr.extend_from_slice(bytes),
        })
        .unwrap();
        writer.join().unwrap();
        assert_eq!((stdout.len(), stderr.as_slice()), (1 << 20, &b"first"[..]));
    }
}
