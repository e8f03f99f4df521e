//! What happens to a store when processes are killed or interrupted, and when many come at once.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use support::{Env, User, run};

const DOCKERFILE: &str = "FROM busybox AS a\n\
    RUN head -c 300000 /dev/urandom > /random; sleep 0.03\n\
    FROM busybox\n\
    COPY src /src\n\
    RUN cp -r /src /copy; sleep 0.03\n\
    COPY --from=a /random /random\n\
    RUN sleep 0.03; echo done > /done\n";

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env.write("c/Dockerfile", DOCKERFILE);
    for number in 0..200 {
        env.write(format!("c/src/{number}"), format!("{number}").repeat(500));
    }
    env
}

fn entries(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Processes that a killed mkimg left behind: their command line names this place, or something of it is
/// mounted where they are.
fn processes(env: &Env) -> Vec<String> {
    let dir = env.path("").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<u32>();
        if pid.is_err() || pid == Ok(std::process::id()) {
            continue;
        }
        let read = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let all = [read("cmdline"), read("mountinfo")].concat();
        let all = String::from_utf8_lossy(&all).replace('\0', " ");
        if all.contains(&dir) {
            found.push(all);
        }
    }
    found
}

/// Waits for what dies with its parent, and for the kernel to take down what it had mounted.
fn assert_nothing_runs(env: &Env) {
    let mut left = processes(env);
    for _ in 0..40 {
        if left.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
        left = processes(env);
    }
    panic!("{left:#?}");
}

fn assert_whole(env: &Env) {
    env.mkimg(["verify"]).success();
    // any use sweeps what the dead left
    env.mkimg(["build", "-q", "-t", "after", "c"]).success();
    env.mkimg([
        "run",
        "--rm",
        "--network",
        "none",
        "after",
        "test",
        "-e",
        "/done",
    ])
    .success();
    assert_eq!(entries(&env.store().join("tmp")), [""; 0]);
    assert_nothing_runs(env);
}

