//! `mkimg import`. What becomes of the entries of an archive, `image-format` tests.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

fn inspect(env: &Env, name: &str) -> serde_json::Value {
    env.mkimg(["inspect", name]).success().json()[0].take()
}

#[test]
fn a_file_standard_input_compressed_or_not_is_the_same_image_for_everybody() {
    let files = support::base::files(&[("etc/hostname", "x"), ("a", "1")]);
    let mut ids = Vec::new();
    for &user in User::all() {
        let env = Env::new(user);
        env.write("root.tar", &files);
        let run = |args: &[&str]| {
            let ran = env.mkimg([&["import"], args].concat()).success();
            ran.line().to_owned()
        };
        ids.push(run(&["root.tar", "plain"]));
        for (program, name) in [
            ("gzip", "root.tar.gz"),
            ("bzip2", "root.tar.bz2"),
            ("xz", "root.tar.xz"),
            ("zstd", "root.tar.zst"),
        ] {
            let mut command = env.program("sh");
            command.args(["-c", &format!("{program} -c <root.tar >{name}")]);
            support::run(&mut command).success();
            ids.push(run(&["-t", "compressed", name]));
        }
        let ran = env.mkimg_with_input(["import", "-", "stdin"], &files);
        ids.push(ran.success().line().to_owned());
        assert_eq!(env.mkimg(["images"]).out().lines().count(), 4);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[test]
fn names_message_and_time() {
    let env = Env::new(User::Own);
    env.write("root.tar", support::base::files(&[("a", "1")]));
    let mut command = env.command([
        "import", "root.tar", "one", "-t", "two:2", "--tag", "three", "-m", "by hand",
    ]);
    command.env("SOURCE_DATE_EPOCH", "1700000000");
    let id = support::run(&mut command).success().line().to_owned();
    for name in ["one", "two:2", "three"] {
        assert_eq!(inspect(&env, name)["Id"], id);
    }
    assert_eq!(inspect(&env, "one")["Created"], "2023-11-14T22:13:20Z");
    let history = env.mkimg(["history", "one"]).success();
    assert!(history.out().contains("by hand"), "{history}");
    env.mkimg(["import", "root.tar"]).success();
    let listed = env.mkimg(["images"]).success();
    assert!(listed.out().contains("<none>"), "{listed}");
}

#[test]
fn refuses_what_cannot_be_imported() {
    let env = Env::new(User::Own);
    env.write("root.tar", support::base::files(&[("a", "1")]));
    env.write("root.tar.lz", b"LZIP rest");
    env.write("text", "x".repeat(600));
    env.write("empty", "");
    env.mkimg(["import", "missing.tar"])
        .exits(1)
        .says(["missing.tar", "No such file"]);
    env.mkimg(["import", "root.tar.lz"])
        .exits(1)
        .says(["lzip", "unpack it"]);
    env.mkimg(["import", "text"]).exits(1).says(["text"]);
    env.mkimg(["import", "empty"]).exits(1).says(["empty"]);
    env.mkimg(["import", "root.tar", "Upper"])
        .exits(1)
        .says(["Upper"]);
    env.mkimg(["import"]).exits(2);
    let mut command = env.command(["import", "root.tar"]);
    command.env("SOURCE_DATE_EPOCH", "yesterday");
    support::run(&mut command)
        .exits(1)
        .says(["SOURCE_DATE_EPOCH", "yesterday"]);
    assert_eq!(env.mkimg(["images", "-q"]).success().out(), "");
}

#[test]
fn an_archive_that_leads_out_touches_nothing() {
    let env = Env::new(User::Own);
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let name = b"../../escaped";
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append(&header, &b"x"[..]).unwrap();
    let bytes = archive.into_inner().unwrap();
    env.mkimg_with_input(["import", "-", "a"], &bytes)
        .exits(1)
        .says(["../../escaped", "out of the image"]);
    let rest: Vec<_> = std::fs::read_dir(env.store().join("tmp"))
        .unwrap()
        .collect();
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn changes_are_instructions_of_a_dockerfile() {
    let env = Env::new(User::Own);
    env.write("root.tar", support::base::files(&[("a", "1")]));
    let changes = [
        "ENV A=1 B=\"x y\"",
        "env A=$B",
        "CMD [\"sh\", \"-c\"]",
        "ENTRYPOINT run it",
        "EXPOSE 80 53/udp",
        "LABEL a=b",
        "USER app:1",
        "WORKDIR /srv",
        "WORKDIR data",
        "HEALTHCHECK --interval=5s CMD true",
        "VOLUME /v",
        "STOPSIGNAL 9",
        "SHELL [\"/bin/x\", \"-e\"]",
        "ONBUILD RUN x",
        "ONBUILD COPY a $A",
    ];
    let flags = changes.iter().flat_map(|change| ["-c", change]);
    env.mkimg(["import", "root.tar", "a"].into_iter().chain(flags))
        .success();
    assert_eq!(
        inspect(&env, "a")["Config"],
        serde_json::json!({
            "Cmd": ["sh", "-c"],
            "Entrypoint": ["/bin/sh", "-c", "run it"],
            "Env": ["A=x y", "B=x y"],
            "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
            "Healthcheck": {"Interval": 5_000_000_000_u64, "Test": ["CMD-SHELL", "true"]},
            "Labels": {"a": "b"},
            "OnBuild": ["RUN x", "COPY a $A"],
            "Shell": ["/bin/x", "-e"],
            "StopSignal": "9",
            "Volumes": {"/v": {}},
            "User": "app:1",
            "WorkingDir": "/srv/data",
        })
    );
    let wrong = |change: &str| env.mkimg(["import", "-c", change, "root.tar"]).exits(1);
    wrong("CDM x").says(["--change:1:1", "1 | CDM x", "^^^", "CMD"]);
    wrong("RUN x").says(["RUN", "cannot be a change"]);
    wrong("FROM x").says(["FROM", "cannot be a change"]);
    wrong("ARG x").says(["ARG", "cannot be a change"]);
    wrong("STOPSIGNAL x").says(["--change:1:12", "SIGTERM"]);
    wrong("HEALTHCHECK --retries=x CMD y").says(["--change:1:", "retries"]);
    wrong("EXPOSE 99999").says(["--change:1:8", "99999"]);
}

#[test]
fn a_directory_belongs_to_root_in_the_image() {
    let mut ids = Vec::new();
    for &user in User::with_ids() {
        let env = Env::new(user);
        env.write("root/etc/name", "x");
        ids.push(
            env.mkimg(["import", "root", "a"])
                .success()
                .line()
                .to_owned(),
        );
        let layers = inspect(&env, "a")["RootFS"]["Layers"].take();
        let layer = &layers[0].as_str().unwrap()["sha256:".len()..];
        let layer = std::fs::File::open(env.store().join("blobs/sha256").join(layer));
        let mut archive = tar::Archive::new(layer.unwrap());
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.header().uid().unwrap(), 0, "{user:?}");
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    if support::is_root() {
        let env = Env::new(User::Lone);
        env.write("root/etc/name", "x");
        env.mkimg(["import", "root", "a"])
            .exits(1)
            .says(["mkimg-lone", "usermod"]);
    }
}
