//! `mkimg build`, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Env, User};

/// A user's place with the busybox base and a context in `c`.
fn env(user: User, dockerfile: &str) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env.write("c/Dockerfile", dockerfile);
    env
}

fn layers(env: &Env, name: &str) -> Vec<String> {
    let inspected = env.mkimg(["inspect", name]).success().json();
    let layers = inspected[0]["RootFS"]["Layers"].as_array().unwrap();
    layers
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

/// The names in the layer that is this many from the top.
fn names(env: &Env, image: &str, from_top: usize) -> Vec<String> {
    let layers = layers(env, image);
    let digest = layers[layers.len() - 1 - from_top]
        .strip_prefix("sha256:")
        .unwrap();
    let file = std::fs::File::open(env.store().join("blobs/sha256").join(digest)).unwrap();
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .map(|name| name.trim_end_matches('/').to_owned())
        .collect()
}

#[test]
fn builds_and_runs() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox AS made\n\
             WORKDIR /made\n\
             RUN echo one > a && ln a b && chown 7:8 a\n\
             FROM busybox\n\
             ARG WHO=world\n\
             ENV GREETING=\"hello $WHO\"\n\
             LABEL kind=test\n\
             EXPOSE 80\n\
             COPY --from=made /made /got\n\
             COPY --chown=app --chmod=750 data /data/\n\
             USER app\n\
             CMD [\"sh\", \"-c\", \"id -u; echo $GREETING; stat -c '%u:%g %h %a' /got/a /data/data\"]\n",
        );
        env.write("c/data", "x");
        let built = env
            .mkimg(["build", "-q", "-t", "app", "--build-arg", "WHO=you", "c"])
            .success();
        assert!(built.line().starts_with("sha256:"), "{built}");
        let ran = env
            .mkimg(["run", "--rm", "--network", "none", "app"])
            .success();
        assert_eq!(ran.out(), "1000\nhello you\n7:8 2 644\n1000:1000 1 750\n");
        let inspected = env.mkimg(["inspect", "app"]).success().json();
        let config = &inspected[0]["Config"];
        assert_eq!(config["Labels"]["kind"], "test");
        assert_eq!(config["User"], "app");
        assert!(config["ExposedPorts"]["80/tcp"].is_object());
        assert_eq!(inspected[0]["Id"], built.line());
    }
}

#[test]
fn a_failed_step_says_where_and_why() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\nRUN echo before \\\n  && echo oops >&2 \\\n  && exit 3\n",
        );
        let failed = env.mkimg(["build", "-t", "app", "c"]).exits(1);
        let failed = failed.says(["Dockerfile:2", "3", "oops", "&& exit 3"]);
        assert_eq!(failed.out(), "");
        let log = failed
            .err()
            .split_whitespace()
            .find(|word| word.contains("/logs/"));
        let log = log.unwrap_or_else(|| panic!("no path of a log: {failed}"));
        let log = log.trim_matches(|letter: char| "\"'`,.;:()".contains(letter));
        assert_eq!(std::fs::read_to_string(log).unwrap(), "before\noops\n");
        env.mkimg(["inspect", "app"]).exits(1);
        env.mkimg(["verify"]).success();
    }
}

#[test]
fn the_hosts_files_serve_the_command_and_are_in_no_layer() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\nRUN test -s /etc/hosts && cat /etc/resolv.conf > /dev/null && echo > /made\n",
        );
        env.mkimg(["build", "-t", "app", "c"]).success();
        assert_eq!(names(&env, "app", 0), ["made"], "{user:?}");
    }
}

