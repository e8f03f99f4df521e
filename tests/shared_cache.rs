//! Caches that machines share, in a directory: what one machine has built, no other builds again, and nothing that
//! lies there can make a build wrong.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use image_format::digest::Digest;
use serde_json::{Value, json};
use support::{Env, Ran, User, run};

const ANNOTATION: &str = "mkimg.cache.v1";
/// Two stages. What they hold is another each time that they are built, and a mark is left in the store then.
const RANDOM: &str = "FROM busybox AS tools
RUN --mount=type=cache,id=mark,target=/m date > /m/tools; head -c 99 /dev/urandom > /tool
FROM busybox
WORKDIR /srv
COPY --from=tools /tool /tool
COPY a /a
RUN true
RUN --mount=type=cache,id=mark,target=/m date > /m/main; head -c 99 /dev/urandom > /main
RUN echo last > /last
";
/// What comes out the same.
const STEADY: &str = "FROM busybox\nCOPY a /a\nRUN echo one > /one\nRUN echo two > /two\n";

fn env(user: User, dockerfile: &str) -> Env {
    let env = Env::new(user);
    env.write("c/Dockerfile", dockerfile);
    env.write("c/a", "a file\n");
    env
}

/// mkimg on another machine: with a store of its own, in which there is the base.
fn on<const N: usize>(env: &Env, machine: &str, args: [&str; N]) -> Ran {
    let store = env.path(machine);
    if !store.exists() {
        let tar = support::base::busybox();
        let mut import = env.command(["import", "-c", "CMD [\"sh\"]", "-", "busybox"]);
        support::run_with_input(import.env("MKIMG_ROOT", &store), &tar).success();
    }
    run(env.command(args).env("MKIMG_ROOT", store))
}

/// Builds the context on a machine.
fn build<const N: usize>(env: &Env, machine: &str, flags: [&str; N]) -> Ran {
    let mut args = vec!["build", "-t", "x", "c"];
    args.extend(flags);
    let store = env.path(machine);
    if !store.exists() {
        on(env, machine, ["images"]).success();
    }
    run(env.command(args).env("MKIMG_ROOT", store))
}

/// How many steps were taken from a cache.
fn cached(ran: &Ran) -> usize {
    ran.err()
        .lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count()
}

/// The image's ID, from what a build said.
fn id(ran: &Ran) -> &str {
    let line = ran.err().lines().find(|line| line.starts_with("image "));
    line.unwrap_or_else(|| panic!("no image: {ran}"))
}

/// The directories of cache mounts that commands were given on a machine.
fn marks(env: &Env, machine: &str) -> usize {
    let listed = on(env, machine, ["cache", "ls", "-q"]).success();
    listed.out().lines().count()
}

const TO: &str = "--cache-to=type=local,dest=cache";
const MAX: &str = "--cache-to=type=local,dest=cache,mode=max";
const FROM: &str = "--cache-from=type=local,src=cache";

#[test]
fn what_one_machine_has_built_no_other_builds() {
    for user in User::with_ids() {
        let env = env(*user, RANDOM);
        let first = build(&env, "one", [MAX, FROM]).success();
        assert_eq!((cached(&first), marks(&env, "one")), (0, 1), "{first}");
        first.says(["cache:latest: there is none yet", "7 new records"]);
        let first = build(&env, "one", []).success();
        let second = build(&env, "two", [FROM]).success();
        assert_eq!((cached(&second), id(&second)), (7, id(&first)), "{second}");
        // No command was run: nothing was mounted for one.
        assert_eq!(marks(&env, "two"), 0);
        let second = second.says([": 7 records"]);
        assert!(!second.err().contains("warning"), "{second}");
        on(&env, "two", ["verify"]).success();
        let ran = on(&env, "two", ["run", "--rm", "x", "cat", "/last"]).success();
        assert_eq!(ran.out(), "last\n");

        // A change of the last step is paid once.
        env.write("c/Dockerfile", RANDOM.replace("echo last", "echo new"));
        let third = build(&env, "three", [MAX, FROM]).success();
        assert_eq!((cached(&third), marks(&env, "three")), (6, 0), "{third}");
        let third = third.says(["1 new record\n"]);
        let again = build(&env, "two", [MAX, FROM]).success();
        assert_eq!((cached(&again), id(&again)), (7, id(&third)), "{again}");
        again.says([": 8 records", "all of it is there"]);
    }
}

