//! What a hostile image or program tries to get out of its sandbox, or at what is another's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use support::{Env, Ran, User, run};

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env
}

/// Runs a command in a container without a network, which is removed.
fn sh(env: &Env, flags: &[&str], script: &str) -> Ran {
    let fixed = ["run", "--rm", "--network", "none"];
    let args = fixed.iter().chain(flags);
    env.mkimg(args.chain(&["busybox", "sh", "-c", script]))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Opening `/proc/self/fd/0` anew, or changing its mode, would reach a file of the host.
#[test]
fn the_standard_streams_are_no_files_of_the_host() {
    for user in User::with_ids() {
        let env = env(*user);
        let input = env.write("in", "input\n");
        let output = env.write("out", "old\n");
        for file in [&input, &output] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let script = "cat; for fd in 0 1 2; do chmod 4777 /proc/self/fd/$fd; done
                      (echo pwned > /proc/self/fd/0); (cat /proc/self/fd/1 > /tmp/read) & sleep 0.2
                      cat /tmp/read >&2";
        let mut command = env.command(["run", "--rm", "-i", "--network", "none"]);
        command.args(["busybox", "sh", "-c", script]);
        command.stdin(File::open(&input).unwrap());
        command.stdout(File::options().append(true).open(&output).unwrap());
        let ran = run(command.stderr(Stdio::piped()));
        assert!(!ran.err().contains("old"), "{ran}");
        assert_eq!(fs::read_to_string(&input).unwrap(), "input\n");
        assert_eq!(fs::read_to_string(&output).unwrap(), "old\ninput\n");
        assert_eq!((mode(&input), mode(&output)), (0o640, 0o640));
    }
}

/// Root of the machine could take it from everybody.
#[test]
fn the_mode_of_the_hosts_null_device_cannot_be_changed() {
    for user in User::with_ids() {
        let env = env(*user);
        // To what it is, so that nothing is lost where it can.
        let script = "for file in /dev/null /dev/stdin; do
                          chmod 666 $file 2>/dev/null && echo changed $file; done; true";
        assert_eq!(sh(&env, &[], script).success().out(), "");
        let script = script.replace('\n', " ");
        env.write(
            "c/Dockerfile",
            format!("FROM busybox\nRUN {script}\n").as_bytes(),
        );
        let built = env.mkimg(["build", "--progress", "plain", "c"]).success();
        assert!(!built.err().contains("changed /dev"), "{built}");
    }
}

/// CVE-2024-21626: a directory that mkimg's caller left open.
#[test]
fn no_descriptor_leads_out() {
    for user in User::with_ids() {
        let env = env(*user);
        let leak = env.dir("leak");
        let mkimg = env.command(["run", "--rm", "--network", "none"]);
        for directory in [
            "/proc/self/fd/9",
            "/proc/self/fd/9/made",
            "/missing/../proc/self/fd/9/made",
            "/proc/1/fd/9/made",
        ] {
            let mut shell = env.program("sh");
            let script = "exec 9<leak; exec \"$@\"";
            shell.args(["-c", script, "sh"]).arg(mkimg.get_program());
            shell.args(mkimg.get_args()).env("MKIMG_ROOT", env.store());
            shell.args(["-w", directory, "busybox"]);
            shell.args(["sh", "-c", "echo >made; ls /proc/self/fd"]);
            let ran = run(&mut shell);
            assert!(!ran.out().contains('9'), "{directory}: {ran}");
            assert_eq!(fs::read_dir(&leak).unwrap().count(), 0, "{directory}");
        }
    }
}
