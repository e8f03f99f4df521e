//! `mkimg push`, to Debian's registry and to one where things go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../remote/tests/support/faulty.rs"]
#[allow(dead_code)]
mod faulty;
mod servers;
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use faulty::{Fault, Faulty, answer};
use image_format::digest::Digest;
use serde_json::{Value, json};
use servers::registry::Registry;
use support::{Env, Ran, User, run};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An environment with an image of this name, of several layers.
fn with_image(user: User, name: &str) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env.write(
        "context/Dockerfile",
        "FROM busybox\nCOPY one /\nCOPY two /dir/\nENV A=b\nCMD [\"/one\"]\n",
    );
    env.write("context/one", "one\n".repeat(10_000));
    env.write("context/two", "two\n");
    env.mkimg(["build", "-q", "-t", name, "context"]).success();
    env
}

fn skopeo(env: &Env, args: &[&str]) -> Ran {
    let mut command = env.program("skopeo");
    run(command.arg("--insecure-policy").args(args)).success()
}

/// A document in the registry, as skopeo reads it.
fn raw(env: &Env, name: &str) -> Ran {
    let name = format!("docker://{name}");
    skopeo(env, &["inspect", "--tls-verify=false", "--raw", &name])
}

/// The digest that a push prints, which is that of what the registry has.
fn digest_of(env: &Env, name: &str, pushed: &Ran) -> String {
    let line = pushed.line();
    let (_, tag) = name.rsplit_once(':').unwrap();
    let document = raw(env, name);
    let (digest, size) = (Digest::of(document.bytes()), document.bytes().len());
    assert_eq!(line, format!("{tag}: digest: {digest} size: {size}"));
    digest.to_string()
}

#[test]
fn what_is_pushed_is_what_was_built() {
    let registry = Registry::start();
    for (number, user) in User::all().iter().enumerate() {
        let name = format!("{}/some/app{number}:1", registry.host());
        let env = with_image(*user, &name);
        let pushed = env.mkimg(["push", &name]).success();
        assert!(pushed.err().contains(": Pushed\n"), "{pushed}");
        let digest = digest_of(&env, &name, &pushed);
        let manifest = raw(&env, &name).json();
        for layer in manifest["layers"].as_array().unwrap() {
            assert_eq!(layer["mediaType"], format!("{LAYER}+gzip"));
        }
        let id = manifest["config"]["digest"].as_str().unwrap();
        assert_eq!(env.mkimg(["inspect", &name]).json()[0]["Id"], id);

        let copied = format!("docker://{name}");
        skopeo(
            &env,
            &["copy", "--src-tls-verify=false", &copied, "oci:copied:1"],
        );
        env.mkimg(["--root", "other", "load", "-i", "copied"])
            .success();
        env.mkimg(["--root", "other", "verify"]).success();
        let same = env.mkimg(["--root", "other", "inspect", id]).json();
        let ours = env.mkimg(["inspect", id]).json();
        assert_eq!(same[0]["RootFS"], ours[0]["RootFS"]);
        assert_eq!(same[0]["Config"], ours[0]["Config"]);

        let again = env.mkimg(["push", "-q", &name]).success();
        assert_eq!((again.line(), again.err()), (digest.as_str(), ""));
    }
}

#[test]
fn an_unchanged_image_takes_one_request_and_another_tag_no_upload() {
    let registry = Faulty::start(|_| Fault::None);
    let name = format!("{}/app:1", registry.host());
    let env = with_image(User::Own, &name);
    env.mkimg(["push", &name]).success();
    let uploads = |lines: &[String]| lines.iter().filter(|line| line.starts_with("POST")).count();
    let first = registry.lines();
    // Three layers and a config.
    assert_eq!(uploads(&first), 4, "{first:#?}");
    env.mkimg(["push", &name]).success();
    let second = registry.lines().split_off(first.len());
    assert!(second.len() <= 2, "{second:#?}");
    assert!(
        second.contains(&"HEAD /v2/app/manifests/1".to_owned()),
        "{second:#?}"
    );

    let other = format!("{}/app:2", registry.host());
    env.mkimg(["tag", &name, &other]).success();
    let before = registry.lines().len();
    env.mkimg(["push", &other]).success();
    let third = registry.lines().split_off(before);
    assert_eq!(uploads(&third), 0, "{third:#?}");
    assert!(third.len() <= 4, "{third:#?}");
    let manifests = &registry.content.lock().unwrap().manifests;
    assert_eq!(manifests["1"], manifests["2"]);
}