#[test]
fn the_least_that_is_exported_is_the_image() {
    let steady =
        "FROM busybox AS tools\nRUN echo tool > /tool\nFROM busybox\nCOPY --from=tools /tool /\n";
    let env = env(User::Own, &format!("{steady}RUN echo more > /more\n"));
    build(&env, "one", [TO]).success().says(["2 new records"]);
    let second = build(&env, "two", [FROM]).success();
    // What is copied comes out as before, and so all that follows is found.
    assert_eq!(cached(&second), 2, "{second}");
    build(&env, "two", [FROM, MAX])
        .success()
        .says(["1 new record\n"]);
    let third = build(&env, "three", [FROM]).success();
    assert_eq!(cached(&third), 3, "{third}");
}

#[test]
fn it_is_an_artifact_that_others_can_read() {
    let env = env(User::Own, STEADY);
    build(&env, "one", [TO]).success();
    let index = json_of(&env.path("cache/index.json"));
    let entry = &index["manifests"][0];
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        "latest"
    );
    let manifest = json_of(&blob(&env, entry["digest"].as_str().unwrap()));
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.mkimg.cache.v1+json"
    );
    // Its layers are the image's own, as the store has them.
    let inspected = on(&env, "one", ["inspect", "x"]).success().json();
    let layers = inspected[0]["RootFS"]["Layers"].as_array().unwrap().clone();
    let digests = manifest["layers"].as_array().unwrap().iter();
    let digests: Vec<Value> = digests.map(|layer| layer["digest"].clone()).collect();
    assert_eq!(digests, layers[1..]);
    let skopeo = run(env
        .program("skopeo")
        .args(["inspect", "--raw", "oci:cache:latest"]));
    assert_eq!(skopeo.success().json(), manifest);
    // What was not there changes nothing of the image.
    let plain = build(&env, "two", []).success();
    let found = build(&env, "three", [FROM]).success();
    assert_eq!((cached(&found), id(&found)), (3, id(&plain)));
    // The export writes nothing where all is there, so that it need not be able to.
    let before = std::fs::metadata(env.path("cache/index.json")).unwrap();
    build(&env, "three", [FROM, TO])
        .success()
        .says(["all of it is there"]);
    let after = std::fs::metadata(env.path("cache/index.json")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}

#[test]
fn a_build_asked_to_do_every_step_does() {
    let env = env(User::Own, RANDOM);
    let first = build(&env, "one", [MAX]).success();
    let second = build(&env, "two", [FROM, "--no-cache"]).success();
    assert_eq!((cached(&second), marks(&env, "two")), (0, 1), "{second}");
    assert_ne!(id(&first), id(&second));
    assert!(!second.err().contains("records"), "{second}");
}

#[test]
fn what_was_imported_is_believed_by_builds_that_name_the_cache() {
    let env = env(User::Own, RANDOM);
    let first = build(&env, "one", [MAX]).success();
    assert_eq!(cached(&build(&env, "two", [FROM]).success()), 7);
    // Twice: what is here is not fetched again, and the cache need not be there.
    std::fs::rename(env.path("cache"), env.path("away")).unwrap();
    let again = build(&env, "two", [FROM]).success();
    assert_eq!((cached(&again), id(&again)), (7, id(&first)), "{again}");
    let alone = build(&env, "two", []).success();
    assert_eq!((cached(&alone), marks(&env, "two")), (0, 1), "{alone}");
    let alone = alone.says(["it came from the cache", "which this build does not name"]);
    // What was done here is everybody's here.
    let last = build(&env, "two", [FROM]).success();
    assert_eq!((cached(&last), id(&last)), (7, id(&alone)));
}

