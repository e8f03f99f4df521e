//! `mkimg pull`, and builds and containers of images that are in a registry: Debian's, with what skopeo and
//! mkimg put there.
#![allow(clippy::unwrap_used)]

mod servers;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;

use servers::registry::Registry;
use support::{Env, Ran, User, run};

/// Who puts images into registries.
struct Publisher {
    env: Env,
    registry: Registry,
}

impl Publisher {
    fn new() -> Self {
        Self {
            env: Env::new(User::Own),
            registry: Registry::start(),
        }
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    fn skopeo(&self, args: &[&str]) -> Ran {
        let mut skopeo = self.env.program("skopeo");
        run(skopeo.arg("--insecure-policy").args(args)).success()
    }

    /// Puts an image of the own store into the registry.
    fn publish(&self, image: &str, name: &str, flags: &[&str]) {
        let from = format!("oci:{}:{image}", self.env.store().display());
        let to = format!("docker://{}", self.name(name));
        let mut args = vec!["copy", "-q", "--dest-tls-verify=false"];
        args.extend(flags);
        args.extend([from.as_str(), to.as_str()]);
        self.skopeo(&args);
    }

    /// Builds an image on busybox in the own store; gives its ID.
    fn build(&self, name: &str, dockerfile: &str) -> String {
        if self.env.mkimg(["inspect", "busybox"]).code() != 0 {
            self.env.import_busybox("busybox");
        }
        self.env.write("context/Dockerfile", dockerfile);
        self.env.write("context/file", "content\n");
        let ran = self.env.mkimg(["build", "-q", "-t", name, "context"]);
        ran.success().line().to_owned()
    }

    fn digest(&self, name: &str) -> String {
        let image = format!("docker://{}", self.name(name));
        let args = ["inspect", "--raw", "--tls-verify=false", &image];
        let raw = self.skopeo(&args);
        image_digest(raw.bytes())
    }
}

fn image_digest(bytes: &[u8]) -> String {
    let mut sha256sum = std::process::Command::new("sha256sum");
    let ran = support::run_with_input(&mut sha256sum, bytes).success();
    format!("sha256:{}", &ran.out()[..64])
}

fn blobs(env: &Env) -> BTreeSet<String> {
    let dir = env.store().join("blobs/sha256");
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

const THREE_LAYERS: &str = "FROM busybox\nCOPY file /file\nRUN echo ran > /ran && rm /etc/group\nCMD [\"cat\", \"/ran\"]\n";

#[test]
fn an_image_is_pulled_as_docker_does_and_runs() {
    let publisher = Publisher::new();
    let id = publisher.build("app", THREE_LAYERS);
    publisher.publish("app:latest", "team/app:1", &[]);
    let (name, digest) = (publisher.name("team/app:1"), publisher.digest("team/app:1"));
    for user in User::all() {
        let env = Env::new(*user);
        let pulled = env.mkimg(["pull", &name]).success();
        let lines: Vec<&str> = pulled.out().lines().collect();
        let status = format!("Status: Downloaded newer image for {name}");
        assert_eq!(lines, [&format!("Digest: {digest}"), &status, &name]);
        let pulled = pulled.says(["1: Pulling from team/app", "Download complete"]);
        assert_eq!(pulled.err().matches(": Pull complete").count(), 3);
        assert_eq!(env.mkimg(["images", "-q", "--no-trunc"]).line(), id);
        assert_eq!(env.mkimg(["verify"]).line(), "1 image, sound");
        let again = env.mkimg(["pull", &name]).success();
        let again = again.says(["Already exists"]);
        assert!(
            again.out().contains("Status: Image is up to date"),
            "{again}"
        );
        let quiet = env.mkimg(["pull", "-q", &name]).success();
        assert_eq!((quiet.line(), quiet.err()), (name.as_str(), ""));
        // By its digest, nothing is asked for.
        let by_digest = format!("{}@{digest}", publisher.name("team/app"));
        let pinned = env.mkimg(["pull", &by_digest]).success();
        assert_eq!(pinned.out().lines().last(), Some(by_digest.as_str()));
        if *user != User::Lone {
            let ran = env.mkimg(["run", "--rm", &name]);
            assert_eq!(ran.success().out(), "ran\n");
        }
    }
}

#[test]
fn every_compression_and_kind_of_manifest_is_pulled() {
    let publisher = Publisher::new();
    let id = publisher.build("app", THREE_LAYERS);
    let kinds: [(&str, &[&str]); 4] = [
        (
            "gzip",
            &["--dest-compress", "--dest-compress-format", "gzip"],
        ),
        (
            "zstd",
            &["--dest-compress", "--dest-compress-format", "zstd"],
        ),
        ("plain", &["--dest-decompress"]),
        ("schema2", &["--format", "v2s2"]),
    ];
    for (tag, flags) in kinds {
        publisher.publish("app:latest", &format!("{tag}:1"), flags);
        let env = Env::new(User::Own);
        let name = publisher.name(&format!("{tag}:1"));
        env.mkimg(["pull", &name]).success();
        assert_eq!(env.mkimg(["verify"]).line(), "1 image, sound");
        assert_eq!(env.mkimg(["run", "--rm", &name]).success().out(), "ran\n");
        let shown = env.mkimg(["images", "-q", "--no-trunc"]).success();
        if tag != "schema2" {
            assert_eq!(shown.line(), id);
        }
    }
}

#[test]
fn what_is_here_in_another_compression_is_not_fetched() {
    let publisher = Publisher::new();
    publisher.build("app", THREE_LAYERS);
    let zstd = ["--dest-compress", "--dest-compress-format", "zstd"];
    publisher.publish("app:latest", "zstd:1", &zstd);
    let gzip = ["--dest-compress", "--dest-compress-format", "gzip"];
    publisher.publish("app:latest", "gzip:1", &gzip);
    let env = Env::new(User::Own);
    let (zstd, gzip) = (publisher.name("zstd:1"), publisher.name("gzip:1"));
    env.mkimg(["pull", &zstd]).success();
    let before = blobs(&env);
    let pulled = env.mkimg(["pull", &gzip]).success();
    assert_eq!(
        pulled.err().matches(": Already exists").count(),
        3,
        "{pulled}"
    );
    // Its manifest, and none of its layers; the config is the same.
    assert_eq!(blobs(&env).difference(&before).count(), 1);
    // What stands in for them stays as long as they are needed.
    env.mkimg(["rmi", &zstd]).success();
    assert_eq!(env.mkimg(["verify"]).line(), "1 image, sound");
    assert_eq!(env.mkimg(["run", "--rm", &gzip]).success().out(), "ran\n");
    // What leaves the store is what the registry has, so that now it is fetched.
    env.mkimg(["save", "-o", "saved.tar", &gzip]).success();
    let other = Env::new(User::Own);
    other
        .mkimg(["load", "-i", env.path("saved.tar").to_str().unwrap()])
        .success();
    assert_eq!(other.mkimg(["run", "--rm", &gzip]).success().out(), "ran\n");
}

#[test]
fn the_platform_is_chosen_out_of_an_index_and_the_error_lists_them() {
    let publisher = Publisher::new();
    let platforms = ["amd64", "arm64", "s390x", "riscv64"];
    let layout = publisher.env.dir("layout");
    index_of(&publisher, &platforms);
    let from = format!("oci:{}:multi", layout.display());
    let to = format!("docker://{}", publisher.name("multi:1"));
    publisher.skopeo(&["copy", "-q", "--all", "--dest-tls-verify=false", &from, &to]);
    let name = publisher.name("multi:1");
    let env = Env::new(User::Own);
    for architecture in platforms {
        let platform = format!("linux/{architecture}");
        let pulled = env
            .mkimg(["pull", "--platform", &platform, &name])
            .success();
        let digest = publisher.digest("multi:1");
        assert!(pulled.out().contains(&digest), "{pulled}");
    }
    let host = env.mkimg(["inspect", &name]).success().json();
    assert_eq!(host[0]["Architecture"], "amd64");
    env.mkimg(["pull", "--platform", "linux/mips64le", &name])
        .exits(1)
        .says(["linux/mips64le", "linux/arm64, linux/s390x, linux/riscv64"]);
    env.mkimg(["pull", "--platform", "so what", &name]).exits(2);
    // Of an image that is here for another machine, this one's is pulled when it is needed.
    let env = Env::new(User::Own);
    env.mkimg(["pull", "--platform", "linux/arm64", &name])
        .success();
    let arm = env.mkimg(["inspect", &name]).success().json();
    assert_eq!(arm[0]["Architecture"], "arm64");
    env.write("c/Dockerfile", format!("FROM {name}\nENV a=b\n"));
    env.mkimg(["build", "-t", "built", "c"]).success();
    let built = env.mkimg(["inspect", "built"]).success().json();
    assert_eq!(built[0]["Architecture"], "amd64");
}

/// Makes an OCI image layout of one index, with an image for each platform.
fn index_of(publisher: &Publisher, architectures: &[&str]) {
    let blob = |bytes: &[u8]| {
        let digest = image_digest(bytes);
        let hex = digest.strip_prefix("sha256:").unwrap();
        publisher
            .env
            .write(format!("layout/blobs/sha256/{hex}"), bytes);
        digest
    };
    let mut manifests = Vec::new();
    for architecture in architectures {
        let tar = vec![0; 1024];
        let layer = blob(&tar);
        let config = serde_json::json!({
            "os": "linux", "architecture": architecture,
            "rootfs": { "type": "layers", "diff_ids": [layer] },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": blob(&config), "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer, "size": tar.len(),
            }],
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        manifests.push(serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": blob(&manifest), "size": manifest.len(),
            "platform": { "os": "linux", "architecture": architecture },
        }));
    }
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    let index = serde_json::to_vec(&index).unwrap();
    let all = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": blob(&index), "size": index.len(),
        "annotations": { "org.opencontainers.image.ref.name": "multi" },
    }] });
    publisher.env.write("layout/index.json", all.to_string());
    let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
    publisher.env.write("layout/oci-layout", version);
}

