//! `RUN --mount=type=secret` and `type=ssh`, from outside: who sees them, and that nothing keeps them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Env, Ran, User};

const VALUE: &str = "correct-horse battery:staple/+==";

fn env(user: User, dockerfile: &str) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env.write("c/Dockerfile", dockerfile);
    env
}

fn build(env: &Env, flags: &[&str]) -> Ran {
    let args = ["build", "--progress", "plain", "-t", "app"].iter();
    env.mkimg(args.chain(flags).chain(&["c"]))
}

/// Whether any file below a directory holds the value.
fn holds(dir: &Path, value: &[u8]) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let found = if kind.is_dir() {
            holds(&entry.path(), value)
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let found = bytes.windows(value.len()).any(|part| part == value);
            found.then(|| entry.path())
        } else {
            None
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

#[test]
fn a_secret_is_seen_by_its_command_and_kept_by_nothing() {
    let mut ids = Vec::new();
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\n\
             RUN --mount=type=secret,id=a,required --mount=type=secret,id=a,target=/x/y,mode=0444,uid=1000,gid=2000 \
                 --mount=type=secret,id=none --mount=type=secret,id=b,env=TOKEN \
                 --mount=type=secret,id=b,env=BOTH,target=both --mount=type=secret,source=none,env=NONE \
                 stat -c '%a %u %g %s' /run/secrets/a /x/y /both && test ! -e /run/secrets/none && \
                 test ! -e /run/secrets/b && test \"$TOKEN$BOTH\" = \"$(cat /both)$(cat /both)\" && test -z \"${NONE+x}\" && \
                 ! touch /run/secrets/a 2> /dev/null && grep ' /run/secrets/a ' /proc/mounts | cut -d' ' -f3 && \
                 cat /run/secrets/a && echo \"<$TOKEN>\" && echo err-$(cat /run/secrets/a) >&2 && \
                 for at in $(seq 1 32); do head -c $at /run/secrets/a | tail -c 1; sleep 0.003; done; echo; env\n\
             RUN ls /run /x /both 2>&1 | wc -l; env | grep -c TOKEN; true\n\
             USER app\n\
             RUN --mount=type=secret,id=a ! cat /run/secrets/a 2> /dev/null\n\
             RUN --mount=type=secret,id=a,uid=1000 cat /run/secrets/a\n",
        );
        env.write("a", format!("{VALUE}\n"));
        let mut command = env.command(["build", "--progress", "plain", "-t", "app"]);
        command
            .args([
                "--secret",
                "id=a,src=a",
                "--secret",
                "id=b,env=MY_TOKEN",
                "c",
            ])
            .env("MY_TOKEN", "tok\u{e9}n-value");
        let ran = support::run(&mut command);
        let ran = ran.success();
        let ran = ran.says([
            "400 0 0 33",
            "444 1000 2000 33",
            "400 0 0 12",
            "tmpfs",
            "err-***",
            "<***>",
            "TOKEN=***",
        ]);
        for value in [VALUE.as_bytes(), "tok\u{e9}n-value".as_bytes()] {
            let shown = [ran.out(), ran.err()].concat();
            let leaked = shown
                .as_bytes()
                .windows(value.len())
                .any(|part| part == value);
            assert!(!leaked, "{ran}");
            assert_eq!(holds(&env.store(), value), None);
        }
        ids.push(env.mkimg(["inspect", "app"]).json()[0]["Id"].clone());
        // Another value is no other build.
        env.write("a", "another one");
        let ran = build(&env, &["--secret", "id=a,src=a"]);
        ran.success().says(["CACHED"]);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_failed_command_tells_no_secret() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\nRUN --mount=type=secret,id=a,env=A echo \"it is $A, you know\" && exit 3\n",
        );
        env.write("a", VALUE);
        let failed = build(&env, &["--secret", "id=a,src=a"]).exits(1);
        let failed = failed.says(["it is ***, you know"]);
        assert!(!failed.err().contains(VALUE), "{failed}");
        assert_eq!(holds(&env.store(), VALUE.as_bytes()), None);
        let log = failed
            .err()
            .split_whitespace()
            .find(|word| word.contains("/logs/"));
        let log = log
            .unwrap()
            .trim_matches(|letter: char| "\"'`,.;:()".contains(letter));
        assert_eq!(
            std::fs::read_to_string(log).unwrap(),
            "it is ***, you know\n"
        );
    }
}