#[test]
fn scopes_do_not_see_each_other() {
    let env = env(User::Own, RANDOM);
    let pr = "--cache-to=type=local,dest=cache,mode=max,scope=feature/x";
    let first = build(&env, "one", [pr]).success();
    let main = build(&env, "two", [FROM]).success();
    assert_eq!(cached(&main), 0, "{main}");
    main.says([": there is none yet"]);
    let other = "--cache-from=type=local,src=cache,scope=feature-x";
    assert_eq!(cached(&build(&env, "three", [other]).success()), 0);
    let same = build(
        &env,
        "four",
        ["--cache-from=type=local,src=cache,scope=feature/x"],
    );
    assert_eq!((cached(&same), id(&same)), (7, id(&first)), "{same}");
    // Who gives the one the other's name is found out.
    let path = env.path("cache/index.json");
    let mut index = json_of(&path);
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = "latest".into();
    std::fs::write(&path, index.to_string()).unwrap();
    let moved = build(&env, "five", [FROM]).success();
    assert_eq!(cached(&moved), 0);
    moved.says([
        "warning: cache",
        "it was exported for the scope \"feature/x\"",
    ]);
}

#[test]
fn an_image_can_have_its_cache_in_itself() {
    let env = env(User::Own, RANDOM);
    let plain = "type=oci,tar=false,dest=plain";
    build(&env, "one", ["-o", plain, "-o", "type=image"]).success();
    let inline = "type=oci,tar=false,dest=image,compression=gzip,name=app:1";
    let first = build(&env, "one", ["--cache-to=type=inline", "-o", inline]).success();
    // The config, and so the ID, is the same: the records are in the manifest.
    let id_before = build(&env, "one", []).success();
    assert_eq!(id(&id_before), id(&first));
    let from = "--cache-from=type=local,src=image,tag=app:1";
    let second = build(&env, "two", [from]).success();
    // The stage that is no part of the image was built again, and so what it is copied to.
    assert_eq!((cached(&second), marks(&env, "two")), (1, 1), "{second}");
    env.write("c/Dockerfile", STEADY);
    build(
        &env,
        "one",
        [
            "--cache-to=type=inline",
            "-o",
            &inline.replace("image,", "steady,"),
        ],
    )
    .success();
    let from = "--cache-from=type=local,src=steady,tag=app:1";
    let third = build(&env, "three", [from]).success();
    assert_eq!(cached(&third), 3, "{third}");
    // An image without is told.
    let from = "--cache-from=type=local,src=plain";
    let digest = json_of(&env.path("plain/index.json"))["manifests"][0]["digest"].clone();
    let from = format!("{from},digest={}", digest.as_str().unwrap());
    build(&env, "four", [&from])
        .success()
        .says(["warning: cache", "without mkimg's cache in it"]);
}

