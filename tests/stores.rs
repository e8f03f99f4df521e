//! Stores that cannot be used, or only in part: each is refused by name, and never made worse.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use support::{Env, User, run};

#[test]
fn a_newer_store_is_refused() {
    let env = Env::new(User::Own);
    env.write("store/version", "99\n");
    env.mkimg(["images"]).exits(1).says(["99", "newer mkimg"]);
    env.mkimg(["run", "busybox", "true"])
        .exits(125)
        .says(["99"]);
    assert_eq!(std::fs::read_dir(env.store()).unwrap().count(), 1);
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let env = Env::new(User::Own);
    env.write("store/letter", "dear");
    let refused = env.mkimg(["images"]).exits(1);
    refused.says(["not a store", "--root DIR"]);
    assert_eq!(std::fs::read_dir(env.store()).unwrap().count(), 1);
    std::fs::remove_dir_all(env.store()).unwrap();
    std::fs::write(env.store(), "a file").unwrap();
    env.mkimg(["images"])
        .exits(1)
        .says(["cannot make the store"]);
}

#[test]
fn somebody_elses_store_is_refused() {
    if !support::is_root() {
        return;
    }
    let env = Env::new(User::Test);
    env.mkimg(["images"]).success();
    std::os::unix::fs::chown(env.store(), Some(0), Some(0)).unwrap();
    std::fs::set_permissions(env.store(), std::fs::Permissions::from_mode(0o755)).unwrap();
    env.write("c/Dockerfile", "FROM scratch\nCMD [\"x\"]\n");
    for (args, code) in [
        (&["images"][..], 1),
        (&["build", "c"], 1),
        (&["run", "x"], 125),
    ] {
        let refused = env.mkimg(args).exits(code);
        refused.says(["belongs to user", "--root DIR"]);
    }
}

#[test]
fn a_read_only_store_is_refused() {
    if !support::is_root() {
        return;
    }
    let env = Env::new(User::Own);
    env.import_busybox("busybox");
    let mut command = env.program("unshare");
    let store = env.store().display().to_string();
    let script = format!("mount --bind -o ro {store} {store} && exec $MKIMG images");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    command.env("MKIMG", env.command([""; 0]).get_program());
    command.env("MKIMG_ROOT", env.store());
    run(&mut command).exits(1).says(["Read-only file system"]);
}

/// A place with the images `busybox` and `app`, and the digest of app's own layer.
fn with_app() -> (Env, String) {
    let env = Env::new(User::Own);
    env.import_busybox("busybox");
    env.write(
        "c/Dockerfile",
        "FROM busybox\nCOPY file /file\nCMD [\"true\"]\n",
    );
    env.write("c/file", "content");
    env.mkimg(["build", "-q", "-t", "app", "c"]).success();
    let inspected = env.mkimg(["inspect", "app"]).success().json();
    let layer = inspected[0]["RootFS"]["Layers"][1].as_str().unwrap();
    (env, layer.to_owned())
}

#[test]
fn a_damaged_layer_is_named_and_never_used() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [Damage; 3] = [
        |bytes| bytes[512] ^= 1,
        |bytes| bytes.truncate(600),
        |bytes| bytes.clear(),
    ];
    for damage in damages {
        let (env, layer) = with_app();
        let hex = &layer["sha256:".len()..];
        let blob = env.store().join("blobs/sha256").join(hex);
        let mut bytes = std::fs::read(&blob).unwrap();
        damage(&mut bytes);
        std::fs::write(&blob, &bytes).unwrap();
        env.mkimg(["verify"]).exits(1).says([layer.as_str()]);
        env.mkimg(["save", "-o", "out.tar", "app"])
            .exits(1)
            .says([layer.as_str()]);
        assert!(!env.path("out.tar").exists());
        env.mkimg(["run", "--rm", "--network", "none", "app"])
            .exits(125)
            .says([layer.as_str()]);
        env.write("d/Dockerfile", "FROM app\nRUN true\n");
        env.mkimg(["build", "d"])
            .exits(1)
            .says(["Dockerfile:", layer.as_str()]);
        env.write("d/Dockerfile", "FROM scratch\nCOPY --from=app /file /\n");
        env.mkimg(["build", "d"])
            .exits(1)
            .says(["Dockerfile:2", layer.as_str()]);
        // Made again, it is whole again.
        env.mkimg(["build", "-q", "--no-cache", "-t", "app", "c"])
            .success();
        env.mkimg(["verify"]).success();
        env.mkimg(["run", "--rm", "--network", "none", "app"])
            .success();
    }
}

#[test]
fn a_missing_layer_and_a_damaged_document_are_named() {
    let (env, layer) = with_app();
    let blobs = env.store().join("blobs/sha256");
    std::fs::remove_file(blobs.join(&layer["sha256:".len()..])).unwrap();
    for (args, code) in [
        (&["verify"][..], 1),
        (&["save", "-o", "out.tar", "app"], 1),
        (&["run", "--rm", "app"], 125),
    ] {
        env.mkimg(args).exits(code).says([layer.as_str()]);
    }
    let index = std::fs::read(env.store().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let manifest = index["manifests"][1]["digest"].as_str().unwrap();
    std::fs::write(blobs.join(&manifest["sha256:".len()..]), "{}").unwrap();
    env.mkimg(["run", "--rm", "app"])
        .exits(125)
        .says([manifest]);
    env.write("c/Dockerfile", "FROM app\n");
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["Dockerfile:1", manifest]);
    env.mkimg(["verify"]).exits(1).says([manifest]);
    // The other image is as good as before.
    env.mkimg(["run", "--rm", "--network", "none", "busybox", "true"])
        .success();
    env.write("store/index.json", "{");
    env.mkimg(["images"]).exits(1).says(["index.json"]);
}

#[test]
fn damaged_archives_are_refused_and_leave_nothing() {
    let (env, _) = with_app();
    env.mkimg(["save", "-o", "app.tar", "app"]).success();
    let whole = std::fs::read(env.path("app.tar")).unwrap();
    let fresh = Env::new(User::Own);
    let refused = |bytes: &[u8]| {
        let ran = fresh.mkimg_with_input(["load"], bytes).exits(1);
        assert!(ran.err().starts_with("error: "), "{ran}");
        assert_eq!(fresh.mkimg(["images", "-q"]).success().out(), "");
        let tmp = std::fs::read_dir(fresh.store().join("tmp")).unwrap();
        assert_eq!(tmp.count(), 0);
    };
    for part in 0..8 {
        refused(&whole[..whole.len() * part / 8]);
    }
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    refused(&flipped);
    fresh.mkimg_with_input(["load"], &whole).success();
}