#[test]
fn all_tags_are_pulled_and_what_is_not_there_is_named_with_what_is() {
    let publisher = Publisher::new();
    publisher.build("app", THREE_LAYERS);
    for tag in ["one", "two"] {
        publisher.publish("app:latest", &format!("app:{tag}"), &[]);
    }
    let env = Env::new(User::Own);
    let name = publisher.name("app");
    let pulled = env.mkimg(["pull", "-a", &name]).success();
    assert_eq!(pulled.out().lines().last(), Some(name.as_str()));
    let images = env.mkimg(["images"]).success();
    assert!(images.out().contains("one") && images.out().contains("two"));
    env.mkimg(["pull", "-a", &format!("{name}:one")])
        .exits(2)
        .says(["--all-tags"]);
    env.mkimg(["pull", &format!("{name}:tow")]).exits(1).says([
        "no image",
        &format!("{name}:tow"),
        "did you mean",
        "two",
    ]);
    env.mkimg(["run", "--rm", &format!("{name}:tow")])
        .exits(125)
        .says(["did you mean"]);
    // One that fails does not keep the others.
    let other = Env::new(User::Own);
    other
        .mkimg(["pull", &format!("{name}:three"), &format!("{name}:one")])
        .exits(1);
    assert_eq!(other.mkimg(["images"]).success().out().lines().count(), 2);
}