#[test]
fn nothing_hostile_in_a_cache_makes_a_build_wrong() {
    let env = env(User::Own, STEADY);
    let right = build(&env, "one", [TO]).success();
    let right = id(&right);
    let keep = env.path("keep");
    copy(&env.path("cache"), &keep);
    type Change = fn(&mut Value, &Env);
    fn layer(records: &mut Value) -> &mut Value {
        &mut records["records"][1]["layer"]
    }
    /// Puts these bytes there as a layer, as the record has it.
    fn replace(records: &mut Value, env: &Env, bytes: &[u8]) {
        let digest = put(env, bytes);
        let manifest = json!({ "digest": digest, "size": bytes.len(),
            "mediaType": "application/vnd.oci.image.layer.v1.tar" });
        records["manifest"]["layers"][0] = manifest;
        *layer(records) = json!({ "diffId": digest, "size": bytes.len(), "blob": 0 });
    }
    let cases: [(&str, Change, &str); 13] = [
        (
            "another diff ID",
            |records, _| {
                layer(records)["diffId"] = format!("sha256:{:064}", 7).into();
            },
            "is corrupt",
        ),
        (
            "another layer",
            |records, _| {
                let blob = layer(records)["blob"].as_u64().unwrap();
                layer(records)["blob"] = (1 - blob.min(1)).into();
            },
            "cannot be used",
        ),
        (
            "a size too small",
            |records, _| layer(records)["size"] = 1.into(),
            "and it has more",
        ),
        (
            "a size too large",
            |records, _| layer(records)["size"] = 1_u64.wrapping_shl(40).into(),
            "bytes, and it has",
        ),
        (
            "a layer that is none",
            |records, env| replace(records, env, &[b'x'; 2000]),
            "cannot be used",
        ),
        (
            "a layer that leads out",
            |records, env| {
                let mut tar = tar::Builder::new(Vec::new());
                let mut header = tar::Header::new_gnu();
                header.as_old_mut().name[..8].copy_from_slice(b"../../up");
                header.set_size(0);
                header.set_cksum();
                tar.append(&header, std::io::empty()).unwrap();
                replace(records, env, &tar.into_inner().unwrap());
            },
            "cannot be used",
        ),
        (
            "a bomb",
            |records, env| {
                let gzip =
                    support::run_with_input(env.program("gzip").arg("-9c"), &vec![0; 32 << 20]);
                let bytes = gzip.bytes();
                let digest = put(env, bytes);
                records["manifest"]["layers"][0] = json!({ "digest": digest, "size": bytes.len(),
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip" });
                layer(records)["blob"] = 0.into();
            },
            "and it has more",
        ),
        (
            "a layer that is not there",
            |records, _| {
                records["manifest"]["layers"][0]["digest"] = format!("sha256:{:064}", 7).into();
                layer(records)["blob"] = 0.into();
            },
            "cannot open",
        ),
        (
            "a layer far off",
            |records, _| layer(records)["blob"] = u64::MAX.into(),
            "does not list",
        ),
        (
            "a million records",
            |records, _| {
                let one = format!("{{\"key\":\"sha256:{:064}\"}}", 7);
                let all = vec![one; 1_000_000].join(",");
                let all = format!("{{\"version\":1,\"scope\":\"\",\"records\":[{all}]}}");
                records["raw"] = all.into();
            },
            "warning: cache",
        ),
        (
            "too many that fit",
            |records, _| {
                let one = json!({ "key": format!("sha256:{:064}", 7) });
                records["records"] = vec![one; 10_001].into();
            },
            "are the most that are read",
        ),
        (
            "deep JSON",
            |records, _| {
                records["raw"] = format!("{}{}", "[".repeat(99_999), "]".repeat(99_999)).into();
            },
            "not valid JSON",
        ),
        (
            "another version",
            |records, _| records["version"] = 99.into(),
            "version 99",
        ),
    ];
    for (at, (what, change, says)) in cases.into_iter().enumerate() {
        std::fs::remove_dir_all(env.path("cache")).unwrap();
        copy(&keep, &env.path("cache"));
        tamper(&env, change);
        let machine = format!("machine-{at}");
        let ran = build(&env, &machine, [FROM]);
        assert_eq!(ran.code(), 0, "{what}: {ran}");
        assert_eq!(id(&ran), right, "{what}: {ran}");
        assert!(ran.err().contains("warning: cache"), "{what}: {ran}");
        assert!(ran.err().contains(says), "{what}: {ran}");
        on(&env, &machine, ["verify"]).success();
        // What is damaged is mended by the next export.
        build(&env, &machine, [TO, "--no-cache"]).success();
        let mended = build(&env, &format!("{machine}-mended"), [FROM]).success();
        assert_eq!(
            (cached(&mended), id(&mended)),
            (3, right),
            "{what}: {mended}"
        );
        std::fs::remove_dir_all(env.path(&machine)).unwrap();
    }
}

#[test]
fn a_damaged_directory_is_told_and_done_without() {
    let env = env(User::Own, STEADY);
    let right = build(&env, "one", [TO]).success();
    let manifest = json_of(&env.path("cache/index.json"))["manifests"][0]["digest"].clone();
    let manifest = blob(&env, manifest.as_str().unwrap());
    let index = env.path("cache/index.json");
    let good = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, [good.as_slice(), b" "].concat()).unwrap();
    build(&env, "two", [FROM])
        .success()
        .says(["warning: cache"]);
    std::fs::remove_file(&manifest).unwrap();
    build(&env, "three", [FROM])
        .success()
        .says(["warning: cache", "cannot open"]);
    let list = std::fs::read(&index).unwrap();
    for (at, bad) in ["", "{", "[]", "7"].iter().enumerate() {
        std::fs::write(&index, bad).unwrap();
        let ran = build(&env, &format!("four-{at}"), [FROM]).success();
        assert_eq!(id(&ran), id(&right));
        ran.says(["warning: cache"]);
    }
    // What is no file is not waited at.
    std::fs::remove_file(&index).unwrap();
    run(env.program("mkfifo").arg(&index)).success();
    build(&env, "five", [FROM])
        .success()
        .says(["no file of an image layout"]);
    std::fs::remove_file(&index).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &index).unwrap();
    build(&env, "six", [FROM])
        .success()
        .says(["no file of an image layout"]);
    // Others' caches.
    std::fs::remove_file(&index).unwrap();
    std::fs::write(&index, list).unwrap();
    let foreign = json!({ "schemaVersion": 2, "layers": [],
        "config": { "mediaType": "application/vnd.buildkit.cacheconfig.v0" } });
    name(&env, &foreign);
    let ran = build(&env, "seven", [FROM]).success();
    ran.says(["warning: cache", "it is a cache of BuildKit's"]);
}