#[test]
fn secrets_are_any_bytes_and_not_too_many() {
    let env = env(
        User::Own,
        "FROM busybox\nRUN --mount=type=secret,id=a sha256sum < /run/secrets/a | grep -q SUM\n",
    );
    let value: Vec<u8> = (0..500 * 1024)
        .map(|at| (at * 7 + at / 256) as u8)
        .collect();
    env.write("a", &value);
    let sum = env.program("sha256sum").arg("a").output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let text = std::fs::read_to_string(env.path("c/Dockerfile")).unwrap();
    env.write("c/Dockerfile", text.replace("SUM", &sum[..64]));
    build(&env, &["--secret", "id=a,src=a"]).success();
    env.write(
        "c/Dockerfile",
        "FROM busybox\nRUN --mount=type=secret,id=a,env=A true\n",
    );
    build(&env, &["--secret", "id=a,src=a"])
        .exits(1)
        .says(["cannot be in a variable"]);
    env.write("a", vec![0; 500 * 1024 + 1]);
    let failed = build(&env, &["--secret", "id=a,src=a"]);
    failed.says(["larger than 512000"]);
    for (secret, said) in [
        ("src=a", "no id"),
        ("id=a,src=nowhere", "nowhere"),
        ("id=a,env=NOWHERE", "NOWHERE"),
        ("id=a,fil=a", "fil"),
    ] {
        let failed = build(&env, &["--secret", secret]);
        let failed = failed.says([said]);
        assert_ne!(failed.code(), 0);
    }
}

/// A real agent with one key, ended when dropped.
struct Agent(std::process::Child);

impl Agent {
    fn start(env: &Env) -> Self {
        let child = env
            .program("ssh-agent")
            .args(["-D", "-a", "agent"])
            .stdout(Stdio::null())
            .spawn();
        let agent = Self(child.unwrap());
        let key = [
            "-q", "-t", "ed25519", "-N", "", "-C", "the key", "-f", "key",
        ];
        assert!(
            env.program("ssh-keygen")
                .args(key)
                .status()
                .unwrap()
                .success()
        );
        let end = Instant::now() + Duration::from_secs(10);
        while !env
            .program("ssh-add")
            .args(["-q", "key"])
            .env("SSH_AUTH_SOCK", "agent")
            .status()
            .unwrap()
            .success()
        {
            assert!(Instant::now() < end, "the agent does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn an_agent_shows_its_keys_and_keeps_them() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM tools\n\
             RUN --mount=type=ssh ssh-add -l; ls -ln $SSH_AUTH_SOCK\n\
             RUN --mount=type=ssh ssh-add -D; ssh-add -x; ssh-add -l; true\n\
             RUN --mount=type=ssh,id=other,target=a/sock --mount=type=ssh,id=no test -S /a/sock && echo at=$SSH_AUTH_SOCK\n\
             RUN --mount=type=ssh,id=no echo nobody at $SSH_AUTH_SOCK && test ! -e $SSH_AUTH_SOCK\n\
             RUN test ! -e /run/buildkit && test ! -e /a\n\
             USER 1000\n\
             RUN --mount=type=ssh ssh-add -l; true\n\
             RUN --mount=type=ssh,uid=1000,mode=0600 ssh-add -l; ls -ln $SSH_AUTH_SOCK\n",
        );
        let _agent = Agent::start(&env);
        let tools = ["bash", "ls", "ssh-add"]
            .iter()
            .flat_map(|name| ["--binary", name]);
        env.mkimg(["import", "-t", "made"].into_iter().chain(tools))
            .success();
        env.write(
            "t/Dockerfile",
            "FROM made\nCOPY passwd /etc/passwd\nCOPY bin /bin\n",
        );
        env.write(
            "t/passwd",
            "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n",
        );
        env.dir("t/bin");
        symlink("/usr/bin/bash", env.path("t/bin/sh")).unwrap();
        env.mkimg(["build", "-t", "tools", "t"]).success();
        let socket = env.path("agent");
        let mut command = env.command([
            "build",
            "--progress",
            "plain",
            "-t",
            "app",
            "--ssh",
            "default",
        ]);
        let other = format!("other={}", socket.display());
        command
            .args(["--ssh", &other, "c"])
            .env("SSH_AUTH_SOCK", &socket);
        let ran = support::run(&mut command).success();
        let ran = ran.says([
            "srw------- 1 0 0 0 ",
            "/run/buildkit/ssh_agent.0\n",
            "Failed to remove all identities",
            "agent refused operation",
            "at=/a/sock",
            "nobody at /run/buildkit/ssh_agent.0",
            "Permission denied",
            "srw------- 1 1000 0 0 ",
        ]);
        // To root twice, to the user it was given to once, and still on the host.
        assert_eq!(ran.err().matches("the key (ED25519)").count(), 3, "{ran}");
        let mut list = env.program("ssh-add");
        let listed = support::run(list.arg("-l").env("SSH_AUTH_SOCK", &socket));
        assert!(listed.out().contains("the key"), "{listed}");
    }
}

#[test]
fn an_agent_that_is_none_is_told() {
    let env = env(User::Own, "FROM busybox\nRUN --mount=type=ssh true\n");
    let key = env.write("key", "-----BEGIN OPENSSH PRIVATE KEY-----");
    for (ssh, said) in [
        (format!("default={}", key.display()), "ssh-add"),
        ("default=nowhere".to_owned(), "nowhere"),
        ("default".to_owned(), "$SSH_AUTH_SOCK is not set"),
    ] {
        let failed = build(&env, &["--ssh", &ssh]).says([said]);
        assert_ne!(failed.code(), 0);
    }
    build(&env, &[]).success();
}
