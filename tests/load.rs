//! `mkimg load`: what other tools wrote, and what is damaged.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User, run};

const FILES: &[(&str, &str)] = &[("a", "1"), ("b/c", "2")];

#[test]
fn loads_what_skopeo_writes() {
    let from = Env::new(User::Own);
    let id = from.import_files("app:1", FILES);
    let source = format!("oci:{}:app:1", from.store().display());
    let copies = [
        ("docker-archive:d.tar:other/name:2", "d.tar"),
        ("oci-archive:o.tar:other/name:2", "o.tar"),
        ("oci:dir:other/name:2", "dir"),
    ];
    for (target, name) in copies {
        let mut copy = from.program("skopeo");
        copy.args(["--insecure-policy", "copy", &source, target]);
        run(&mut copy).success();
        let to = Env::new(User::Own);
        let path = from.path(name);
        let ran = to.mkimg(["load", "-i", path.to_str().unwrap()]).success();
        assert_eq!(ran.out(), "Loaded image: other/name:2\n", "{target}");
        to.mkimg(["verify"]).success();
        let shown = to.mkimg(["inspect", "other/name:2"]).success().json();
        let before = from.mkimg(["inspect", &id]).success().json();
        assert_eq!(shown[0]["RootFS"], before[0]["RootFS"], "{target}");
    }
}

#[test]
fn loads_from_standard_input_plain_and_compressed() {
    for &user in User::all() {
        let env = Env::new(user);
        let id = env.import_files("app:1", FILES);
        let saved = env.mkimg(["save", "app:1"]).success();
        env.write("saved.tar", saved.bytes());
        env.mkimg(["rmi", "app:1"]).success();
        for program in ["cat", "gzip", "zstd"] {
            let mut compress = env.program("sh");
            compress.args(["-c", &format!("{program} <saved.tar")]);
            let bytes = run(&mut compress).success();
            let ran = env.mkimg_with_input(["load"], bytes.bytes()).success();
            assert_eq!(ran.out(), "Loaded image: app:1\n");
            let shown = env.mkimg(["inspect", "app:1"]).success().json();
            assert_eq!(shown[0]["Id"], id);
        }
    }
}

#[test]
fn quiet_prints_what_was_loaded_as_dockers_does() {
    let env = Env::new(User::Own);
    env.import_files("app:1", FILES);
    let saved = env.mkimg(["save", "app:1"]).success();
    let ran = env
        .mkimg_with_input(["load", "-q"], saved.bytes())
        .success();
    assert_eq!((ran.out(), ran.err()), ("Loaded image: app:1\n", ""));
}

#[test]
fn an_image_without_a_name_is_loaded_by_its_id() {
    let env = Env::new(User::Own);
    let id = env.import_files("app:1", FILES);
    env.mkimg(["save", "-o", "saved.tar", &id]).success();
    env.mkimg(["rmi", "app:1"]).success();
    let ran = env.mkimg(["load", "-i", "saved.tar"]).success();
    assert_eq!(ran.out(), format!("Loaded image ID: {id}\n"));
    env.mkimg(["inspect", &id]).success();
}

#[test]
fn loads_the_archives_of_the_corpora() {
    let Some(dir) = support::corpus("archives/ggcr-tarball-testdata") else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".tar") {
            continue;
        }
        seen += 1;
        let env = Env::new(User::Own);
        let ran = env.mkimg(["load", "-i", path.to_str().unwrap()]);
        if ["content.tar", "no_manifest.tar", "null_manifest.tar"].contains(&name.as_str()) {
            ran.exits(1).says(["neither an OCI image layout"]);
        } else {
            let ran = ran.success();
            assert!(ran.out().starts_with("Loaded image"), "{ran}");
            env.mkimg(["verify"]).success();
        }
    }
    assert!(seen > 3);
}

#[test]
fn a_damaged_archive_names_nothing() {
    let env = Env::new(User::Own);
    env.import_files("app:1", FILES);
    let layer = env.mkimg(["inspect", "app:1"]).success().json()[0]["RootFS"]["Layers"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let saved = env.mkimg(["save", "app:1"]).success();
    let find = |bytes: &[u8], what: &[u8]| {
        let found = bytes.windows(what.len()).position(|part| part == what);
        found.unwrap()
    };
    let mut flipped = saved.bytes().to_vec();
    // The content of the layer's file `a`, in the layer's blob.
    let header = find(&flipped, format!("blobs/sha256/{}", &layer[7..]).as_bytes());
    flipped[header + 512 + 512] ^= 1;
    let cut = saved.bytes()[..saved.bytes().len() / 2].to_vec();
    let mut no_layer = saved.bytes().to_vec();
    no_layer[header + 20] = if no_layer[header + 20] == b'0' {
        b'1'
    } else {
        b'0'
    };
    let cases: [(&[u8], &[&str]); 5] = [
        (&flipped, &["corrupt"]),
        (&cut, &[]),
        (&no_layer, &[]),
        (b"", &["neither"]),
        (&[b'x'; 4096], &["neither"]),
    ];
    for (number, (bytes, words)) in cases.into_iter().enumerate() {
        let to = Env::new(User::Own);
        let ran = to.mkimg_with_input(["load"], bytes).exits(1);
        for word in words {
            assert!(ran.err().contains(word), "{number}: {ran}");
        }
        assert!(ran.err().starts_with("error: "), "{number}: {ran}");
        assert_eq!(to.mkimg(["images", "-q"]).success().out(), "", "{number}");
    }
}

#[test]
fn says_what_is_wrong_with_the_source() {
    let env = Env::new(User::Own);
    env.mkimg(["load", "-i", "missing"])
        .exits(1)
        .says(["missing", "No such file"]);
    env.dir("empty");
    env.mkimg(["load", "-i", "empty"])
        .exits(1)
        .says(["index.json", "manifest.json"]);
    env.write("root.tar", support::base::files(FILES));
    env.mkimg(["load", "-i", "root.tar"])
        .exits(1)
        .says(["mkimg import"]);
}