#[test]
fn a_hundred_layers_are_pulled() {
    let publisher = Publisher::new();
    let mut dockerfile = "FROM busybox\n".to_owned();
    for number in 1..100 {
        dockerfile += &format!("COPY file /files/{number}\n");
    }
    publisher.build("many", &dockerfile);
    publisher.publish("many:latest", "many:1", &[]);
    let env = Env::new(User::Own);
    let name = publisher.name("many:1");
    env.mkimg(["pull", &name]).success();
    let list = env.mkimg(["run", "--rm", &name, "ls", "/files"]).success();
    assert_eq!(list.out().lines().count(), 99);
    assert_eq!(env.mkimg(["verify"]).line(), "1 image, sound");
}

#[test]
fn nothing_wrong_is_stored_and_nothing_half() {
    let publisher = Publisher::new();
    publisher.build("app", THREE_LAYERS);
    publisher.publish("app:latest", "app:1", &[]);
    let name = publisher.name("app:1");
    let manifest = publisher.skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        &format!("docker://{name}"),
    ]);
    let layer = manifest.json()["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = publisher.registry.blob(&layer);
    let right = fs::read(&path).unwrap();
    let mut wrong = right.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    fs::write(&path, &wrong).unwrap();
    for user in User::all() {
        let env = Env::new(*user);
        env.mkimg(["pull", &name]).exits(1).says([&layer]);
        assert_eq!(env.mkimg(["images", "-q"]).success().out(), "");
        let hex = layer.strip_prefix("sha256:").unwrap();
        assert!(!blobs(&env).contains(hex));
        // What was right of it, the next pull need not fetch.
        fs::write(&path, &right).unwrap();
        env.mkimg(["pull", &name]).success();
        assert_eq!(env.mkimg(["verify"]).line(), "1 image, sound");
        fs::write(&path, &wrong).unwrap();
    }
}

