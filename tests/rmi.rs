//! `mkimg rmi`.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

fn blobs(env: &Env) -> usize {
    let blobs = std::fs::read_dir(env.store().join("blobs/sha256"));
    blobs.unwrap().count()
}

#[test]
fn the_last_name_takes_the_image_with_it() {
    for &user in User::all() {
        let env = Env::new(user);
        let id = env.import_files("a:1", &[("a", "1")]);
        env.mkimg(["tag", "a:1", "b"]).success();
        assert_eq!(blobs(&env), 3);
        let ran = env.mkimg(["rmi", "a:1"]).success();
        assert_eq!(ran.out(), "Untagged: a:1\n");
        assert_eq!(blobs(&env), 3);
        let ran = env.mkimg(["rmi", "b"]).success();
        assert_eq!(ran.out(), format!("Untagged: b:latest\nDeleted: {id}\n"));
        assert_eq!(blobs(&env), 0);
    }
}

#[test]
fn an_id_with_several_names_takes_force() {
    let env = Env::new(User::Own);
    let id = env.import_files("a", &[("a", "1")]);
    env.mkimg(["tag", "a", "b"]).success();
    env.mkimg(["rmi", &id[7..19]])
        .exits(1)
        .says(["a:latest, b:latest", "-f"]);
    let ran = env.mkimg(["rmi", "-f", &id[7..19]]).success();
    assert_eq!(
        ran.out(),
        format!("Untagged: a:latest\nUntagged: b:latest\nDeleted: {id}\n")
    );
}

#[test]
fn what_others_need_stays() {
    let env = Env::new(User::Own);
    env.import_files("a", &[("a", "1")]);
    // The same layer under another config.
    let files = support::base::files(&[("a", "1")]);
    env.mkimg_with_input(["import", "-m", "other", "-", "b"], &files)
        .success();
    assert_eq!(blobs(&env), 5);
    env.mkimg(["rmi", "a"]).success();
    assert_eq!(blobs(&env), 3);
    env.mkimg(["verify"]).success();
}

#[test]
fn each_of_several_for_itself() {
    let env = Env::new(User::Own);
    env.import_files("a", &[("a", "1")]);
    env.import_files("b", &[("a", "2")]);
    let ran = env
        .mkimg(["rmi", "a", "nothing", "b"])
        .exits(1)
        .says(["no image \"nothing\""]);
    assert_eq!(ran.out().matches("Deleted").count(), 2, "{ran}");
    assert_eq!(blobs(&env), 0);
    env.mkimg(["rmi", "-f", "nothing"]).success();
    env.mkimg(["rmi", "nothing"]).exits(1);
}

#[test]
fn a_store_in_use_keeps_its_blobs() {
    let env = Env::new(User::Own);
    env.import_files("a", &[("a", "1")]);
    let other = image_format::layout::Store::open(&env.store()).unwrap();
    env.mkimg(["rmi", "a"]).success().says(["in use"]);
    assert_eq!(blobs(&env), 3);
    drop(other);
    env.import_files("b", &[("a", "2")]);
    env.mkimg(["rmi", "b"]).success();
    assert_eq!(blobs(&env), 0);
}