#[test]
fn a_change_uploads_what_is_new_and_another_repository_takes_over_the_rest() {
    let registry = Registry::start();
    let name = format!("{}/app:1", registry.host());
    let env = with_image(User::Own, &name);
    env.mkimg(["push", &name]).success();
    env.write("context/two", "changed\n");
    env.mkimg(["build", "-t", &name, "context"]).success();
    let pushed = env.mkimg(["push", &name]).success();
    let count = |ran: &Ran, word: &str| ran.err().matches(word).count();
    // The last layer and the config.
    assert_eq!(count(&pushed, ": Pushed"), 2, "{pushed}");
    assert_eq!(count(&pushed, ": Layer already exists"), 2, "{pushed}");

    let other = format!("{}/other/app:1", registry.host());
    env.mkimg(["tag", &name, &other]).success();
    let pushed = env.mkimg(["push", &other]).success();
    assert_eq!(count(&pushed, ": Mounted from app"), 4, "{pushed}");
    assert_eq!(raw(&env, &other).bytes(), raw(&env, &name).bytes());
}

#[test]
fn all_tags_and_several_names() {
    let registry = Registry::start();
    let repository = format!("{}/app", registry.host());
    let name = |tag: &str| format!("{repository}:{tag}");
    let env = with_image(User::Own, &name("1"));
    env.mkimg(["tag", &name("1"), &name("2")]).success();
    let pushed = env.mkimg(["push", "--all-tags", &repository]).success();
    assert_eq!(pushed.out().lines().count(), 2, "{pushed}");
    assert_eq!(raw(&env, &name("1")).bytes(), raw(&env, &name("2")).bytes());

    let unknown = name("3");
    let pushed = env.mkimg(["push", "-q", &name("1"), &unknown]).exits(1);
    assert_eq!(pushed.out().lines().count(), 1);
    pushed.says(["no image", "did you mean"]);
    env.mkimg(["push", "-a", &name("1")])
        .exits(2)
        .says(["--all-tags", "leave the tag out"]);
    let by_digest = format!("{repository}@{}", Digest::of(b""));
    env.mkimg(["push", &by_digest]).exits(1).says(["digest"]);
}

#[test]
fn layers_in_zstd_or_plain_and_anew() {
    let registry = Registry::start();
    let name = |tag: &str| format!("{}/app:{tag}", registry.host());
    let env = with_image(User::Own, &name("gzip"));
    for tag in ["zstd", "plain"] {
        env.mkimg(["tag", &name("gzip"), &name(tag)]).success();
    }
    env.mkimg(["push", "--compression", "zstd:19", &name("zstd")])
        .success();
    env.mkimg(["push", "--compression", "none", &name("plain")])
        .success();
    env.mkimg([
        "push",
        "--compression",
        "gzip",
        "--compression-level",
        "9",
        &name("gzip"),
    ])
    .success();
    let mut tars = Vec::new();
    for (tag, suffix) in [("zstd", "+zstd"), ("plain", ""), ("gzip", "+gzip")] {
        let manifest = raw(&env, &name(tag)).json();
        let layers = manifest["layers"].as_array().unwrap();
        assert!(
            layers
                .iter()
                .all(|l| l["mediaType"] == format!("{LAYER}{suffix}"))
        );
        let from = format!("docker://{}", name(tag));
        let to = format!("dir:{tag}");
        skopeo(
            &env,
            &[
                "copy",
                "--src-tls-verify=false",
                "--dest-decompress",
                &from,
                &to,
            ],
        );
        let files = std::fs::read_dir(env.path(tag)).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.retain(|name| name.len() == 64);
        names.sort();
        tars.push(names);
    }
    assert!(tars.iter().all(|names| *names == tars[0]), "{tars:?}");
    // What came in one compression goes in another only when that is asked for.
    env.mkimg(["save", "-o", "saved", &name("gzip")]).success();
    skopeo(
        &env,
        &[
            "copy",
            "--src-tls-verify=false",
            &format!("docker://{}", name("gzip")),
            "oci:gz:x",
        ],
    );
    let other = ["--root", "other"];
    env.mkimg(other.into_iter().chain(["load", "-i", "gz"]))
        .success();
    let id = raw(&env, &name("gzip")).json()["config"]["digest"].clone();
    let there = format!("{}/there:1", registry.host());
    env.mkimg(
        other
            .into_iter()
            .chain(["tag", id.as_str().unwrap(), &there]),
    )
    .success();
    let push = other
        .into_iter()
        .chain(["push", "--compression", "zstd", &there]);
    env.mkimg(push).success();
    assert_eq!(raw(&env, &there).bytes(), raw(&env, &name("gzip")).bytes());
    let push = [
        "push",
        "--compression",
        "zstd",
        "--force-compression",
        &there,
    ];
    env.mkimg(other.into_iter().chain(push)).success();
    let manifest = raw(&env, &there).json();
    assert_eq!(manifest["layers"][0]["mediaType"], format!("{LAYER}+zstd"));
    env.mkimg(["push", "--compression", "xz", &there])
        .exits(2)
        .says(["gzip, zstd or none"]);
    env.mkimg([
        "push",
        "--compression",
        "zstd",
        "--compression-level",
        "20",
        &there,
    ])
    .exits(2)
    .says(["1 to 19"]);
}