#[test]
fn what_changed_nothing_makes_no_layer_and_leaves_the_rest_cached() {
    let env = env(
        User::Own,
        "FROM busybox\nCOPY a /a\nRUN cut -c1 /a > /b\nRUN cat /b > /c\n",
    );
    env.write("c/a", "x1");
    let build = |args: &[&str]| {
        let args = ["build", "--progress", "plain", "-t", "app"]
            .iter()
            .chain(args)
            .chain(&["c"]);
        env.mkimg(args).success().err().matches("CACHED").count()
    };
    assert_eq!(build(&[]), 0);
    let first = layers(&env, "app");
    assert_eq!(build(&[]), 3);
    assert_eq!(build(&["--no-cache"]), 0);
    assert_eq!(layers(&env, "app"), first);
    env.write("c/a", "x2");
    // the copy is another one, and so is what stands on it
    assert_eq!(build(&[]), 0);
    // a comment and a time change nothing
    env.write(
        "c/Dockerfile",
        "# hello\nFROM busybox\nCOPY a /a\nRUN cut -c1 /a > /b\nRUN cat /b > /c\n",
    );
    env.write("c/a", "x1");
    assert_eq!(build(&[]), 3);
    env.write("c/Dockerfile", "FROM busybox\nRUN true\nRUN test -e /bin\n");
    env.mkimg(["build", "-t", "none", "c"]).success();
    assert_eq!(layers(&env, "none"), layers(&env, "busybox"));
}

#[test]
fn only_what_the_target_needs_is_built() {
    let env = env(
        User::Own,
        "FROM busybox AS good\nRUN echo > /good\nFROM busybox AS bad\nRUN false\nFROM good AS last\nRUN echo > /last\n",
    );
    env.mkimg(["build", "-t", "app", "c"]).success();
    env.mkimg(["build", "-t", "good", "--target", "GOOD", "c"])
        .success();
    assert_eq!(names(&env, "good", 0), ["good"]);
    env.mkimg(["build", "--target", "bad", "c"]).exits(1);
    env.mkimg(["build", "--target", "lats", "c"])
        .exits(1)
        .says(["lats", "last"]);
}

#[test]
fn what_only_copies_needs_no_namespace() {
    for user in User::all() {
        let env = env(
            *user,
            "FROM busybox\nCOPY a /x/\nWORKDIR /w\nCMD [\"sh\"]\n",
        );
        env.write("c/a", "a");
        env.mkimg(["build", "-t", "app", "c"]).success();
        assert_eq!(names(&env, "app", 1), ["x", "x/a"], "{user:?}");
        let unpacked = std::fs::read_dir(env.store().join("snapshots/v1"))
            .unwrap()
            .count();
        assert_eq!(unpacked, 0);
    }
}

#[test]
fn without_subordinate_ids_a_command_is_refused_with_the_way_out() {
    if !support::is_root() {
        return;
    }
    let env = env(User::Lone, "FROM busybox\nRUN true\n");
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["Dockerfile:2", "subordinate", "usermod"]);
}

#[test]
fn what_is_not_of_the_language_or_refused_is_named_with_its_line() {
    for (line, word) in [
        ("RUN --security=insecure true", "--security"),
        ("RUN --device=x true", "--device"),
        ("RUN --mount=type=bnid,target=/x true", "bind"),
        ("CPOY a /a", "COPY"),
        ("COPY --form=x a /a", "--from"),
    ] {
        let env = env(User::Own, &format!("FROM busybox\n# a comment\n{line}\n"));
        env.mkimg(["build", "c"])
            .exits(1)
            .says(["Dockerfile:3", word]);
    }
}

#[test]
fn what_is_missing_is_named_with_what_is_near() {
    let env = env(User::Own, "FROM busybox\nCOPY readme.txt /\n");
    env.write("c/read-me.txt", "x");
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["Dockerfile:2", "readme.txt", "read-me.txt"]);
    env.write("c/readme.txt", "x");
    env.write("c/.dockerignore", "# nothing\n*.md\nreadme*\n");
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["Dockerfile:2", "line 3 of .dockerignore"]);
    env.mkimg(["build", "d"]).exits(1).says(["\"c\""]);
    env.write("c/Dockerfile", "FROM busybax\n");
    env.mkimg(["build", "--offline", "c"])
        .exits(1)
        .says(["Dockerfile:1", "busybax", "busybox"]);
    env.write(
        "c/Dockerfile",
        "FROM busybox AS one\nFROM busybox\nCOPY --from=two /a /a\n",
    );
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["Dockerfile:3", "two"]);
    env.mkimg(["build", "--no-such-flag", "c"])
        .exits(2)
        .says(["--no-such-flag"]);
    std::fs::remove_file(env.path("c/Dockerfile")).unwrap();
    env.mkimg(["build", "c"]).exits(1).says(["Dockerfile"]);
}

