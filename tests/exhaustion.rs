//! A hostile program tries to use up what the machine has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs::{self, File};
use std::process::Stdio;

use support::{Env, User, run};

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env
}

/// A thousand processes, each in a session of its own, that nobody but init waits for.
#[test]
fn a_crowd_of_processes_ends_with_the_program_that_made_it() {
    for user in User::with_ids() {
        let env = env(*user);
        let seconds = format!("6{}4", std::process::id());
        let script = format!(
            "trap '' TERM HUP; crowd() {{ for i in 1 2 3 4 5 6 7 8 9 10; do $1 & done; wait; }}
             one() {{ exec setsid sleep {seconds}; }}; ten() {{ crowd one; }}; hundred() {{ crowd ten; }}
             crowd hundred & while [ $(pidof sleep | wc -w) -lt 1000 ]; do sleep 0.1; done; exit 7"
        );
        let run_it = ["run", "--rm", "--network", "none", "busybox", "sh", "-c"];
        env.mkimg(run_it.iter().chain(&[&*script])).exits(7);
        let found = run(env
            .program("pgrep")
            .args(["-f", &format!("sleep {seconds}")]));
        assert_eq!(found.out(), "");
    }
}

/// One line that never ends, and nobody who stops it.
#[test]
fn output_without_end_takes_no_memory() {
    const MOST_KIB: u64 = 64 << 10;
    for user in User::with_ids() {
        let env = env(*user);
        let write = |mebibytes: u32| format!("head -c {} /dev/zero", mebibytes << 20);
        env.write(
            "c/Dockerfile",
            format!("FROM busybox\nRUN {}\n", write(128)),
        );
        let run = ["run", "--rm", "--network", "none", "busybox", "sh", "-c"];
        for mut command in [
            env.command(run.iter().chain(&[&*write(512)])),
            env.command(["build", "-q", "c"]),
        ] {
            let null = || Stdio::from(File::options().write(true).open("/dev/null").unwrap());
            let mut child = command.stdout(null()).stderr(null()).spawn().unwrap();
            let status = format!("/proc/{}/status", child.id());
            let mut most = 0;
            let ended = loop {
                let text = fs::read_to_string(&status).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                if let Some(size) = line.and_then(|line| line.split_whitespace().next()) {
                    most = size.parse::<u64>().unwrap();
                }
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            };
            assert!(ended.success(), "{command:?}");
            assert!((1..MOST_KIB).contains(&most), "{command:?}: {most} KiB");
        }
    }
}
