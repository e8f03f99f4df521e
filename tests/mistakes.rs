//! Mistakes in a Dockerfile and on the command line: the line is shown, underlined, with what to do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Env, User};

#[test]
fn every_mistake_shows_its_line_underlined() {
    let env = Env::new(User::Own);
    env.import_busybox("busybox");
    env.write("c/file", "x");
    for (dockerfile, line, says) in [
        ("", 1, "begin with FROM"),
        ("# only\n", 1, "begin with FROM"),
        ("RUN true\n", 1, "only ARG may stand before it"),
        ("FROM\n", 1, "FROM needs an image"),
        ("FROM busybox AS\n", 1, "AS and a name"),
        ("FROM busybox AS 1a\n", 1, "a letter, and then"),
        ("FROM $X\n", 1, "--build-arg"),
        ("FROM busybax\n", 1, "did you mean \"busybox:latest\""),
        ("FROM --bogus=x busybox\n", 1, "--bogus"),
        ("FROM busybox\nFROMM x\n", 2, "did you mean FROM?"),
        (
            "FROM busybox\nRUN true\nCPOY a /a\n",
            3,
            "did you mean COPY?",
        ),
        ("FROM busybox\nCMD [\"a\", 1]\n", 2, "strings only"),
        ("FROM busybox\nEXPOSE 99999\n", 2, "0 to 65535"),
        ("FROM busybox\nEXPOSE 80/foo\n", 2, "tcp, udp or sctp"),
        ("FROM busybox\nLABEL a\n", 2, "LABEL name=value"),
        ("FROM busybox\nENV a\n", 2, "ENV name=value"),
        ("FROM busybox\nENV A=${B\n", 2, "not closed"),
        ("FROM busybox\nENV A=\"x\n", 2, "escape character"),
        (
            "FROM busybox\nENV A=${B:?it is needed}\n",
            2,
            "it is needed",
        ),
        ("FROM busybox\nUSER nobody\nRUN id\n", 3, "/etc/passwd"),
        ("FROM busybox\nUSER 1:2:3\nRUN id\n", 3, "/etc/group"),
        ("FROM busybox\nUSER 99999999999\nRUN id\n", 3, "/etc/passwd"),
        ("FROM busybox\nWORKDIR /etc/passwd\n", 2, "not a directory"),
        ("FROM busybox\nCOPY file\n", 2, "a destination"),
        ("FROM busybox\nCOPY fiel /\n", 2, "did you mean \"file\""),
        ("FROM busybox\nCOPY [z-a /\n", 2, "not a valid pattern"),
        (
            "FROM busybox\nCOPY --chmod=999 file /\n",
            2,
            "an octal number",
        ),
        (
            "FROM busybox\nCOPY --chown=ap file /\n",
            2,
            "did you mean \"app\"",
        ),
        ("FROM busybox\nCOPY --from=9 /a /\n", 2, "numbered from 0"),
        ("FROM busybox\nCOPY --from=0 /a /\n", 2, "above this one"),
        (
            "FROM busybox\nCOPY --from=busybax /a /\n",
            2,
            "did you mean",
        ),
        (
            "FROM busybox\nCOPY file /etc/passwd/x\n",
            2,
            "not a directory",
        ),
        ("FROM busybox\nRUN nosuch\n", 2, "127"),
        ("FROM busybox\nRUN [\"/nosuch\"]\n", 2, "no such file"),
        ("FROM busybox\nRUN exit 7\n", 2, "exit code 7"),
        ("FROM busybox\nRUN kill -9 $$\n", 2, "SIGKILL"),
        ("FROM scratch\nRUN true\n", 2, "no shell"),
        ("FROM busybox\nRUN true\0\n", 2, "NUL"),
        ("# escape=x\nFROM busybox\n", 1, "escape character"),
    ] {
        env.write("c/Dockerfile", dockerfile);
        let refused = env.mkimg(["build", "c"]).exits(1);
        let place = format!("c/Dockerfile:{line}:");
        let refused = refused.says([place.as_str(), "^", says]);
        assert_eq!(refused.out(), "", "{dockerfile:?}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let env = Env::new(User::Own);
    let long = "x".repeat(1 << 20);
    let stages: String = (0..3000)
        .map(|n| format!("FROM scratch AS s{n}\n"))
        .collect();
    let doubling: String = (0..30)
        .map(|n| format!("ENV A{}=$A{n}$A{n}$A{n}$A{n}\n", n + 1))
        .collect();
    for (dockerfile, says) in [
        (format!("FROM scratch\nENV A={long}\n"), "bytes"),
        (
            format!("FROM scratch\nENV A={}\n", &long[..100_000]),
            "break it",
        ),
        (stages, "more than 1000 stages"),
        (
            format!("FROM scratch\nENV A0=xxxx\n{doubling}"),
            "after expansion",
        ),
    ] {
        env.write("c/Dockerfile", dockerfile);
        env.mkimg(["build", "c"])
            .exits(1)
            .says(["c/Dockerfile:", says]);
    }
    env.write("c/Dockerfile", b"FROM scratch\nENV A=\xff\n");
    env.mkimg(["build", "c"]).exits(1).says(["not UTF-8"]);
}

#[test]
fn nothing_leads_out_of_the_context_or_the_image() {
    let env = Env::new(User::Own);
    env.import_busybox("busybox");
    env.write("outside/secret", "secret");
    std::os::unix::fs::symlink("../outside/secret", env.dir("c").join("link")).unwrap();
    std::os::unix::fs::symlink(env.path("outside"), env.path("c/dir")).unwrap();
    let outside = env.path("outside").display().to_string();
    for source in [
        "../outside/secret",
        "/../../outside/secret",
        "link",
        "dir/secret",
        &format!("{outside}/secret"),
    ] {
        env.write("c/Dockerfile", format!("FROM scratch\nCOPY {source} /x\n"));
        env.mkimg(["build", "c"])
            .exits(1)
            .says(["Dockerfile:2", "not in the build context"]);
    }
    env.write(
        "c/Dockerfile",
        format!("FROM busybox AS a\nRUN ln -s ../../../../..{outside} /out\nFROM scratch\nCOPY --from=a /out/secret /x\n"),
    );
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["Dockerfile:4", "not in what is copied from"]);
    env.write(
        "c/Dockerfile",
        format!("FROM busybox\nRUN ln -s ../../../..{outside} /out\nCOPY Dockerfile /out/made\nWORKDIR /out/dir\nRUN echo > made\n"),
    );
    env.mkimg(["build", "c"]).success();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    for line in ["WORKDIR /loop", "COPY Dockerfile /loop/x"] {
        env.write(
            "c/Dockerfile",
            format!("FROM busybox\nRUN ln -s loop /loop\n{line}\n"),
        );
        env.mkimg(["build", "c"])
            .exits(1)
            .says(["Dockerfile:3", "symbolic links"]);
    }
}

#[test]
fn wrong_usage_exits_with_2_and_what_cannot_be_with_1() {
    let env = Env::new(User::Own);
    env.write("c/Dockerfile", "FROM scratch\n");
    for args in [
        &["build"][..],
        &["build", "c", "d"],
        &["build", "--bogus", "c"],
        &["build", "--progress", "x", "c"],
        &["build", "--network", "x", "c"],
        &["build", "--build-arg", "=x", "c"],
    ] {
        env.mkimg(args).exits(2).says(["--help"]);
    }
    for (args, says) in [
        (&["build", "cc"][..], "did you mean \"c\"?"),
        (&["build", "c/Dockerfile"], "not a directory"),
        (
            &["build", "-f", "c/Dockerfil", "c"],
            "did you mean \"c/Dockerfile\"?",
        ),
        (&["build", "-t", "UPPER", "c"], "did you mean \"upper\"?"),
        (&["build", "--progress", "tty", "c"], "--progress plain"),
        (&["build", "--target", "9", "c"], "no stage"),
    ] {
        env.mkimg(args).exits(1).says([says]);
    }
}
