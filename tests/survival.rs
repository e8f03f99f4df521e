//! What happens to a store when processes are killed, disks are full, or many come at once.

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

/// Processes whose command line names this directory: what a killed mkimg left behind.
fn processes(env: &Env) -> Vec<String> {
    let dir = env.path("").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&dir) && entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
            found.push(line);
        }
    }
    found
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
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(&env.path("").display().to_string()),
        "{mounts}"
    );
}

#[test]
fn killed_at_any_moment_the_store_is_whole() {
    for user in User::with_ids() {
        let env = env(*user);
        for round in 0..40_u64 {
            let mut command = env.command(["build", "-q", "--no-cache", "-t", "killed", "c"]);
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(round * 7));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(processes(&env), [""; 0]);
        assert_whole(&env);
    }
}

#[test]
fn interrupted_it_ends_all_it_started() {
    for user in User::with_ids() {
        let env = env(*user);
        env.write(
            "c/Dockerfile",
            "FROM busybox\nRUN sleep 987654 & sleep 987654\n",
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
        let sleeping = run(env.program("pgrep").args(["-fc", "sleep 987654"]));
        assert_eq!(sleeping.out(), "0\n");
        env.mkimg(["inspect", "app"]).exits(1);
        assert_eq!(entries(&env.store().join("tmp")), [""; 0]);
    }
}

#[test]
fn sixteen_at_once() {
    for user in User::with_ids() {
        let env = env(*user);
        let all: Vec<_> = (0..16)
            .map(|number| {
                let tag = format!("many:{number}");
                let mut command = env.command(["build", "-q", "-t", &tag, "c"]);
                command
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in all {
            let output = child.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let images = env.mkimg(["images", "-q"]).success();
        assert!(images.out().lines().count() >= 17, "{images}");
        assert_whole(&env);
    }
}

/// A script with a small file system of its own at `/mnt`, which nobody else sees.
fn on_small_disk(env: &Env, megabytes: u32, script: &str) -> support::Ran {
    let mut command = env.program("unshare");
    let mount = format!("mount -t tmpfs -o size={megabytes}m,mode=755 none /mnt && {script}");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &mount]);
    command.env("MKIMG", env.command([""; 0]).get_program());
    run(&mut command)
}

#[test]
fn a_full_disk_loses_nothing() {
    if !support::is_root() {
        println!("only root can mount a small disk: not run");
        return;
    }
    let env = env(User::Own);
    env.write("c/big", vec![b'x'; 4 << 20]);
    env.mkimg(["save", "-o", "base.tar", "busybox"]).success();
    for dockerfile in [
        "FROM busybox\nCOPY big /1\nCOPY big /2\nCOPY big /3\n",
        "FROM busybox\nCOPY big /1\nRUN cp /1 /2 && cp /1 /3 && cp /1 /4\n",
    ] {
        env.write("c/Dockerfile", dockerfile);
        let ran = on_small_disk(
            &env,
            13,
            "export MKIMG_ROOT=/mnt/store; $MKIMG load -q -i base.tar >&2 || exit 90; \
             $MKIMG build -t full c; code=$?; $MKIMG verify >&2 || exit 91; ls /mnt/store/tmp; \
             $MKIMG inspect full > /dev/null 2>&1 && exit 92; exit $code",
        );
        let ran = ran.exits(1).says(["No space left"]);
        assert_eq!(ran.out(), "", "tmp is empty");
    }
}

#[test]
fn damage_is_named_and_never_used() {
    let env = env(User::Own);
    env.mkimg(["build", "-q", "-t", "app", "c"]).success();
    let inspected = env.mkimg(["inspect", "app"]).success().json();
    let layer = inspected[0]["RootFS"]["Layers"][1]
        .as_str()
        .unwrap()
        .to_owned();
    let blob = env
        .store()
        .join("blobs/sha256")
        .join(&layer["sha256:".len()..]);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[700] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    env.mkimg(["verify"]).exits(1).says([layer.as_str()]);
    env.mkimg(["save", "-o", "out.tar", "app"])
        .exits(1)
        .says([layer.as_str()]);
    assert!(!env.path("out.tar").exists());
    std::fs::write(&blob, &bytes[..600]).unwrap();
    env.mkimg(["verify"]).exits(1).says([layer.as_str()]);
    // a record whose layer is cut off is none
    env.mkimg(["build", "-q", "-t", "app", "c"]).success();
    env.mkimg(["verify"]).success();
}

#[test]
fn a_newer_store_is_refused() {
    let env = env(User::Own);
    env.write("store/version", "99\n");
    env.mkimg(["images"]).exits(1).says(["99", "version"]);
    env.mkimg(["run", "busybox", "true"])
        .exits(125)
        .says(["99"]);
}