#[test]
fn an_image_of_a_hundred_layers() {
    let registry = Registry::start();
    let name = format!("{}/layers:100", registry.host());
    let env = Env::new(User::Own);
    let mut dockerfile = "FROM scratch\n".to_owned();
    for number in 0..100 {
        dockerfile.push_str(&format!("COPY {number} /\n"));
        env.write(format!("context/{number}"), format!("{number}\n"));
    }
    env.write("context/Dockerfile", dockerfile);
    env.mkimg(["build", "-t", &name, "context"]).success();
    env.mkimg(["push", "--compression", "zstd", &name])
        .success();
    let inspected = skopeo(
        &env,
        &["inspect", "--tls-verify=false", &format!("docker://{name}")],
    );
    assert_eq!(inspected.json()["Layers"].as_array().unwrap().len(), 100);
    let from = format!("docker://{name}");
    skopeo(
        &env,
        &["copy", "--src-tls-verify=false", &from, "oci:copied:1"],
    );
    env.mkimg(["--root", "other", "load", "-i", "copied"])
        .success();
    env.mkimg(["--root", "other", "verify"]).success();
}

/// Puts a blob into an image layout; gives its descriptor.
fn blob(env: &Env, layout: &str, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    env.write(
        Path::new(layout).join("blobs/sha256").join(digest.hex()),
        bytes,
    );
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// An image layout with an index of images for these platforms, odd members included; gives the index.
fn index_layout(env: &Env, layout: &str, tag: &str, architectures: &[&str]) -> Value {
    let manifests = architectures.iter().map(|architecture| {
        let tar = [0_u8; 1024];
        let diff_id = Digest::of(&tar);
        let layer = blob(env, layout, LAYER, &tar);
        let config = json!({
            "architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        let config = blob(env, layout, CONFIG, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let mut entry = blob(env, layout, MANIFEST, manifest.to_string().as_bytes());
        entry["platform"] = json!({"architecture": architecture, "os": "linux"});
        entry
    });
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests.collect::<Vec<_>>(),
        "annotations": {"a": "b"}, "x": 1,
    });
    let mut entry = blob(env, layout, INDEX, index.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    env.write(
        format!("{layout}/index.json"),
        json!({"schemaVersion": 2, "manifests": [entry]}).to_string(),
    );
    env.write(
        format!("{layout}/oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    entry
}

#[test]
fn an_index_goes_whole_and_as_it_is() {
    let registry = Registry::start();
    let name = format!("{}/many:1", registry.host());
    let env = Env::new(User::Own);
    let architectures = ["amd64", "arm64", "s390x", "riscv64"];
    let index = index_layout(&env, "layout", &name, &architectures);
    env.mkimg(["load", "-i", "layout"]).success();
    let pushed = env
        .mkimg(["push", "--compression", "none", &name])
        .success();
    assert_eq!(digest_of(&env, &name, &pushed), index["digest"]);
    for architecture in architectures {
        let config = skopeo(
            &env,
            &[
                "inspect",
                "--tls-verify=false",
                &format!("--override-arch={architecture}"),
                "--config",
                &format!("docker://{name}"),
            ],
        );
        assert_eq!(config.json()["architecture"], architecture);
    }
    // Compressed, all documents change, and what is unknown in them stays.
    env.mkimg(["push", &name]).success();
    let document = raw(&env, &name).json();
    assert_eq!(
        (&document["annotations"]["a"], &document["x"]),
        (&json!("b"), &json!(1))
    );
    let from = format!("docker://{name}");
    skopeo(
        &env,
        &[
            "copy",
            "--all",
            "--src-tls-verify=false",
            &from,
            "oci:copied:1",
        ],
    );
}

#[test]
fn of_an_index_that_is_not_whole_the_own_manifest_goes() {
    let registry = Registry::start();
    let name = format!("{}/many:1", registry.host());
    let env = Env::new(User::Own);
    index_layout(&env, "layout", &name, &["amd64", "arm64", "s390x"]);
    let index = json_file(&env.path("layout/index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let index = json_file(&env.path(blob_file("layout", &digest)));
    let gone = index["manifests"][2]["digest"].as_str().unwrap();
    std::fs::remove_file(env.path(blob_file("layout", gone))).unwrap();
    env.mkimg(["load", "-i", "layout"]).success();
    let pushed = env.mkimg(["push", &name]).success();
    let host = format!("linux/{}", goarch());
    assert!(
        pushed.err().contains(&format!("only {host} was pushed")),
        "{pushed}"
    );
    assert_eq!(raw(&env, &name).json()["mediaType"], MANIFEST);
}

fn goarch() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn blob_file(layout: &str, digest: &str) -> String {
    format!(
        "{layout}/blobs/sha256/{}",
        digest.strip_prefix("sha256:").unwrap()
    )
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_bad_network_takes_time_and_nothing_else() {
    let cuts = AtomicUsize::new(0);
    let registry = Faulty::start(move |asked| match asked.before {
        // What is sent again may have another address each time.
        _ if asked.is("PATCH", "/uploads/") && cuts.fetch_add(1, Ordering::Relaxed) < 3 => {
            Fault::CutUpload(10)
        }
        0 if asked.is("POST", "/uploads/") => answer(503, &["Retry-After: 0"], ""),
        0 if asked.is("PUT", "/manifests/") => Fault::Mute,
        0 if asked.is("HEAD", "/blobs/") => Fault::Hangup,
        _ => Fault::None,
    });
    let name = format!("{}/app:1", registry.host());
    let env = with_image(User::Own, &name);
    env.mkimg(["push", &name]).success();
    let manifest = registry.content.lock().unwrap().manifests["1"].1.clone();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    for blob in layers.chain([&manifest["config"]]) {
        let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
        let bytes = registry.blob(&digest).unwrap();
        assert_eq!(Digest::of(&bytes), digest);
    }
}

#[test]
fn a_push_that_fails_leaves_the_tag_and_says_why() {
    let registry = Faulty::start(|asked| match asked.method.as_str() {
        "PUT" | "PATCH" | "POST" => answer(
            403,
            &["Content-Type: application/json"],
            r#"{"errors":[{"code":"DENIED","message":"not for you"}]}"#,
        ),
        _ => Fault::None,
    });
    let name = format!("{}/app:1", registry.host());
    let env = with_image(User::Own, &name);
    let pushed = env.mkimg(["push", &name]).exits(1);
    assert_eq!(pushed.out(), "");
    pushed.says(["cannot push", "not for you"]);
    assert!(registry.content.lock().unwrap().manifests.is_empty());
    env.mkimg(["inspect", &name]).success();
}

#[test]
fn a_layer_that_is_damaged_or_gone_is_not_pushed() {
    let registry = Registry::start();
    let name = format!("{}/app:1", registry.host());
    let env = with_image(User::Own, &name);
    let image = env.mkimg(["inspect", &name]).json();
    let layer = image[0]["RootFS"]["Layers"][1].as_str().unwrap().to_owned();
    let path = env.path(blob_file("store", &layer));
    let bytes = std::fs::read(&path).unwrap();
    let mut damaged = bytes.clone();
    damaged[2000] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    env.mkimg(["push", &name]).exits(1).says(["corrupt"]);
    std::fs::remove_file(&path).unwrap();
    env.mkimg(["push", &name]).exits(1).says(["missing"]);
    std::fs::write(&path, &bytes).unwrap();
    env.mkimg(["push", &name]).success();
    // What it was compressed is known, and so is pushed again without the compressed blob.
    let manifest = raw(&env, &name).json();
    for layer in manifest["layers"].as_array().unwrap() {
        let compressed = blob_file("store", layer["digest"].as_str().unwrap());
        std::fs::remove_file(env.path(compressed)).unwrap();
    }
    env.mkimg(["push", &name]).success();
    let empty = Registry::start();
    let elsewhere = format!("{}/app:1", empty.host());
    env.mkimg(["tag", &name, &elsewhere]).success();
    env.mkimg(["push", &elsewhere]).success();
    assert_eq!(raw(&env, &elsewhere).json(), manifest);
}

#[test]
fn a_build_pushes_what_it_made_once_it_is_in_the_store() {
    let registry = Registry::start();
    for (number, user) in User::all().iter().enumerate() {
        let name = |tag: &str| format!("{}/built{number}:{tag}", registry.host());
        let env = with_image(*user, "first");
        let build = [
            "build",
            "--push",
            "-t",
            &name("1"),
            "--metadata-file",
            "meta",
            "context",
        ];
        let built = env.mkimg(build).success();
        assert!(built.err().contains("1: digest: sha256:"), "{built}");
        let digest = Digest::of(raw(&env, &name("1")).bytes()).to_string();
        let told = json_file(&env.path("meta"));
        assert_eq!(told["containerimage.digest"], digest);
        assert_eq!(told["image.name"], name("1"));
        let ours = env.mkimg(["inspect", &name("1")]).json();
        assert_eq!(told["containerimage.config.digest"], ours[0]["Id"]);

        let output = format!("type=image,push=true,compression=zstd,name={}", name("2"));
        let built = env
            .mkimg(["build", "-q", "-o", &output, "context"])
            .success();
        assert_eq!(built.err(), "");
        assert_eq!(built.line(), ours[0]["Id"]);
        let manifest = raw(&env, &name("2")).json();
        assert_eq!(manifest["layers"][0]["mediaType"], format!("{LAYER}+zstd"));
        env.mkimg(["inspect", &name("2")]).success();
        env.mkimg(["build", "-o", "type=registry", "-t", &name("3"), "context"])
            .success();
        assert_eq!(raw(&env, &name("3")).bytes(), raw(&env, &name("1")).bytes());
    }
    let env = with_image(User::Own, "first");
    env.mkimg(["build", "--push", "context"])
        .exits(2)
        .says(["without a name", "-t "]);
    env.mkimg([
        "build",
        "--push",
        "--offline",
        "-t",
        "localhost:1/x",
        "context",
    ])
    .exits(2)
    .says(["--offline"]);
}

#[test]
fn a_build_that_may_not_push_does_not_begin_and_one_that_cannot_any_more_keeps_its_image() {
    let denied = answer(
        403,
        &[],
        r#"{"errors":[{"code":"DENIED","message":"not you"}]}"#,
    );
    let all = denied.clone();
    let registry = Faulty::start(move |asked| match asked.method.as_str() {
        "POST" => all.clone(),
        _ => Fault::None,
    });
    let env = with_image(User::Own, "first");
    env.write("context/Dockerfile", "FROM busybox\nRUN touch /made\n");
    let name = format!("{}/app:1", registry.host());
    let built = env
        .mkimg(["build", "--push", "-t", &name, "context"])
        .exits(1);
    assert!(!built.err().contains("touch"), "{built}");
    built.says(["cannot push", "not you"]);
    env.mkimg(["inspect", &name]).exits(1);

    let registry = Faulty::start(move |asked| match asked.is("PUT", "/manifests/") {
        true => denied.clone(),
        false => Fault::None,
    });
    let name = format!("{}/app:1", registry.host());
    let again = format!("the image is in the store: mkimg push {name}");
    env.mkimg(["build", "--push", "-t", &name, "context"])
        .exits(1)
        .says(["cannot push", "not you", &again]);
    env.mkimg(["inspect", &name]).success();
    assert!(registry.content.lock().unwrap().manifests.is_empty());
}

#[test]
fn a_base_that_was_never_fetched_is_taken_over_or_fetched() {
    let (registry, other) = (Registry::start(), Registry::start());
    let base = format!("{}/some/base:1", registry.host());
    let env = with_image(User::Own, &base);
    env.mkimg(["push", &base]).success();
    let mkimg = |args: &[&str]| env.mkimg(["--root", "fresh"].iter().chain(args)).success();
    env.write("on/Dockerfile", format!("FROM {base}\nCOPY --link new /\n"));
    env.write("on/new", "new\n");
    let name = format!("{}/app:1", registry.host());
    let built = mkimg(&["build", "--push", "-t", &name, "on"]);
    let mounted = built.err().matches(": Mounted from some/base").count();
    assert_eq!(mounted, 3, "{built}");
    let layers = raw(&env, &base).json()["layers"].clone();
    for layer in layers.as_array().unwrap() {
        let path = blob_file("fresh", layer["digest"].as_str().unwrap());
        assert!(!env.path(path).exists(), "{layer} was fetched");
    }
    // Another registry does not have them.
    let name = format!("{}/app:1", other.host());
    mkimg(&["build", "-t", &name, "on"]);
    mkimg(&["push", &name]);
    let from = format!("docker://{name}");
    skopeo(
        &env,
        &["copy", "--src-tls-verify=false", &from, "oci:copied:1"],
    );
    env.mkimg(["--root", "third", "load", "-i", "copied"])
        .success();
    env.mkimg(["--root", "third", "verify"]).success();
}
