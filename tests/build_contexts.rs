//! `--build-context`: named contexts in the place of stages and images.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

fn paths(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    let paths = entries.map(|entry| entry.unwrap().path().unwrap().display().to_string());
    paths.collect()
}

fn built(env: &Env, dockerfile: &str, contexts: &[&str]) -> Vec<String> {
    env.write("c/Dockerfile", dockerfile);
    let mut args = vec!["build", "-q", "-o", "-", "c"];
    for context in contexts {
        args.extend(["--build-context", context]);
    }
    paths(env.mkimg(args).success().bytes())
}

#[test]
fn a_directory_is_a_stage_an_image_and_a_source() {
    for user in User::all() {
        let env = Env::new(*user);
        env.write("d/sub/f", "f");
        env.write("d/skip", "s");
        env.write("d/.dockerignore", "skip\n");
        let all = [".dockerignore", "sub/", "sub/f"];
        let stage = "FROM nothing AS x\nRUN false\nFROM scratch\nCOPY --from=x / /\n";
        assert_eq!(built(&env, stage, &["x=d"]), all);
        let base = "FROM docker.io/library/x:latest\nCOPY --from=y sub/f /g\n";
        let expected = [".dockerignore", "g", "sub/", "sub/f"];
        assert_eq!(built(&env, base, &["x=d", "y:latest=d"]), expected);
    }
}

#[test]
fn what_changes_in_it_is_built_anew() {
    let env = Env::new(User::Own);
    env.write("d/f", "1");
    env.write("c/Dockerfile", "FROM scratch\nCOPY --from=x f /\n");
    let build = || {
        let ran = env
            .mkimg(["build", "--build-context", "x=d", "c"])
            .success();
        ran.err().contains("CACHED")
    };
    assert!(!build());
    assert!(build());
    env.write("d/f", "2");
    assert!(!build());
}

#[test]
fn a_command_sees_it_by_a_mount() {
    for user in User::with_ids() {
        let env = Env::new(*user);
        env.import_busybox("busybox");
        env.write("d/f", "word");
        let dockerfile =
            "FROM busybox\nRUN --mount=from=x,target=/m test $(cat /m/f) = word && touch /seen\n";
        let found = built(&env, dockerfile, &["x=d"]);
        assert!(found.contains(&"seen".to_owned()), "{found:?}");
    }
}

#[test]
fn images_come_from_the_store_and_from_layouts() {
    for user in User::all() {
        let env = Env::new(*user);
        env.import_files("one:1", &[("1", "")]);
        env.import_files("two", &[("2", "")]);
        let save = [
            "save", "--format", "oci-dir", "-o", "layout", "one:1", "two",
        ];
        env.mkimg(save).success();
        env.mkimg(["rmi", "one:1"]).success();
        let dockerfile = "FROM x\n";
        for (context, file) in [
            ("x=docker-image://two", "2"),
            ("x=oci-layout://layout", "2"),
            ("x=oci-layout:layout:1", "1"),
        ] {
            assert_eq!(built(&env, dockerfile, &[context]), [file], "{context}");
        }
        let fails = |context: &str, code| {
            let args = ["build", "--offline", "--build-context", context, "c"];
            env.mkimg(args).exits(code)
        };
        fails("x=docker-image://elsewhere/absent:9", 1)
            .says(["elsewhere/absent:9", "mkimg images"]);
        fails("x=oci-layout://layout:9", 1).says(["\"9\"", "one:1", "two:latest"]);
        fails("x=oci-layout://c", 1).says(["image layout c"]);
        fails("x=nowhere", 1).says(["nowhere", "not a directory"]);
        fails("X=c", 2).says(["--build-context"]);
        fails("x", 2).says(["NAME=CONTEXT"]);
        let images = env.mkimg(["images", "-q"]).success();
        assert_eq!(images.out().lines().count(), 1, "{images}");
    }
}