/// Kills mkimg at each of these many moments, `step` apart, while it does this.
fn kill<'a>(env: &Env, rounds: u64, step: Duration, args: impl Fn(u64) -> Vec<&'a str>) {
    for round in 0..rounds {
        let mut child = env
            .command(args(round))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(step * u32::try_from(round).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn killed_at_any_moment_of_a_build_the_store_is_whole() {
    for user in User::with_ids() {
        let env = env(*user);
        kill(&env, 30, Duration::from_millis(6), |round| {
            let mut args = vec!["build", "-q", "-t", "killed", "c"];
            if round % 3 > 0 {
                args.push("--no-cache");
            }
            args
        });
        assert_nothing_runs(&env);
        assert_whole(&env);
    }
}

#[test]
fn killed_at_any_moment_of_all_else_the_store_is_whole() {
    for user in User::with_ids() {
        let env = env(*user);
        env.mkimg(["build", "-q", "-t", "app", "c"]).success();
        env.mkimg(["save", "-o", "all.tar", "busybox", "app"])
            .success();
        let step = Duration::from_millis(1);
        kill(&env, 20, step, |_| vec!["import", "c", "killed"]);
        kill(&env, 20, step, |_| vec!["load", "-i", "all.tar"]);
        kill(&env, 10, step, |_| vec!["save", "-o", "out.tar", "app"]);
        kill(&env, 10, step, |_| vec!["rmi", "app"]);
        kill(&env, 10, step, |_| vec!["tag", "busybox", "killed"]);
        kill(&env, 10, step * 4, |_| {
            vec!["run", "--rm", "--network", "none", "busybox", "sleep", "9"]
        });
        assert_nothing_runs(&env);
        let names = env.mkimg(["images"]).success();
        assert!(names.out().contains("busybox"), "{names}");
        assert_whole(&env);
        let unfinished = |name: &String| name.starts_with('.');
        assert!(!entries(&env.store()).iter().any(unfinished));
    }
}

#[test]
fn a_store_that_was_killed_in_the_making_is_made() {
    let env = Env::new(User::Own);
    for round in 0..20 {
        kill(&env, 1, Duration::ZERO, |_| vec!["images"]);
        kill(&env, 2, Duration::from_micros(500 * round), |_| {
            vec!["images"]
        });
        env.mkimg(["images", "-q"]).success();
        assert_eq!(entries(&env.store().join("tmp")), [""; 0]);
        std::fs::remove_dir_all(env.store()).unwrap();
    }
}

#[test]
fn interrupted_it_ends_all_it_started() {
    for user in User::with_ids() {
        let env = env(*user);
        // as no other test on this machine does
        let sleep = format!("sleep 9876.{}", std::process::id());
        env.write(
            "c/Dockerfile",
            format!("FROM busybox\nRUN {sleep} & {sleep}\n"),
        );
        let mut command = env.command(["build", "-t", "app", "c"]);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(700));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let sleeping = run(env.program("pgrep").args(["-fc", &sleep]));
        assert_eq!(sleeping.out(), "0\n");
        env.mkimg(["inspect", "app"]).exits(1);
        assert_eq!(entries(&env.store().join("tmp")), [""; 0]);
    }
}

fn interrupt(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn interrupted_an_import_and_a_load_leave_nothing() {
    let env = Env::new(User::Own);
    for args in [&["import", "-", "app"][..], &["load"]] {
        let mut command = env.command(args);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It waits for the rest of its input.
        let input = child.stdin.take().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        interrupt(&child);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{args:?}");
        drop(input);
        assert_eq!(entries(&env.store().join("tmp")), [""; 0], "{args:?}");
    }
}

#[test]
fn interrupted_at_any_moment_a_save_leaves_nothing() {
    let env = env(User::Own);
    for round in 0..20 {
        for format in ["oci-archive", "oci-dir"] {
            let mut child = start(
                &env,
                &["save", "--format", format, "-o", "saved", "busybox"],
            );
            std::thread::sleep(Duration::from_millis(round));
            interrupt(&child);
            let status = child.wait().unwrap();
            // Before it waits for signals one kills it; then it has not begun.
            let code = status.code().unwrap_or(130);
            assert!([0, 130].contains(&code), "{status}");
            // The signal may also come when all is done, and the process is about to end.
            let whole = env.path("saved");
            assert!(whole.exists() || code == 130, "{format}");
            if whole.exists() {
                env.mkimg(["load", "-i", "saved"]).success();
            }
            if whole.is_dir() {
                std::fs::remove_dir_all(&whole).unwrap();
            } else if whole.exists() {
                std::fs::remove_file(&whole).unwrap();
            }
            let unfinished = |name: &String| name.starts_with('.');
            let left = entries(&env.path(""));
            assert!(!left.iter().any(unfinished), "{format}: {left:?}");
        }
    }
}

fn start(env: &Env, args: &[&str]) -> std::process::Child {
    env.command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: std::process::Child) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

#[test]
fn sixteen_at_once() {
    for user in User::with_ids() {
        let env = env(*user);
        env.mkimg(["save", "-o", "base.tar", "busybox"]).success();
        for number in 0..4 {
            env.mkimg(["tag", "busybox", &format!("old:{number}")])
                .success();
        }
        let builds = (0..16).map(|number| format!("many:{number}"));
        let mut all: Vec<_> = builds
            .map(|tag| start(&env, &["build", "-q", "-t", &tag, "c"]))
            .collect();
        for number in 0..4 {
            all.push(start(&env, &["load", "-i", "base.tar"]));
            all.push(start(&env, &["rmi", &format!("old:{number}")]));
            all.push(start(&env, &["import", "c", &format!("new:{number}")]));
        }
        all.into_iter().for_each(finish);
        let images = env.mkimg(["images"]).success();
        let count = |name: &str| images.out().matches(name).count();
        assert_eq!((count("many"), count("new"), count("old")), (16, 4, 0));
        assert_whole(&env);
    }
}

#[test]
fn sixteen_at_once_where_there_is_no_store_yet() {
    for user in User::all() {
        let env = Env::new(*user);
        env.write("c/Dockerfile", "FROM scratch\nCOPY . /\n");
        let builds = (0..16).map(|number| format!("many:{number}"));
        let all: Vec<_> = builds
            .map(|tag| start(&env, &["build", "-q", "-t", &tag, "c"]))
            .collect();
        all.into_iter().for_each(finish);
        env.mkimg(["verify"]).success();
        let images = env.mkimg(["images"]).success();
        assert_eq!(images.out().matches("many").count(), 16, "{images}");
    }
}
