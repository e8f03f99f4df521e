//! Commands in the runner's sandbox.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use runner::sandbox::privileges::DOCKER_CAPABILITIES;
use runner::sandbox::{
    Capability, DEFAULT_SHM_SIZE, Hidden, Limit, Mount, MountSource, Network, SandboxSpec, Stdio,
    Stream,
};
use runner::{Sandbox, SandboxError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::agent::Agent;
use super::{Executor, ExecutorError, Ran, RunStep, StepMountSource};
use crate::cancel::Cancel;
use crate::progress::Output;
use crate::request::{RunNetwork, Secret, Ulimit};

/// How long a command may go on after it was cancelled, at most.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// The most of its output that is read at once, in bytes.
const BUFFER: usize = 64 << 10;
/// The same on every machine, for nothing of this one may be in a layer, and the same as BuildKit's, for
/// what commands write of it.
const HOSTNAME: &str = "buildkitsandbox";
const HOSTS: &str =
    "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n";

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
        let (spec, _agents) = spec(step)?;
        let mut running = Sandbox::spawn(&spec).map_err(|error| refused(step, error))?;
        let (stdout, stderr) = (running.stdout.take(), running.stderr.take());
        let mut killed = false;
        let pumped = pump(&running, stdout, stderr, output, &mut || {
            if cancel.is_cancelled() && !killed {
                // It can only fail where there is nothing left to kill.
                let _ = running.kill();
                killed = true;
            }
        });
        if pumped.is_err() {
            // Nobody reads what it writes: it would wait for that for ever.
            let _ = running.kill();
        }
        let exit = running.wait();
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

/// What the sandbox is to be, and what must last as long as it does.
fn spec(step: &RunStep) -> Result<(SandboxSpec, Vec<Agent>), ExecutorError> {
    let mut mounts = vec![
        file("/etc/resolv.conf", resolv_conf(step.network), 0o644),
        file("/etc/hosts", hosts(&step.hosts), 0o644),
    ];
    let script = step.script.iter();
    mounts.extend(script.map(|script| file(&script.path, script.text.clone(), 0o755)));
    let mut agents = Vec::new();
    for mount in &step.mounts {
        mounts.push(Mount {
            source: source(&mount.source, &mut agents)?,
            target: PathBuf::from(&mount.target),
            read_only: mount.read_only,
        });
    }
    let mut env = step.env.clone();
    for (name, Secret(value)) in &step.secret_env {
        env.push(format!("{name}={}", String::from_utf8_lossy(value)));
    }
    let spec = SandboxSpec {
        // What a crash of the machine loses of it, the next build makes again.
        volatile: true,
        mounts,
        hostname: HOSTNAME.to_owned(),
        env,
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
        scoped: true,
        shm_size: step.shm_size.unwrap_or(DEFAULT_SHM_SIZE),
        limits: step.ulimits.iter().map(limit).collect(),
        capabilities: capabilities(step.network),
        // Package managers need set-user-ID programs.
        no_new_privs: false,
        ..SandboxSpec::new(step.root.clone(), step.args.clone())
    };
    Ok((spec, agents))
}

fn source(source: &StepMountSource, agents: &mut Vec<Agent>) -> Result<MountSource, ExecutorError> {
    Ok(match source {
        StepMountSource::Files { root, path } => MountSource::Snapshot {
            root: root.clone(),
            path: PathBuf::from(path),
        },
        StepMountSource::Tmpfs { size } => MountSource::Tmpfs {
            size: *size,
            mode: 0o1777,
        },
        StepMountSource::Secret { value, access } => MountSource::Secret {
            contents: Hidden(value.0.clone()),
            mode: access.mode,
            uid: access.uid,
            gid: access.gid,
        },
        StepMountSource::Agent {
            socket,
            dir,
            access,
        } => {
            let agent = Agent::serve(socket, dir, *access);
            let agent = agent.map_err(|source| ExecutorError::Agent {
                socket: socket.clone(),
                source,
            })?;
            let path = agent.path().to_owned();
            agents.push(agent);
            MountSource::Bind { path }
        }
    })
}

fn limit(limit: &Ulimit) -> Limit {
    Limit {
        name: limit.name.clone(),
        soft: limit.soft,
        hard: limit.hard,
    }
}

fn hosts(added: &[(String, IpAddr)]) -> String {
    let mut hosts = HOSTS.to_owned();
    for (name, address) in added {
        hosts.push_str(&format!("{address}\t{name}\n"));
    }
    hosts
}

/// Docker's, for a command with a network of its own. On the host's, raw sockets would show all that
/// others send; in a user namespace they work in neither.
fn capabilities(network: RunNetwork) -> Vec<Capability> {
    let usual = DOCKER_CAPABILITIES.iter().copied();
    let fits =
        |capability: &Capability| network != RunNetwork::Host || *capability != Capability::NetRaw;
    usual.filter(fits).collect()
}

fn file(target: &str, contents: String, mode: u32) -> Mount {
    Mount {
        source: MountSource::File { contents, mode },
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

/// Hands on what both pipes bring, as it comes, until both are closed and `running` hangs up.
/// Calls `tick` at least every so often.
fn pump(
    running: impl AsFd,
    stdout: Option<File>,
    stderr: Option<File>,
    output: &mut dyn FnMut(Output, &[u8]),
    tick: &mut dyn FnMut(),
) -> io::Result<()> {
    let pipes = [(Output::Stdout, stdout), (Output::Stderr, stderr)];
    let pipes = pipes.into_iter();
    let mut open: Vec<(Output, File)> = pipes
        .filter_map(|(stream, pipe)| Some((stream, pipe?)))
        .collect();
    let mut buffer = vec![0; BUFFER];
    let mut ended = false;
    while !ended || !open.is_empty() {
        let pipes = open.iter();
        let mut polled: Vec<PollFd<'_>> = pipes
            .map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN))
            .collect();
        if !ended {
            // To be told of its end alone.
            polled.push(PollFd::new(&running, PollFlags::empty()));
        }
        match poll(&mut polled, Some(&PATIENCE)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        tick();
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        ended |= ready.get(open.len()).is_some_and(|hung_up| *hung_up);
        let mut closed = Vec::new();
        for (at, (stream, pipe)) in open.iter_mut().enumerate() {
            if !ready[at] {
                continue;
            }
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
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn both_pipes_are_pumped_to_their_ends_and_the_end_awaited() {
        let pipe = || {
            let (reader, writer) = io::pipe().unwrap();
            (File::from(OwnedFd::from(reader)), writer)
        };
        let ((out, mut to_out), (err, mut to_err)) = (pipe(), pipe());
        let (running, end) = UnixStream::pair().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&ended);
        let writer = std::thread::spawn(move || {
            to_err.write_all(b"first").unwrap();
            drop(to_err);
            to_out.write_all(&vec![b'x'; 1 << 20]).unwrap();
            drop(to_out);
            // So long that the one who waits looks up meanwhile.
            std::thread::sleep(Duration::from_millis(120));
            gone.store(true, Ordering::Release);
            drop(end);
        });
        let (mut stdout, mut stderr, mut ticks) = (Vec::new(), Vec::new(), 0);
        let mut tick = || ticks += 1;
        let mut take = |stream, bytes: &[u8]| match stream {
            Output::Stdout => stdout.extend_from_slice(bytes),
            Output::Stderr => stderr.extend_from_slice(bytes),
        };
        pump(&running, Some(out), Some(err), &mut take, &mut tick).unwrap();
        assert!(ended.load(Ordering::Acquire) && ticks > 0);
        writer.join().unwrap();
        assert_eq!((stdout.len(), stderr.as_slice()), (1 << 20, &b"first"[..]));
    }
}