#[test]
fn a_config_that_lies_about_a_layer_is_refused() {
    let publisher = Publisher::new();
    publisher.build("app", THREE_LAYERS);
    // An image whose config names other tars than its manifest.
    let env = &publisher.env;
    let image = env.mkimg(["inspect", "app"]).success().json();
    let first = image[0]["RootFS"]["Layers"][0].as_str().unwrap().to_owned();
    let layout = env.dir("lying");
    env.mkimg(["save", "--format", "oci-dir", "-o", "lying", "app"])
        .success();
    let read = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap().to_owned();
        fs::read_to_string(layout.join("blobs/sha256").join(hex)).unwrap()
    };
    let write = |text: &str| {
        let digest = image_digest(text.as_bytes());
        let hex = digest.strip_prefix("sha256:").unwrap();
        env.write(format!("lying/blobs/sha256/{hex}"), text);
        digest
    };
    let other = image_digest(b"other");
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&index).unwrap();
    let manifest = json["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let text = read(&manifest);
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let config = parsed["config"]["digest"].as_str().unwrap().to_owned();
    let lie = write(&read(&config).replace(&first, &other));
    let lying = write(&text.replace(&config, &lie));
    env.write("lying/index.json", index.replace(&manifest, &lying));
    let from = "oci:lying:app:latest";
    let to = format!("docker://{}", publisher.name("lie:1"));
    publisher.skopeo(&["copy", "-q", "--dest-tls-verify=false", from, &to]);
    for user in User::all() {
        let env = Env::new(*user);
        env.mkimg(["pull", &publisher.name("lie:1")])
            .exits(1)
            .says(["is not the one that the config names", &other]);
        assert_eq!(env.mkimg(["images", "-q"]).success().out(), "");
        assert_eq!(blobs(&env).len(), 0);
    }
}

#[test]
fn a_build_pulls_its_bases_and_only_what_it_reads() {
    let publisher = Publisher::new();
    publisher.build("app", THREE_LAYERS);
    publisher.publish("app:latest", "app:1", &[]);
    let (name, digest) = (publisher.name("app:1"), publisher.digest("app:1"));
    for user in User::all() {
        let env = Env::new(*user);
        env.write("c/file", "other\n");
        env.write(
            "c/Dockerfile",
            format!("FROM {name}\nENV a=b\nCOPY --link file /linked\n"),
        );
        let args = ["build", "-t", "linked", "--metadata-file", "meta.json", "c"];
        env.mkimg(args)
            .success()
            .says([&format!("{name} is {digest}")]);
        // Two manifests, two configs and the new layer.
        assert_eq!(blobs(&env).len(), 5);
        let meta = fs::read_to_string(env.path("meta.json")).unwrap();
        let meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        let material = &meta["buildx.build.provenance"]["materials"][0];
        let hex = digest.strip_prefix("sha256:").unwrap();
        assert_eq!(material["digest"]["sha256"], hex);
        assert!(
            material["uri"]
                .as_str()
                .unwrap()
                .starts_with("pkg:docker/127.0.0.1")
        );
        assert_eq!(env.mkimg(["verify"]).line(), "2 images, all sound");
        // The base loses its name, and what stands on it still knows where its layers are.
        env.mkimg(["rmi", &name]).success();
        env.mkimg(["save", "-o", "saved.tar", "linked"]).success();
        if *user == User::Lone {
            continue;
        }
        let ran = env.mkimg(["run", "--rm", "linked", "cat", "/ran", "/linked"]);
        assert_eq!(ran.success().out(), "ran\nother\n");
        let other = Env::new(*user);
        other.write(
            "c/Dockerfile",
            format!("FROM {name}\nRUN cat /ran > /out\n"),
        );
        other.mkimg(["build", "-t", "ran", "c"]).success();
        let ran = other.mkimg(["run", "--rm", "ran", "cat", "/out"]);
        assert_eq!(ran.success().out(), "ran\n");
    }
}

