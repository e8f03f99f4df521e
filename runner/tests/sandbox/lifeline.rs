//! Nothing outlives mkimg, however it dies.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use runner::sandbox::{self, Mount, MountSource, Sandbox, SandboxSpec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::fixture::{Fixture, rootless};

pub const TESTS: &[(&str, fn())] = &[
    ("killed_at_any_moment_it_leaves_nothing", parent_killed),
    ("a_killed_stage_takes_all_with_it", stage_killed),
];

/// Makes this program run one sandbox, given as JSON, that sleeps, and nothing else.
pub const PARENT: &str = "MKIMG_TEST_SPEC";
/// A pipe in the fixture that the payload reads from.
const ALIVE: &str = "alive";

/// The program that is killed. Its standard error, a pipe, is inherited by all that it starts but the
/// payload, which has [`ALIVE`] open.
pub fn parent(spec: PathBuf) -> ! {
    let text = std::fs::read(spec).unwrap();
    let spec: SandboxSpec = serde_json::from_slice(&text).unwrap();
    let running = Sandbox::spawn(&spec).unwrap();
    println!("{}", running.init_pid().unwrap());
    std::io::stdout().flush().unwrap();
    running.wait().unwrap();
    std::process::exit(0)
}

fn start(fixture: &Fixture) -> Child {
    let mut spec = fixture.sh("exec sleep 1000 <>/alive");
    spec.stdio = sandbox::Stdio::default();
    let path = fixture.path(ALIVE);
    if !path.exists() {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, mode, 0).unwrap();
    }
    spec.mounts = vec![Mount {
        source: MountSource::Bind { path },
        target: "/alive".into(),
        read_only: false,
    }];
    let path = fixture.path("spec");
    std::fs::write(&path, serde_json::to_vec(&spec).unwrap()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    if rootless() {
        // Root of the user namespace already.
        command.env(super::IN_USER_NAMESPACE, "already");
    }
    command
        .env(PARENT, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Every process that has the pipe is gone when it ends.
fn assert_all_gone(fixture: &Fixture, child: &mut Child) {
    let stderr = child.stderr.as_mut().unwrap();
    let mut polled = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN)];
    let limit = Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    assert_eq!(
        poll(&mut polled, Some(&limit)),
        Ok(1),
        "something is still alive"
    );
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    // As fifo(7) has it where nobody reads.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK;
    let opened = rustix::fs::open(fixture.path(ALIVE), flags, Mode::empty());
    assert_eq!(opened.unwrap_err(), Errno::NXIO, "the payload is alive");
}

fn parent_killed() {
    let fixture = Fixture::new();
    for round in 0..30 {
        let mut child = start(&fixture);
        // From before the first process to after the last.
        std::thread::sleep(Duration::from_millis(round));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_all_gone(&fixture, &mut child);
    }
}

fn stage_killed() {
    let fixture = Fixture::new();
    let mut child = start(&fixture);
    let mut line = [0; 16];
    let length = child.stdout.as_mut().unwrap().read(&mut line).unwrap();
    let init = std::str::from_utf8(&line[..length]).unwrap().trim();
    let status = std::fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    let stage = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .unwrap();
    let killed = Command::new("kill").args(["-KILL", stage.trim()]).status();
    assert!(killed.unwrap().success());
    // The parent says that its sandbox has gone, by a panic.
    let mut said = String::new();
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(said.contains("Vanished"), "{said}");
    child.wait().unwrap();
}