#[test]
fn sockets_loops_and_unreadable_files_of_a_context() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    for user in User::with_ids() {
        let env = env(*user, "FROM busybox\nCOPY . /x\n");
        symlink("loop", env.path("c/loop")).unwrap();
        symlink("..", env.path("c/up")).unwrap();
        env.mkimg(["build", "-t", "app", "c"]).success();
        assert_eq!(
            names(&env, "app", 0),
            ["x", "x/Dockerfile", "x/loop", "x/up"]
        );
        // no image can hold one, so it is left out only where somebody says so
        let _socket = std::os::unix::net::UnixListener::bind(env.path("c/socket")).unwrap();
        let refused = env.mkimg(["build", "c"]).exits(1);
        refused.says(["Dockerfile:2", "c/socket", "socket", ".dockerignore"]);
        env.write("c/.dockerignore", "socket\n");
        env.mkimg(["build", "c"]).success();
        // root reads everything, and in its user namespace so does a user all of its own
        if *user == User::Test {
            let secret = env.path("c/secret");
            std::fs::write(&secret, "x").unwrap();
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
            let refused = env.mkimg(["build", "c"]).exits(1);
            refused.says(["Dockerfile:2", "c/secret", "ermission"]);
        }
    }
}

#[test]
fn the_network_can_be_taken_away() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\nRUN test $(ls /sys/class/net | wc -w) = 1 || ip addr | grep -c ^ > /n; grep -c : /proc/net/dev > /count\n",
        );
        env.mkimg(["build", "-t", "none", "--network", "none", "c"])
            .success();
        let count = env
            .mkimg(["run", "--rm", "--network", "none", "none", "cat", "/count"])
            .success();
        assert_eq!(count.line(), "1", "only the loopback");
    }
}

#[test]
fn the_id_goes_to_a_file_and_nothing_else_to_standard_output() {
    let env = env(User::Own, "FROM busybox\nRUN echo hello\n");
    let quiet = env.mkimg(["build", "-q", "--iidfile", "id", "c"]).success();
    assert_eq!(
        std::fs::read_to_string(env.path("id")).unwrap(),
        quiet.line()
    );
    assert_eq!(quiet.err(), "");
    assert_eq!(env.mkimg(["build", "c"]).success().out(), "");
}

#[test]
fn a_miss_names_what_was_to_blame() {
    let env = env(
        User::Own,
        "FROM busybox\nARG V=1\nCOPY src /src\nRUN echo $V > /v\n",
    );
    env.write("c/src/a", "1");
    env.write("c/src/b", "2");
    let build = |args: &[&str]| {
        let fixed = ["build", "--progress", "plain"];
        let args = fixed.iter().chain(args).chain(&["c"]);
        let built = env.mkimg(args).success();
        let words = built
            .err()
            .lines()
            .filter(|line| line.contains("not cached"));
        words.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(build(&[]), [""; 0]);
    env.write("c/src/b", "3");
    env.write("c/src/c", "4");
    assert_eq!(
        build(&[]),
        [
            "#3 not cached: src/b changed, src/c is new",
            "#4 not cached: the layers below changed"
        ]
    );
    assert_eq!(
        build(&["--build-arg", "V=2"]),
        ["#4 not cached: the variable V changed"]
    );
    for name in 0..9 {
        env.write(format!("c/src/new{name}"), "");
    }
    assert!(build(&[])[0].ends_with("src/new3 is new, and 5 more"));
}
