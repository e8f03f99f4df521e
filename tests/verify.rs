//! `mkimg verify`, and what the other commands make of a damaged store.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

#[test]
fn lists_all_that_is_damaged() {
    let env = Env::new(User::Own);
    let names = ["sound", "layer", "config", "missing"];
    for name in names {
        env.import_files(name, &[("a", name)]);
    }
    let ran = env.mkimg(["verify"]).success();
    assert_eq!(ran.out(), "4 images, all sound\n");
    let blob = |image: &str, what: &str| {
        let shown = env.mkimg(["inspect", image]).success().json();
        let digest = match what {
            "layer" => shown[0]["RootFS"]["Layers"][0].as_str(),
            _ => shown[0]["Id"].as_str(),
        };
        env.store().join("blobs/sha256").join(&digest.unwrap()[7..])
    };
    let (layer, config, missing) = (
        blob("layer", "layer"),
        blob("config", "config"),
        blob("missing", "layer"),
    );
    let mut bytes = std::fs::read(&layer).unwrap();
    bytes[1500] ^= 1;
    std::fs::write(&layer, bytes).unwrap();
    std::fs::write(config, "{").unwrap();
    std::fs::remove_file(missing).unwrap();
    let ran = env.mkimg(["verify"]).exits(1).says([
        "layer:latest is damaged",
        "config:latest is damaged",
        "missing:latest is damaged",
    ]);
    assert!(!ran.err().contains("sound"), "{ran}");
    env.mkimg(["save", "layer", "-o", "out.tar"])
        .exits(1)
        .says(["corrupt", "mkimg verify"]);
    assert!(!env.path("out.tar").exists());
}

#[test]
fn a_store_of_another_kind_is_refused() {
    let env = Env::new(User::Own);
    env.import_files("a", &[("a", "1")]);
    env.write("store/version", "9\n");
    env.mkimg(["images"]).exits(1).says(["version 9", "--root"]);
    env.write("elsewhere/file", "x");
    env.mkimg(["--root", "elsewhere", "images"])
        .exits(1)
        .says(["elsewhere", "not a store"]);
    if support::is_root() {
        let other = Env::new(User::Test);
        let store = env.store();
        let store = store.to_str().unwrap();
        other.mkimg(["--root", store, "images"]).exits(1);
    }
}
