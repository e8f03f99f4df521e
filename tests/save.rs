//! `mkimg save`, and what other tools make of what it writes and of the store itself.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::{Env, User, run};

const FILES: &[(&str, &str)] = &[("etc/hostname", "x\n"), ("app/data", "content\n")];

fn skopeo(env: &Env, args: &[&str]) -> support::Ran {
    run(env.program("skopeo").arg("--insecure-policy").args(args)).success()
}

/// The config's digest of an image, which skopeo reads.
fn id_by_skopeo(env: &Env, image: &str) -> String {
    let manifest = skopeo(env, &["inspect", "--raw", image]).json();
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn skopeo_reads_the_store_and_all_that_is_saved() {
    let env = Env::new(User::Own);
    let id = env.import_files("localhost/app:1", FILES);
    let store = env.store();
    let direct = format!("oci:{}:localhost/app:1", store.display());
    assert_eq!(id_by_skopeo(&env, &direct), id);
    for (format, transport) in [
        ("docker-archive", "docker-archive:saved"),
        ("docker-archive", "oci-archive:saved"),
        ("oci-archive", "oci-archive:saved"),
    ] {
        env.mkimg(["save", "--format", format, "-o", "saved", "localhost/app:1"])
            .success();
        assert_eq!(id_by_skopeo(&env, transport), id, "{format} by {transport}");
        std::fs::remove_file(env.path("saved")).unwrap();
    }
    env.mkimg([
        "save",
        "--format",
        "oci-dir",
        "-o",
        "saved",
        "localhost/app:1",
    ])
    .success();
    assert_eq!(id_by_skopeo(&env, "oci:saved"), id);
    skopeo(&env, &["copy", &direct, "dir:copied"]);
    assert!(env.path("copied/manifest.json").exists());
}

#[test]
fn umoci_unpacks_the_store_and_a_saved_layout() {
    if !support::is_root() {
        println!("umoci needs root to unpack as is: not run");
        return;
    }
    let env = Env::new(User::Own);
    env.import_files("app", FILES);
    env.mkimg(["save", "--format", "oci-dir", "-o", "saved", "app"])
        .success();
    for (number, layout) in [env.store(), env.path("saved")].iter().enumerate() {
        let bundle = format!("bundle{number}");
        let image = format!("{}:app:latest", layout.display());
        run(env
            .program("umoci")
            .args(["unpack", "--image", &image, &bundle]))
        .success();
        for (name, content) in FILES {
            let path = env.path(&bundle).join("rootfs").join(name);
            assert_eq!(std::fs::read_to_string(path).unwrap(), *content);
        }
    }
}

/// podman with a storage of its own.
fn podman(env: &Env, args: &[&str]) -> support::Ran {
    let mut command = env.program("podman");
    command
        .args(["--root", "podman/root", "--runroot", "podman/run"])
        .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
        .args(args);
    run(&mut command).success()
}

#[test]
fn podman_loads_what_is_saved_with_its_names() {
    if !support::is_root() {
        println!("podman's own user namespace is not what is tested: not run");
        return;
    }
    let env = Env::new(User::Own);
    let id = env.import_files("app:1", FILES);
    env.mkimg(["tag", "app:1", "localhost:5000/other"])
        .success();
    env.import_files("second", &[("b", "2")]);
    for format in ["docker-archive", "oci-archive"] {
        env.mkimg(["save", "--format", format, "-o", "saved.tar", "app:1"])
            .success();
        podman(&env, &["load", "-i", "saved.tar"]);
        let shown = podman(
            &env,
            &["inspect", "--type", "image", "docker.io/library/app:1"],
        );
        assert_eq!(
            format!("sha256:{}", shown.json()[0]["Id"].as_str().unwrap()),
            id
        );
        podman(&env, &["rmi", "--all", "--force"]);
    }
    env.mkimg([
        "save",
        "-o",
        "all.tar",
        "app:1",
        "localhost:5000/other",
        "second",
    ])
    .success();
    let loaded = podman(&env, &["load", "-i", "all.tar"]);
    for name in ["app:1", "localhost:5000/other:latest", "second:latest"] {
        assert!(loaded.out().contains(name), "{loaded}");
    }
}

#[test]
fn the_docker_archive_is_dockers() {
    let env = Env::new(User::Own);
    let id = env.import_files("app:1", FILES);
    env.mkimg(["tag", "app:1", "other"]).success();
    let saved = env.mkimg(["save", "app:1", "other"]).success();
    let mut archive = tar::Archive::new(saved.bytes());
    let mut names = Vec::new();
    let mut manifest = serde_json::Value::Null;
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name == "manifest.json" {
            manifest = serde_json::from_reader(entry).unwrap();
        }
        names.push(name);
    }
    assert_eq!(manifest.as_array().unwrap().len(), 1);
    assert_eq!(
        manifest[0]["RepoTags"],
        serde_json::json!(["app:1", "other:latest"])
    );
    assert_eq!(
        manifest[0]["Config"],
        format!("blobs/sha256/{}", &id["sha256:".len()..])
    );
    let layer = manifest[0]["Layers"][0].as_str().unwrap().to_owned();
    assert!(names.contains(&layer), "{names:?}");
    // The same bytes wherever it goes.
    env.mkimg(["save", "-o", "file", "app:1", "other"])
        .success();
    assert_eq!(std::fs::read(env.path("file")).unwrap(), saved.bytes());
}

#[test]
fn what_is_saved_is_loaded_by_everybody() {
    let from = Env::new(User::Own);
    let id = from.import_files("app:1", FILES);
    for (format, name) in [
        ("docker-archive", "d.tar"),
        ("oci-archive", "o.tar"),
        ("oci-dir", "dir"),
    ] {
        from.mkimg(["save", "--format", format, "-o", name, "app:1"])
            .success();
        for &user in User::all() {
            let to = Env::new(user);
            let path = from.path(name);
            let ran = to.mkimg(["load", "-i", path.to_str().unwrap()]).success();
            assert_eq!(ran.out(), "Loaded image: app:1\n");
            let shown = to.mkimg(["inspect", "app:1"]).success().json();
            assert_eq!(shown[0]["Id"], id);
            to.mkimg(["verify"]).success();
        }
    }
}

#[test]
fn nothing_half_done_is_left() {
    let env = Env::new(User::Own);
    env.import_files("app", FILES);
    env.mkimg(["save", "-o", "out.tar", "app", "nothing"])
        .exits(1)
        .says(["no image \"nothing\""]);
    assert!(!env.path("out.tar").exists());
    env.write("full/file", "x");
    env.mkimg(["save", "--format", "oci-dir", "-o", "full", "app"])
        .exits(1)
        .says(["full"]);
    env.mkimg(["save", "-o", "missing/out.tar", "app"])
        .exits(1)
        .says(["missing/out.tar"]);
    env.mkimg(["save", "--format", "oci-dir", "app"]).exits(2);
    env.mkimg(["save"]).exits(2);
    let full = env.mkimg(["save", "-o", "/dev/full", "app"]).exits(1);
    assert!(full.err().contains("No space left"), "{full}");
    let names: Vec<_> = std::fs::read_dir(env.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| Path::new(name).starts_with(".mkimg") || name.starts_with(".mkimg")),
        "{names:?}"
    );
}
