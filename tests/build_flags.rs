//! `mkimg build`: what it is given, and what it gives back.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User, run};

fn env(dockerfile: &str) -> Env {
    let env = Env::new(User::Own);
    env.import_busybox("busybox");
    env.write("c/Dockerfile", dockerfile);
    env
}

fn inspect(env: &Env, name: &str) -> serde_json::Value {
    env.mkimg(["inspect", name]).success().json()[0].take()
}

#[test]
fn standard_output_has_the_id_or_nothing() {
    let env = env("FROM busybox\nRUN echo out; echo err >&2\nCMD [\"a\"]\n");
    let loud = env
        .mkimg([
            "build",
            "-t",
            "a",
            "-t",
            "localhost/b:2",
            "--iidfile",
            "id",
            "c",
        ])
        .success()
        .says(["out", "err", "sandbox: ", "naming to localhost/b:2"]);
    assert_eq!(loud.out(), "");
    let id = std::fs::read_to_string(env.path("id")).unwrap();
    assert_eq!(inspect(&env, "a")["Id"], *id);
    assert_eq!(inspect(&env, "localhost/b:2")["Id"], *id);
    let quiet = env.mkimg(["build", "-q", "--no-cache", "c"]).success();
    assert_eq!(quiet.out(), format!("{id}\n"));
    assert_eq!(quiet.err(), "");
}

#[test]
fn arguments_come_from_the_flag_and_the_environment() {
    let env = env(
        "ARG BASE=nothing\nFROM $BASE\nARG GIVEN\nARG TAKEN\nARG UNSET=default\nLABEL all=\"$GIVEN $TAKEN $UNSET\"\n",
    );
    let mut command = env.command([
        "build",
        "-q",
        "-t",
        "a",
        "--build-arg",
        "BASE=busybox",
        "--build-arg",
        "GIVEN=a=b",
        "--build-arg",
        "TAKEN",
        "--build-arg",
        "UNSET",
        "c",
    ]);
    command.env("TAKEN", "from here");
    run(&mut command).success();
    let label = &inspect(&env, "a")["Config"]["Labels"]["all"];
    assert_eq!(label, "a=b from here default");
    env.mkimg(["build", "--build-arg", "=x", "c"])
        .exits(2)
        .says(["--build-arg", "NAME=VALUE"]);
}

#[test]
fn the_epoch_of_the_environment_is_the_images_time() {
    let env = env("FROM busybox\nCMD [\"a\"]\n");
    let mut command = env.command(["build", "-q", "-t", "a", "c"]);
    run(command.env("SOURCE_DATE_EPOCH", "1700000000")).success();
    assert_eq!(inspect(&env, "a")["Created"], "2023-11-14T22:13:20Z");
    run(command.env("SOURCE_DATE_EPOCH", "soon"))
        .exits(1)
        .says(["SOURCE_DATE_EPOCH", "soon"]);
}

#[test]
fn the_dockerfile_can_be_elsewhere() {
    let env = env("no instruction\n");
    env.write("other/File", "FROM busybox\nCOPY Dockerfile /\n");
    env.mkimg(["build", "-q", "-f", "other/File", "c"])
        .success();
    env.write("other/File", "FROM busybox\nCPOY Dockerfile /\n");
    env.mkimg(["build", "-q", "-f", "other/File", "c"])
        .exits(1)
        .says([
            "other/File:2:1",
            "2 | CPOY Dockerfile",
            "| ^^^^",
            "help",
            "COPY",
        ]);
}

#[test]
fn says_what_is_wrong_with_what_it_is_given() {
    let env = env("FROM busybox\n");
    let fails = |args: &[&str]| env.mkimg([&["build"], args].concat()).exits(1);
    fails(&["d"]).says(["context d does not exist", "did you mean \"c\"?"]);
    fails(&["c/Dockerfile"]).says(["not a directory", "-f c/Dockerfile"]);
    fails(&["-t", "Upper", "c"]).says(["\"Upper\"", "\"upper\""]);
    fails(&["-f", "c/Dockerfil", "c"]).says(["c/Dockerfil", "\"c/Dockerfile\""]);
    env.write("c/dockerfile", "FROM busybox\n");
    std::fs::remove_file(env.path("c/Dockerfile")).unwrap();
    env.mkimg(["build", "-q", "c"]).success();
    std::fs::remove_file(env.path("c/dockerfile")).unwrap();
    fails(&["c"]).says(["no Dockerfile c/Dockerfile", "-f FILE"]);
    env.write("c/Dockerfile", b"FROM busybox\n# \xff\n");
    fails(&["c"]).says(["UTF-8", "byte 15"]);
    env.write("c/Dockerfile", vec![b'#'; (1 << 20) + 1]);
    fails(&["c"]).says(["1048577 bytes", "1048576"]);
}

#[test]
fn flags_of_docker_that_are_not_here_are_wrong_usage() {
    let env = env("FROM busybox\n");
    for flag in ["--squash", "--platform=linux/arm64", "--push"] {
        env.mkimg(["build", flag, "c"])
            .exits(2)
            .says([flag.split('=').next().unwrap()]);
    }
    for args in [
        &["build"][..],
        &["build", "--network", "bridge", "c"],
        &["build", "--progress", "rawjson", "c"],
        &["build", "c", "d"],
    ] {
        env.mkimg(args).exits(2);
    }
}
