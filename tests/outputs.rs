//! `--output`: what a build leaves beside the store.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::{MetadataExt as _, symlink};

use support::{Env, User, run};

/// A context whose image has a file of somebody's, one that is gone, and a link.
fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_files("base", &[("dir/old", "old"), ("etc/keep", "keep")]);
    env.write(
        "c/Dockerfile",
        "FROM base\nCOPY --chown=12:34 new /dir/old\nCMD [\"x\"]\n",
    );
    env.write("c/new", "new");
    env
}

fn images(env: &Env) -> usize {
    env.mkimg(["images", "-q"]).success().out().lines().count()
}

#[test]
fn a_directory_gets_the_files_and_nothing_outside_changes() {
    for user in User::all() {
        let env = env(*user);
        env.write("outside/old", "safe");
        env.write("out/mine", "mine");
        symlink(env.path("outside"), env.path("out/dir")).unwrap();
        env.mkimg(["build", "-q", "-o", "out", "c"]).success();
        let read = |name: &str| std::fs::read_to_string(env.path(name)).unwrap();
        assert_eq!(read("outside/old"), "safe");
        assert_eq!([read("out/dir/old"), read("out/mine")], ["new", "mine"]);
        let owner = |name: &str| std::fs::metadata(env.path(name)).unwrap().uid();
        assert_eq!(owner("out/dir/old"), owner("out/mine"));
        assert_eq!(images(&env), 1);
        env.write("c/Dockerfile", "FROM base\nCOPY nothing /\n");
        env.mkimg(["build", "-o", "other", "c"]).exits(1);
        assert!(!env.path("other").exists());
    }
}

#[test]
fn a_tar_is_the_same_each_time() {
    for user in User::all() {
        let env = env(*user);
        let first = env.mkimg(["build", "-q", "-o", "-", "c"]).success();
        env.mkimg(["build", "-o", "type=tar,dest=a.tar", "c"])
            .success();
        assert_eq!(std::fs::read(env.path("a.tar")).unwrap(), first.bytes());
        let mut archive = tar::Archive::new(first.bytes());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path, entry.header().uid().unwrap())
        });
        let entries: Vec<_> = entries.collect();
        assert!(entries.contains(&("dir/old".to_owned(), 12)), "{entries:?}");
    }
}

#[test]
fn other_tools_read_archives_and_layouts() {
    for user in User::all() {
        let env = env(*user);
        for compression in ["gzip", "zstd", "uncompressed"] {
            let oci = format!("type=oci,dest=oci.tar,compression={compression}");
            let args = [
                "build",
                "-t",
                "a:1",
                "-o",
                &oci,
                "-o",
                "type=docker,dest=docker.tar",
                "c",
            ];
            env.mkimg(args).success();
            for source in ["oci-archive:oci.tar", "docker-archive:docker.tar"] {
                let mut skopeo = env.program("skopeo");
                let copied = format!("dir:copy-{compression}-{}", &source[..3]);
                let args = ["copy", "--insecure-policy", source, &copied];
                run(skopeo.args(args)).success();
            }
        }
        let layout = "type=oci,dest=layout,tar=false,name=b:2";
        env.mkimg(["build", "-o", layout, "c"]).success();
        let mut umoci = env.program("umoci");
        let listed = run(umoci.args(["ls", "--layout", "layout"])).success();
        assert_eq!(listed.line(), "b:2");
        assert_eq!(images(&env), 1);
        env.mkimg(["build", "-o", layout, "c"])
            .exits(2)
            .says(["layout"]);
    }
}

#[test]
fn the_image_stays_where_it_is_asked_for() {
    let env = env(User::Own);
    let args = [
        "build",
        "-t",
        "a",
        "-o",
        "type=image,name=b",
        "-o",
        "out",
        "--iidfile",
        "id",
    ];
    let more = [
        "--label",
        "x=y",
        "--label",
        "z",
        "--annotation",
        "manifest:k=v",
    ];
    let rest = ["--metadata-file", "meta.json", "c"];
    let args = [&args[..], &more, &rest].concat();
    env.mkimg(args)
        .success()
        .says(["naming to a:latest", "naming to b:latest"]);
    let inspected = env.mkimg(["inspect", "b"]).success().json();
    assert_eq!(
        inspected[0]["Config"]["Labels"],
        serde_json::json!({"x": "y", "z": ""})
    );
    let id = std::fs::read_to_string(env.path("id")).unwrap();
    assert_eq!(inspected[0]["Id"], *id);
    let text = std::fs::read(env.path("meta.json")).unwrap();
    let meta: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(meta["containerimage.config.digest"], *id);
    let names = "docker.io/library/a:latest,docker.io/library/b:latest";
    assert_eq!(meta["image.name"], names);
    let digest = meta["containerimage.digest"].as_str().unwrap();
    let blob = env
        .store()
        .join("blobs/sha256")
        .join(&digest["sha256:".len()..]);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap();
    assert_eq!(manifest["annotations"]["k"], "v");
}

#[test]
fn what_cannot_be_written_is_refused_before_the_build() {
    let env = env(User::Own);
    env.write("file", "");
    env.write("full/x", "");
    for (args, says) in [
        (&["-o", "file"][..], "file"),
        (&["-o", "type=tar,dest=full"], "full"),
        (&["-o", "type=oci,dest=full,tar=false"], "full"),
        (&["-o", "type=oci,dest=no/x.tar"], "no directory no"),
        (&["-o", "-", "-o", "type=oci"], "standard output"),
        (&["-o", "a", "-o", "a"], "two outputs"),
        (&["-o", "a", "--iidfile", "id"], "--iidfile"),
        (&["-o", "a", "--annotation", "k=v"], "--annotation"),
        (&["--iidfile", "no/id"], "--iidfile"),
        (&["--metadata-file", "no/m"], "--metadata-file"),
        (&["--annotation", "index:k=v"], "--annotation"),
        (&["--label", "=v"], "--label"),
        (&["--push"], "--push"),
        (
            &["--no-cache", "--no-cache-filter", "0"],
            "--no-cache-filter",
        ),
        (&["-o", "type=registry"], "registry"),
    ] {
        let ran = env.mkimg([&["build"], args, &["c"]].concat()).exits(2);
        ran.says([says]);
    }
    assert_eq!(images(&env), 1);
}

#[test]
fn only_the_stages_that_are_named_are_done_again() {
    let env = Env::new(User::Own);
    env.write("c/a", "a");
    let dockerfile =
        "FROM scratch AS one\nCOPY a /1\nFROM scratch\nCOPY --from=one 1 /\nCOPY a /2\n";
    env.write("c/Dockerfile", dockerfile);
    let cached = |args: &[&str]| {
        let ran = env.mkimg([&["build"], args, &["c"]].concat()).success();
        ran.err().matches("CACHED").count()
    };
    assert_eq!(cached(&[]), 0);
    assert_eq!(cached(&[]), 3);
    assert_eq!(cached(&["--no-cache-filter", "one"]), 2);
    assert_eq!(cached(&["--no-cache-filter", "one,stage-1"]), 0);
    let refused = env
        .mkimg(["build", "--no-cache-filter", "on", "c"])
        .exits(1);
    refused.says(["\"on\"", "did you mean \"one\"?"]);
}
