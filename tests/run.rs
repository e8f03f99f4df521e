//! `mkimg run`: what runs, as whom, with which environment and files, and what is left of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::MetadataExt as _;

use support::{Env, Ran, User};

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env
}

/// Runs a command in a container without a network, which is removed.
fn sh(env: &Env, flags: &[&str], command: &str) -> Ran {
    let fixed = ["run", "--rm", "--network", "none"];
    let args = fixed.iter().chain(flags);
    env.mkimg(args.chain(&["busybox", "sh", "-c", command]))
}

/// What is in the directories of containers.
fn left(env: &Env) -> Vec<String> {
    let containers = env.store().join("containers/v1");
    let mut found = Vec::new();
    for dir in [
        &containers,
        &containers.join("ephemeral"),
        &containers.join("names"),
    ] {
        for entry in std::fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name != "ephemeral" && name != "names" {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn exit_codes_are_the_programs_own_or_dockers() {
    for user in User::with_ids() {
        let env = env(*user);
        for (command, code) in [
            ("true", 0),
            ("exit 42", 42),
            ("kill -9 $$", 137),
            ("kill $$", 143),
        ] {
            assert_eq!(sh(&env, &[], command).code(), code, "{command}");
        }
        let run =
            |args: &[&str]| env.mkimg(["run", "--rm", "--network", "none"].iter().chain(args));
        let missing = run(&["busybox", "nope"]).exits(127);
        assert!(missing.err().contains("\"nope\": not found in $PATH"));
        run(&["busybox", "/bin/nope"]).exits(127);
        run(&["busybox", "/etc/passwd"]).exits(126);
        run(&["busybox", "/etc"]).exits(126);
        let image = run(&["--pull", "never", "busybos"]).exits(125);
        assert!(image.err().contains("did you mean"), "{image:?}");
        run(&["--nope", "busybox"]).exits(125);
        run(&["-w", "here", "busybox", "true"]).exits(125);
        run(&["-u", "nobody-here", "busybox", "true"]).exits(125);
        assert_eq!(left(&env), [""; 0]);
    }
}

#[test]
fn who_has_no_ids_to_map_is_told_what_to_do() {
    if !support::is_root() {
        return;
    }
    let env = env(User::Lone);
    let ran = env.mkimg(["run", "--rm", "busybox", "true"]).exits(125);
    assert!(ran.err().contains("usermod --add-subuids"), "{ran:?}");
}

#[test]
fn entrypoint_and_command() {
    for user in User::with_ids() {
        let env = env(*user);
        env.write(
            "c/Dockerfile",
            "FROM busybox\nENTRYPOINT [\"echo\", \"entry\"]\nCMD [\"command\"]\n",
        );
        env.mkimg(["build", "-q", "-t", "app", "c"]).success();
        let run = |args: &[&str]| {
            let ran = env.mkimg(["run", "--rm", "--network", "none"].iter().chain(args));
            ran.success().line().to_owned()
        };
        assert_eq!(run(&["app"]), "entry command");
        assert_eq!(run(&["app", "-e", "--rm", "x"]), "entry -e --rm x");
        assert_eq!(run(&["--entrypoint", "basename", "app", "/a/b"]), "b");
        assert_eq!(run(&["--entrypoint=", "app", "echo", "own"]), "own");
        let none = env.mkimg(["run", "--entrypoint=", "app"]).exits(125);
        assert!(none.err().contains("no command"), "{none:?}");
    }
}

#[test]
fn environment_working_directory_and_user() {
    for user in User::with_ids() {
        let env = env(*user);
        env.write(
            "c/Dockerfile",
            "FROM busybox\nENV A=image B=image\nWORKDIR /srv/deep\nUSER app\n",
        );
        env.mkimg(["build", "-q", "-t", "app", "c"]).success();
        let file = env.write("env", "# comment\nB=file\nC=file\nOWN\n");
        let file = file.to_str().unwrap();
        let script =
            "echo $A $B $C $OWN $D; pwd; id -u; echo $HOME; hostname; echo $HOSTNAME; echo $TERM";
        let mut command = env.command([
            "run",
            "--rm",
            "--network",
            "none",
            "-e",
            "C=flag",
            "--env-file",
            file,
            "-e",
            "UNSET",
            "-h",
            "box",
            "app",
            "sh",
            "-c",
            script,
        ]);
        let ran = support::run(command.env("OWN", "mine")).success();
        assert_eq!(
            ran.out(),
            "image file flag mine\n/srv/deep\n1000\n/home\nbox\nbox\n\n"
        );
        let ran = sh(
            &env,
            &["-w", "/new/dir", "-u", "1000:2000"],
            "pwd; id -u; id -g; hostname",
        );
        let lines: Vec<&str> = ran.out().lines().collect();
        assert_eq!(lines[..3], ["/new/dir", "1000", "2000"]);
        assert_eq!(lines[3].len(), 12);
        let ran = sh(
            &env,
            &["-u", "app"],
            "id -nG; cat /etc/hostname; grep -c localhost /etc/hosts",
        );
        assert!(ran.out().starts_with("app extra\n"), "{ran:?}");
        let variables = sh(&env, &[], "env | sort | cut -d= -f1").success();
        assert_eq!(variables.out(), "HOME\nHOSTNAME\nPATH\nPWD\nSHLVL\n");
    }
}

#[test]
fn volumes_are_the_hosts_and_read_only_ones_stay_as_they_are() {
    for user in User::with_ids() {
        let env = env(*user);
        env.write("data/file", "host\n");
        let data = env.path("data");
        let data = data.to_str().unwrap();
        let ran = sh(
            &env,
            &["-v", &format!("{data}:/data")],
            "cat /data/file; echo new > /data/new",
        );
        assert_eq!(ran.success().out(), "host\n");
        assert_eq!(std::fs::read(env.path("data/new")).unwrap(), b"new\n");
        let owner = |name: &str| std::fs::metadata(env.path(name)).unwrap().uid();
        assert_eq!(owner("data/new"), owner("data"));

        let read_only = format!("{data}:/data:ro");
        let ran = sh(&env, &["-v", &read_only], "echo more > /data/new").exits(1);
        assert!(ran.err().contains("Read-only file system"), "{ran:?}");
        let file = format!("{data}/file:/etc/one:ro");
        assert_eq!(sh(&env, &["-v", &file], "cat /etc/one").out(), "host\n");
        let missing = format!("{data}/made/here:/data");
        sh(&env, &["-v", &missing], "touch /data/x").success();
        assert!(env.path("data/made/here/x").exists());
        // Its own hosts file in place of the one that is made.
        let hosts = format!("{data}/file:/etc/hosts");
        assert_eq!(sh(&env, &["-v", &hosts], "cat /etc/hosts").out(), "host\n");

        let named = sh(&env, &["-v", "db:/data"], "true").exits(125);
        assert!(named.err().contains("not supported yet"), "{named:?}");
        sh(&env, &["-v", "/data:relative"], "true").exits(125);
        sh(&env, &["-v", &read_only, "-v", &read_only], "true").exits(125);
    }
}

#[test]
fn a_read_only_root_cannot_be_written_to() {
    for user in User::with_ids() {
        let env = env(*user);
        let data = env.dir("data");
        let volume = format!("{}:/data", data.display());
        let flags = ["--read-only", "-v", &volume];
        let script = "touch /x; touch /data/x && touch /dev/shm/x && cat /etc/hosts | wc -l";
        let ran = sh(&env, &flags, script).success();
        assert_eq!(ran.out(), "7\n");
        assert!(ran.err().contains("/x: Read-only file system"), "{ran:?}");
    }
}

#[test]
fn standard_input_is_passed_on_only_when_asked_for() {
    for user in User::with_ids() {
        let env = env(*user);
        let args = ["run", "--rm", "--network", "none"];
        let with = args.iter().chain(&["-i", "busybox", "cat"]);
        assert_eq!(env.mkimg_with_input(with, b"typed\n").out(), "typed\n");
        let without = args.iter().chain(&["busybox", "cat"]);
        assert_eq!(env.mkimg_with_input(without, b"").success().out(), "");
        let both = args.iter().chain(&["-it", "busybox", "cat"]);
        let ran = env.mkimg_with_input(both, b"").exits(125);
        assert!(ran.err().contains("take a terminal"), "{ran:?}");
        let ran = sh(&env, &[], "echo out; echo err >&2").success();
        assert_eq!((ran.out(), ran.err()), ("out\n", "err\n"));
    }
}

#[test]
fn a_container_stays_until_it_is_removed() {
    for user in User::with_ids() {
        let env = env(*user);
        let run = [
            "run",
            "--network",
            "none",
            "--name",
            "job",
            "busybox",
            "sh",
            "-c",
        ];
        env.mkimg(
            run.iter()
                .chain(&["echo x > /x; chown app /x; mkdir -m 0 /y; exit 3"]),
        )
        .exits(3);
        assert_eq!(env.mkimg(["ps", "-q"]).success().out(), "");
        let all = env.mkimg(["ps", "-a"]).success();
        let line = all.out().lines().nth(1).unwrap();
        assert!(
            line.contains("Exited (3)") && line.ends_with("job"),
            "{line}"
        );

        let taken = env.mkimg(run.iter().chain(&["true"])).exits(125);
        assert!(taken.err().contains("the name job is taken"), "{taken:?}");
        let used = env.mkimg(["rmi", "busybox"]).exits(1);
        assert!(
            used.err().contains("busybox is the image of job"),
            "{used:?}"
        );
        let wrong = env.mkimg(["rm", "jab"]).exits(1);
        assert!(wrong.err().contains("no container \"jab\""), "{wrong:?}");
        env.mkimg(["rm", "job"]).success();
        assert_eq!(left(&env), [""; 0]);
        env.mkimg(["rmi", "busybox"]).success();
        env.mkimg(["run", "--name", "-x", "busybox"]).exits(125);
    }
}

#[test]
fn a_container_keeps_what_it_stands_on() {
    for user in User::with_ids() {
        let env = env(*user);
        env.mkimg([
            "run",
            "--network",
            "none",
            "--name",
            "job",
            "busybox",
            "true",
        ])
        .success();
        let blobs = || {
            std::fs::read_dir(env.store().join("blobs/sha256"))
                .unwrap()
                .count()
        };
        let before = blobs();
        env.mkimg(["rmi", "-f", "busybox"]).success();
        assert_eq!(blobs(), before);
        env.mkimg(["rm", "job"]).success();
        env.import_files("other", &[("a", "a")]);
        env.mkimg(["rmi", "other"]).success();
        assert_eq!(blobs(), 0);
    }
}

#[test]
fn a_hundred_runs_leave_nothing() {
    for user in User::with_ids() {
        let env = env(*user);
        for number in 0..100 {
            let flags = ["run", "--rm"];
            let network: &[&str] = if number % 2 == 0 {
                &["--network", "none"]
            } else {
                &[]
            };
            let all = flags.iter().chain(network);
            env.mkimg(all.chain(&["busybox", "sh", "-c", "mkdir -p /a/b; echo x > /a/b/c"]))
                .success();
        }
        assert_eq!(left(&env), [""; 0]);
        assert_eq!(
            std::fs::read_dir(env.store().join("tmp")).unwrap().count(),
            0
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(env.path("").to_str().unwrap()), "{mounts}");
    }
}

#[test]
fn each_user_has_a_store_of_their_own() {
    for user in User::with_ids() {
        if *user == User::Own && support::is_root() {
            // It would be the machine's.
            continue;
        }
        let env = Env::new(*user);
        let tar = env.write("root.tar", support::base::busybox());
        env.write("c/Dockerfile", "FROM busybox\nRUN echo hello > /hello\n");
        let mkimg =
            |args: &[&str]| support::run(env.command(args).env_remove("MKIMG_ROOT")).success();
        mkimg(&["import", &tar.display().to_string(), "busybox"]);
        mkimg(&["build", "-q", "-t", "app", "c"]);
        let ran = mkimg(&["run", "--rm", "--network", "none", "app", "cat", "/hello"]);
        assert_eq!(ran.out(), "hello\n");
        assert!(env.path("home/.local/share/mkimg/index.json").exists());
    }
}
