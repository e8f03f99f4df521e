//! `mkimg inspect`.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

#[test]
fn shows_what_docker_shows() {
    let env = Env::new(User::Own);
    let id = env.import_files("app:1", &[("a", "1")]);
    env.mkimg(["tag", "app:1", "localhost/other"]).success();
    env.mkimg(["inspect", "--type", "image", "app:1"]).success();
    env.mkimg(["inspect", "--type", "container", "app:1"])
        .exits(2)
        .says(["image"]);
    for name in ["app:1", &id, &id[7..], &id[7..19], "localhost/other"] {
        let shown = env.mkimg(["inspect", name]).success().json();
        let [image] = shown.as_array().unwrap().as_slice() else {
            panic!("{shown}");
        };
        assert_eq!(image["Id"], id);
        assert_eq!(
            image["RepoTags"],
            serde_json::json!(["app:1", "localhost/other:latest"])
        );
        let digest = image["Descriptor"]["digest"].as_str().unwrap();
        assert_eq!(image["RepoDigests"][0], format!("app@{digest}"));
        assert_eq!(image["Os"], "linux");
        assert_eq!(image["Size"], 2048);
        assert_eq!(image["Created"], "1980-01-01T00:00:00Z");
        assert_eq!(image["RootFS"]["Type"], "layers");
        let layers = image["RootFS"]["Layers"].as_array().unwrap();
        let layer = layers[0].as_str().unwrap();
        assert!(env.store().join("blobs/sha256").join(&layer[7..]).exists());
        assert!(image["Config"].is_object());
    }
}

#[test]
fn those_that_are_there_are_shown_and_the_others_named() {
    let env = Env::new(User::Own);
    env.import_files("debian:12", &[("a", "1")]);
    let ran = env
        .mkimg(["inspect", "debain:12", "debian:12", "nothing/like/it"])
        .exits(1)
        .says([
            "no image \"debain:12\"",
            "did you mean \"debian:12\"?",
            "no image \"nothing/like/it\"",
        ]);
    assert_eq!(ran.json().as_array().unwrap().len(), 1);
    let none = env.mkimg(["inspect", "x"]).exits(1);
    assert_eq!(none.json(), serde_json::json!([]));
}

#[test]
fn templates_are_refused() {
    let env = Env::new(User::Own);
    env.import_files("a", &[("a", "1")]);
    env.mkimg(["inspect", "--format", "{{.Id}}", "a"]).exits(2);
    env.mkimg(["inspect", "--format", "json", "a"]).success();
    env.mkimg(["inspect"]).exits(2);
}

#[test]
fn three_digits_are_no_id() {
    let env = Env::new(User::Own);
    let id = env.import_files("a", &[("a", "1")]);
    env.mkimg(["inspect", &id[7..10]]).exits(1);
    env.mkimg(["inspect", &id[7..11]]).success();
}
