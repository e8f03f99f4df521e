//! `mkimg tag`.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

#[test]
fn gives_a_name_and_takes_it_from_another() {
    for &user in User::all() {
        let env = Env::new(user);
        let first = env.import_files("a", &[("a", "1")]);
        let second = env.import_files("b", &[("a", "2")]);
        assert_eq!(env.mkimg(["tag", "a", "x:1"]).success().out(), "");
        let id = |name: &str| env.mkimg(["inspect", name]).success().json()[0]["Id"].clone();
        assert_eq!(id("x:1"), first);
        env.mkimg(["tag", &second[7..19], "x:1"]).success();
        assert_eq!(id("x:1"), second);
        assert_eq!(id("a"), first);
    }
}

#[test]
fn refuses_what_is_no_name() {
    let env = Env::new(User::Own);
    let id = env.import_files("a", &[("a", "1")]);
    let wrong = |name: &str| env.mkimg(["tag", "a", name]).exits(1);
    wrong("Upper").says(["\"Upper\"", "did you mean \"upper\"?"]);
    wrong(&format!("x@{id}")).says(["digest"]);
    wrong(&id[7..]).says(["image ID"]);
    wrong("x:").says(["tag"]);
    env.mkimg(["tag", "b", "c"])
        .exits(1)
        .says(["no image \"b\""]);
    env.mkimg(["tag", "a"]).exits(2);
    assert_eq!(env.mkimg(["images"]).success().out().lines().count(), 2);
}