#[test]
fn a_copy_from_an_image_and_a_named_context_pull_it() {
    let publisher = Publisher::new();
    publisher.build("app", THREE_LAYERS);
    publisher.publish("app:latest", "app:1", &[]);
    let name = publisher.name("app:1");
    let env = Env::new(User::Own);
    env.write(
        "c/Dockerfile",
        format!("FROM scratch\nCOPY --from={name} /ran /a\nCOPY --from=other /file /b\n"),
    );
    let context = format!("other=docker-image://{name}");
    let args = ["build", "-o", "out", "--build-context", &context, "c"];
    env.mkimg(args).success();
    assert_eq!(fs::read_to_string(env.path("out/a")).unwrap(), "ran\n");
    assert_eq!(fs::read_to_string(env.path("out/b")).unwrap(), "content\n");
    let mounts = Env::new(User::Own);
    mounts.import_busybox("busybox");
    mounts.write(
        "c/Dockerfile",
        format!("FROM busybox\nRUN --mount=from={name},target=/m cat /m/ran > /out\n"),
    );
    mounts.mkimg(["build", "-t", "m", "c"]).success();
    let ran = mounts.mkimg(["run", "--rm", "m", "cat", "/out"]);
    assert_eq!(ran.success().out(), "ran\n");
}

#[test]
fn when_registries_are_asked_is_for_the_user_to_say() {
    let publisher = Publisher::new();
    publisher.build("app", "FROM busybox\nRUN echo 1 > /version\n");
    publisher.publish("app:latest", "app:1", &[]);
    let name = publisher.name("app:1");
    let env = Env::new(User::Own);
    env.write("c/Dockerfile", format!("FROM {name}\nRUN cat /version\n"));
    for flag in ["--offline", "--pull=never"] {
        env.mkimg(["build", flag, "c"]).exits(1).says([&name]);
        env.mkimg(["run", flag, &name, "true"])
            .exits(125)
            .says([&name]);
    }
    let run = |flags: &[&str]| {
        let mut args = vec!["run", "--rm", "-q"];
        args.extend(flags);
        args.extend([name.as_str(), "cat", "/version"]);
        env.mkimg(args).success().out().to_owned()
    };
    assert_eq!(run(&[]), "1\n");
    publisher.build("app", "FROM busybox\nRUN echo 2 > /version\n");
    publisher.publish("app:latest", "app:1", &[]);
    assert_eq!(run(&[]), "1\n");
    assert_eq!(run(&["--pull=missing"]), "1\n");
    assert_eq!(run(&["--pull", "always"]), "2\n");
    publisher.build("app", "FROM busybox\nRUN echo 3 > /version\n");
    publisher.publish("app:latest", "app:1", &[]);
    let build = |flags: &[&str]| {
        let mut args = vec!["build", "--no-cache", "--progress=plain"];
        args.extend(flags);
        args.push("c");
        env.mkimg(args).success()
    };
    assert!(build(&[]).err().contains(" 2\n"));
    let built = build(&["--pull"]);
    let (digest, says) = (publisher.digest("app:1"), built.err());
    assert!(says.contains(" 3\n") && says.contains(&digest), "{built}");
    assert_eq!(run(&["--offline"]), "3\n");
}

#[test]
fn a_killed_pull_leaves_nothing_to_see_and_the_next_goes_on() {
    let publisher = Publisher::new();
    let env = &publisher.env;
    env.import_busybox("busybox");
    // Nothing in it can be compressed, so that it takes its time.
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let file = env.write("context/big", b"");
    let mut big = fs::File::create(file).unwrap();
    std::io::copy(&mut std::io::Read::take(&mut random, 64 << 20), &mut big).unwrap();
    big.flush().unwrap();
    publisher.build("app", "FROM busybox\nCOPY file /file\nCOPY big /big\n");
    publisher.publish("app:latest", "app:1", &[]);
    let name = publisher.name("app:1");
    let env = Env::new(User::Own);
    let mut pull = env.command(["pull", &name]);
    let mut pull = pull
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // When the small ones are there.
    while env
        .store()
        .join("blobs/sha256")
        .read_dir()
        .map_or(0, Iterator::count)
        == 0
    {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    pull.kill().unwrap();
    pull.wait().unwrap();
    env.mkimg(["images"]).success();
    assert_eq!(
        env.mkimg(["verify"])
            .success()
            .out()
            .matches("sound")
            .count(),
        1
    );
    env.mkimg(["pull", &name]).success();
    assert_eq!(env.mkimg(["verify"]).line(), "1 image, sound");
    assert_eq!(fs::read_dir(env.store().join("tmp")).unwrap().count(), 0);
}
