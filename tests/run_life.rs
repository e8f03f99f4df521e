//! `mkimg run`: signals, terminals, and what is left when it is killed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Env, User, run};

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env
}

/// Starts a container, and waits until it has said its first line.
fn start(env: &Env, args: &[&str]) -> (Child, String) {
    let mut child = env
        .command(["run", "--rm"].iter().chain(args))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    if line.is_empty() {
        let mut error = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        panic!("it said nothing: {error}");
    }
    // Whoever writes on must not die of it.
    std::mem::forget(out);
    (child, line.trim().to_owned())
}

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until no process has this word in its command line.
fn assert_gone(env: &Env, word: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let found = run(env.program("pgrep").args(["-f", word]));
        if found.out().is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{word} still runs: {}", found.out());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn signals_are_passed_on() {
    for user in User::with_ids() {
        let env = env(*user);
        for (signal, name) in [
            (Signal::TERM, "TERM"),
            (Signal::INT, "INT"),
            (Signal::HUP, "HUP"),
            (Signal::QUIT, "QUIT"),
            (Signal::USR1, "USR1"),
            (Signal::USR2, "USR2"),
        ] {
            let script = format!("trap 'exit 33' {name}; echo ready; while :; do sleep 0.05; done");
            let args = ["--network", "none", "busybox", "sh", "-c", &script];
            let (mut child, _) = start(&env, &args);
            kill(&child, signal);
            assert_eq!(child.wait().unwrap().code(), Some(33), "{name}");
        }
        // One that is not caught ends it, and pid 1 is not in the way.
        let args = [
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "echo ready; exec sleep 100",
        ];
        let (mut child, _) = start(&env, &args);
        kill(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(143));
    }
}

#[test]
fn what_the_program_leaves_running_ends_with_it() {
    for user in User::with_ids() {
        let env = env(*user);
        let seconds = format!("8{}1", std::process::id());
        let script = format!("sleep {seconds} & (setsid sleep {seconds} &) ; echo ready");
        let (mut child, _) = start(&env, &["--network", "none", "busybox", "sh", "-c", &script]);
        assert!(child.wait().unwrap().success());
        assert_gone(&env, &format!("sleep {seconds}"));
    }
}

#[test]
fn killed_it_leaves_nothing_that_the_next_run_does_not_sweep() {
    for user in User::with_ids() {
        let env = env(*user);
        let seconds = format!("9{}2", std::process::id());
        let script = format!("echo ready; touch /x; exec sleep {seconds}");
        let args = [
            "--name",
            "job",
            "-p",
            "127.0.0.1::80",
            "busybox",
            "sh",
            "-c",
            &script,
        ];
        let (mut child, _) = start(&env, &args);
        assert_eq!(env.mkimg(["ps", "-q"]).out().lines().count(), 1);
        kill(&child, Signal::KILL);
        child.wait().unwrap();
        assert_gone(&env, &format!("sleep {seconds}"));
        assert_eq!(env.mkimg(["ps", "-aq"]).out(), "");
        let again = [
            "run",
            "--rm",
            "--name",
            "job",
            "--network",
            "none",
            "busybox",
            "true",
        ];
        env.mkimg(again).success();
        let ephemeral = env.store().join("containers/v1/ephemeral");
        assert_eq!(std::fs::read_dir(ephemeral).unwrap().count(), 0);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(env.path("").to_str().unwrap()));
    }
}

/// Runs mkimg on a pseudo-terminal of 40 by 100, types, and shows what came and how it ended, and
/// whether the terminal's settings are what they were.
const PTY: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
typed, resize, kill = sys.argv[1].encode().decode("unicode_escape").encode(), sys.argv[2], sys.argv[3]
master, slave = pty.openpty()
size = lambda rows, columns: fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
size(40, 100)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.execv(sys.argv[4], sys.argv[4:])
out, state, end = b"", 0, time.time() + 20
def turn(seconds):
    global out
    if select.select([master], [], [], seconds)[0]:
        out += os.read(master, 65536)
while time.time() < end:
    turn(0.05)
    if state == 0 and b"ready" in out:
        state = 1
        raw = termios.tcgetattr(slave)[3] & termios.ICANON == 0
        if resize:
            size(50, 120)
        if kill:
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
        os.write(master, typed)
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        turn(0.05)
        sys.stdout.write(out.decode().replace("\r\n", "\n"))
        print("code", os.waitstatus_to_exitcode(status))
        print("raw", raw if state else None, "restored", termios.tcgetattr(slave) == before)
        sys.exit()
os.kill(pid, signal.SIGKILL)
print("hangs:", out)
"#;

fn on_terminal(env: &Env, typed: &str, resize: &str, kill: &str, args: &[&str]) -> String {
    let mkimg = env.command(["run", "--rm", "--network", "none"].iter().chain(args));
    let mut python = env.program("python3");
    python.env("MKIMG_ROOT", env.store());
    python.args(["-c", PTY, typed, resize, kill]);
    python.arg(mkimg.get_program()).args(mkimg.get_args());
    run(&mut python).success().out().to_owned()
}

#[test]
fn a_terminal_is_a_real_one() {
    for user in User::with_ids() {
        let env = env(*user);
        let script =
            "tty; stty size; echo $TERM; echo ready; read line; echo got $line; stty size; exit 5";
        let args = ["-it", "busybox", "sh", "-c", script];
        let out = on_terminal(&env, "hello\\n", "resize", "", &args);
        assert_eq!(
            out,
            "/dev/pts/0\n40 100\nxterm\nready\nhello\ngot hello\n50 120\ncode 5\nraw True restored True\n"
        );
        // Ctrl-C is a key there.
        let script =
            "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.05; done";
        let out = on_terminal(
            &env,
            "\\x03",
            "",
            "",
            &["-it", "busybox", "sh", "-c", script],
        );
        assert!(
            out.ends_with("interrupted\ncode 6\nraw True restored True\n"),
            "{out}"
        );
        // A signal to mkimg itself.
        let script = "echo ready; exec sleep 100";
        let out = on_terminal(
            &env,
            "",
            "",
            "kill",
            &["-it", "busybox", "sh", "-c", script],
        );
        assert!(
            out.ends_with("ready\ncode 143\nraw True restored True\n"),
            "{out}"
        );
        // Without -i what is typed is not for the container.
        let out = on_terminal(
            &env,
            "",
            "",
            "",
            &["-t", "busybox", "sh", "-c", "tty; echo ready"],
        );
        // mkimg's terminal makes its own line ends of those of the container's.
        let out = out.replace('\r', "");
        assert!(
            out.starts_with("/dev/pts/0\nready\ncode 0\nraw False"),
            "{out}"
        );
    }
}

#[test]
fn all_of_a_terminals_output_arrives() {
    for user in User::with_ids() {
        let env = env(*user);
        let args = [
            "run",
            "--rm",
            "--network",
            "none",
            "-t",
            "busybox",
            "seq",
            "100000",
        ];
        let ran = env.mkimg(args).success();
        assert_eq!(ran.out().lines().count(), 100_000);
        assert!(ran.out().ends_with("100000\r\n"));
    }
}