#[test]
fn an_import_needs_no_right_to_write_and_an_export_never_fails_a_build() {
    for user in User::with_ids() {
        let env = env(*user, STEADY);
        build(&env, "one", [TO]).success();
        // root's, and for reading alone
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        for path in files(&env.path("cache")) {
            let bits = if path.is_dir() { 0o555 } else { 0o444 };
            std::fs::set_permissions(&path, mode(bits)).unwrap();
            if support::is_root() {
                std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
            }
        }
        let before = files(&env.path("cache"));
        let second = build(&env, "two", [FROM]).success();
        assert_eq!(cached(&second), 3, "{second}");
        assert_eq!(files(&env.path("cache")), before);
        // Where it cannot be written, the build is good and says so.
        env.write("other/file", "somebody's");
        env.write("file", "");
        for dest in ["other", "file", "file/below", "/proc/cache"] {
            let to = format!("--cache-to=type=local,dest={dest}");
            let ran = build(&env, "two", [&to]).success();
            ran.says(["warning: the cache", "was not exported", "image sha256:"]);
        }
        assert_eq!(std::fs::read_dir(env.path("other")).unwrap().count(), 1);
        for path in files(&env.path("cache"))
            .iter()
            .filter(|path| path.is_dir())
        {
            std::fs::set_permissions(path, mode(0o755)).unwrap();
        }
    }
}

#[test]
fn an_export_takes_no_longer_than_it_may() {
    let env = env(User::Own, STEADY);
    build(&env, "one", [TO]).success();
    // Somebody else writes to it, and does not come to an end.
    let held = std::fs::File::open(env.path("cache")).unwrap();
    held.lock().unwrap();
    env.write("c/a", "another\n");
    let ran = build(&env, "one", [TO, "--cache-timeout=300ms"]).success();
    let ran = ran.says(["warning: the cache", "it took longer than 0.3 s"]);
    // Reading needs no lock.
    let second = build(&env, "two", [FROM]).success();
    assert_eq!(id(&second), id(&ran));
    drop(held);
    build(&env, "one", [TO]).success().says(["3 new records"]);
}

