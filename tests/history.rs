//! `mkimg history`.
#![allow(clippy::unwrap_used)]

mod support;

use std::str::FromStr;

use image_format::config::{History, ImageConfig};
use image_format::descriptor::Platform;
use image_format::layout::{Store, write_image};
use image_format::reference::Reference;
use support::{Env, User};

/// An image of several steps, made by the library: what made it says all kinds of things.
fn image(env: &Env) -> String {
    let store = Store::open(&env.store()).unwrap();
    let mut config = ImageConfig::scratch(&Platform::host());
    let step = |by: &str, empty_layer| History {
        created: Some("2020-01-01T00:00:00Z".to_owned()),
        created_by: Some(by.to_owned()),
        empty_layer,
        ..History::default()
    };
    config.history = vec![
        step("COPY a b", false),
        step("ENV a=\x1b[2Jb", true),
        step(&format!("RUN {}", "long ".repeat(20)), true),
    ];
    let tar = [0; 1024];
    let diff_id = store.put_bytes(&tar).unwrap();
    config.rootfs.diff_ids.push(diff_id);
    let layer = image_format::layout::Layer {
        diff_id,
        size: 1024,
    };
    let image = write_image(&store, &config, vec![layer.descriptor()]).unwrap();
    let name = Reference::from_str("app").unwrap();
    store.tag(&name, &image).unwrap();
    store.image(&image).unwrap().id().to_string()
}

#[test]
fn shows_the_last_step_first() {
    let env = Env::new(User::Own);
    let id = image(&env);
    let ran = env.mkimg(["history", "app"]).success();
    let lines: Vec<&str> = ran.out().lines().collect();
    assert_eq!(lines.len(), 4, "{ran}");
    assert!(
        lines[0].starts_with("IMAGE          CREATED       CREATED BY"),
        "{ran}"
    );
    assert!(lines[1].starts_with(&id[7..19]), "{ran}");
    assert!(
        lines[1].contains("RUN long long long long long long long long …  "),
        "{ran}"
    );
    assert!(lines[2].starts_with("<missing>"), "{ran}");
    assert!(lines[2].contains("ENV a=\\u{1b}[2Jb"), "{ran}");
    assert!(lines[2].contains("0B"), "{ran}");
    assert!(lines[3].contains("COPY a b"), "{ran}");
    assert!(lines[3].contains("1.024kB"), "{ran}");
}

#[test]
fn shortens_nothing_when_told() {
    let env = Env::new(User::Own);
    let id = image(&env);
    let ran = env.mkimg(["history", "--no-trunc", "app"]).success();
    assert!(ran.out().contains(&"long ".repeat(20)), "{ran}");
    assert!(ran.out().contains(&id), "{ran}");
    let exact = env.mkimg(["history", "--human=false", "app"]).success();
    let last = exact.out().lines().last().unwrap().to_owned();
    assert!(last.contains("2020-01-01T00:00:00Z"), "{exact}");
    assert!(last.trim_end().ends_with("1024"), "{exact}");
    let human = env.mkimg(["history", "-H", "--no-trunc", "app"]).success();
    assert_eq!(human.out(), ran.out());
    let quiet = env.mkimg(["history", "-q", "app"]).success();
    assert_eq!(
        quiet.out(),
        format!("{}\n<missing>\n<missing>\n", &id[7..19])
    );
}

#[test]
fn json_is_an_object_a_line() {
    let env = Env::new(User::Own);
    let id = image(&env);
    let ran = env
        .mkimg(["history", "--format", "json", "--no-trunc", "app"])
        .success();
    let first: serde_json::Value = serde_json::from_str(ran.out().lines().next().unwrap()).unwrap();
    assert_eq!(first["ID"], id);
    assert_eq!(first["CreatedAt"], "2020-01-01T00:00:00Z");
    assert_eq!(first["Size"], "0B");
}

#[test]
fn says_what_is_not_there() {
    let env = Env::new(User::Own);
    env.mkimg(["history", "app"]).exits(1).says(["\"app\""]);
}
