//! `mkimg version`, and what every command has in common.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

#[test]
fn says_where_the_store_is() {
    for &user in User::all() {
        let env = Env::new(user);
        let ran = env.mkimg(["version"]).success();
        let expected = format!(
            "mkimg {}\nstore {}\n",
            env!("CARGO_PKG_VERSION"),
            env.store().display()
        );
        assert_eq!(ran.out(), expected);
        assert_eq!(ran.err(), "");
    }
}

#[test]
fn the_flag_comes_before_the_environment_and_that_before_the_default() {
    let env = Env::new(User::Own);
    let ran = env.mkimg(["--root", "other", "version"]).success();
    let other = env.path("other");
    assert!(ran.out().ends_with(&format!("store {}\n", other.display())));
    let mut command = env.command(["version"]);
    command.env_remove("MKIMG_ROOT");
    let home = format!("store {}\n", env.path("home/.local/share/mkimg").display());
    let default = if support::is_root() {
        "store /var/lib/mkimg\n"
    } else {
        &home
    };
    assert!(
        support::run(&mut command)
            .success()
            .out()
            .ends_with(default)
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    let env = Env::new(User::Own);
    env.mkimg(["frobnicate"]).exits(2).says(["frobnicate"]);
    env.mkimg(["version", "--nonsense"])
        .exits(2)
        .says(["--nonsense"]);
    env.mkimg([""; 0]).exits(2).says(["Usage: mkimg"]);
}

#[test]
fn help_lists_the_commands() {
    let env = Env::new(User::Own);
    let help = env.mkimg(["--help"]).success();
    let listed = help.out().split("Commands:\n").nth(1).unwrap();
    let listed = listed.split("\n\n").next().unwrap();
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for name in [
        "build", "images", "inspect", "history", "tag", "rmi", "import", "load", "save", "verify",
        "version",
    ] {
        assert!(names.contains(&name), "{name} is missing: {help}");
        let own = env.mkimg([name, "--help"]).success();
        assert!(own.out().contains(&format!("Usage: mkimg {name}")), "{own}");
    }
    assert_eq!(env.mkimg(["-h"]).success().out(), help.out());
    let short = env.mkimg(["--version"]).success();
    assert_eq!(short.line(), format!("mkimg {}", env!("CARGO_PKG_VERSION")));
}