#[test]
fn builds_at_once_leave_each_other_theirs() {
    let env = env(User::Own, STEADY);
    on(&env, "one", ["images"]).success();
    on(&env, "two", ["images"]).success();
    for machine in ["one", "two"] {
        let dockerfile =
            format!("FROM busybox\nRUN echo {machine} > /x\nRUN echo {machine} > /y\n");
        env.write(format!("{machine}.d/Dockerfile"), dockerfile);
    }
    let started = ["one", "two"].map(|machine| {
        let mut command = env.command(["build", "-q", TO, &format!("{machine}.d")]);
        command
            .env("MKIMG_ROOT", env.path(machine))
            .spawn()
            .unwrap()
    });
    for mut build in started {
        assert!(build.wait().unwrap().success());
    }
    for machine in ["one", "two"] {
        let args = ["build", FROM, &format!("{machine}.d")];
        let ran = on(&env, &format!("after-{machine}"), args).success();
        assert_eq!(cached(&ran), 2, "{ran}");
    }
    let leftovers = files(&env.path("cache")).into_iter();
    let leftovers = leftovers.filter(|path| path.to_string_lossy().contains(".mkimg-"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn a_secret_is_searched_in_what_comes_from_a_cache() {
    let env = env(User::Own, "FROM busybox\nRUN echo hunter22 > /leak\n");
    build(&env, "one", [TO]).success();
    env.write("token", "hunter22");
    let ran = build(&env, "two", [FROM, "--secret=id=token,src=token"]);
    ran.exits(1)
        .says(["the value of the secret \"token\" is in the layer"]);
}

#[test]
fn what_cannot_be_followed_is_refused_before_anything_is_done() {
    let env = env(User::Own, STEADY);
    for (flag, says) in [
        ("--cache-to=type=gha", "type=gha is not supported"),
        ("--cache-from=type=s3,bucket=x", "type=s3 is not supported"),
        ("--cache-to=type=azblob", "type=azblob is not supported"),
        ("--cache-from=type=inline", "ref=IMAGE"),
        ("--cache-to=type=local", "takes dest="),
        ("--cache-timeout=soon", "is not a duration"),
    ] {
        build(&env, "one", [flag]).exits(2).says([says]);
    }
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn blob(env: &Env, digest: &str) -> std::path::PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    env.path("cache/blobs/sha256").join(hex)
}

/// Puts bytes into the layout; gives their digest.
fn put(env: &Env, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes).to_string();
    std::fs::write(blob(env, &digest), bytes).unwrap();
    digest
}

/// Makes a manifest the cache.
fn name(env: &Env, manifest: &Value) {
    let bytes = manifest.to_string();
    let path = env.path("cache/index.json");
    let mut index = json_of(&path);
    index["manifests"][0]["digest"] = put(env, bytes.as_bytes()).into();
    index["manifests"][0]["size"] = bytes.len().into();
    std::fs::write(&path, index.to_string()).unwrap();
}

/// Changes the records; `manifest` in them is the manifest, and `raw` takes their place.
fn tamper(env: &Env, change: fn(&mut Value, &Env)) {
    let index = json_of(&env.path("cache/index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let mut manifest = json_of(&blob(env, &digest));
    let text = manifest["annotations"][ANNOTATION].as_str().unwrap();
    let mut records: Value = serde_json::from_str(text).unwrap();
    records["manifest"] = manifest.take();
    change(&mut records, env);
    let mut manifest = records["manifest"].take();
    records.as_object_mut().unwrap().remove("manifest");
    let text = match records["raw"].as_str() {
        Some(raw) => raw.to_owned(),
        None => records.to_string(),
    };
    manifest["annotations"][ANNOTATION] = text.into();
    name(env, &manifest);
}

/// All below a directory, and itself.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![dir.to_owned()];
    if dir.is_dir() {
        let mut below: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        below.sort();
        all.extend(below.iter().flat_map(|path| files(path)));
    }
    all
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(copied.unwrap().success());
}
