//! `mkimg import --binary`, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Env, User};

#[test]
fn a_base_by_hand_starts_what_it_holds() {
    for user in User::all() {
        let env = Env::new(*user);
        env.mkimg([
            "import", "--binary", "bash", "--binary", "ls", "-t", "tools",
        ])
        .success();
        let again = env
            .mkimg([
                "import", "--binary", "ls", "--binary", "bash", "-t", "again",
            ])
            .success();
        let id = env.mkimg(["images", "-q", "--no-trunc", "tools"]).success();
        assert_eq!(
            id.line(),
            again.line(),
            "the order of programs makes no difference"
        );
        if !User::with_ids().contains(user) {
            continue;
        }
        let ran = env.mkimg([
            "run",
            "--rm",
            "--network",
            "none",
            "tools",
            "bash",
            "-c",
            "ls -d /usr/bin/*",
        ]);
        assert_eq!(ran.success().out(), "/usr/bin/bash\n/usr/bin/ls\n");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let env = Env::new(User::Own);
    env.mkimg(["import", "--binary", "bahs", "-t", "x"])
        .exits(1)
        .says(["bahs", "bash"]);
    env.mkimg(["import", "--binary", "/etc/passwd", "-t", "x"])
        .exits(1)
        .says(["/etc/passwd", "ELF"]);
    env.mkimg(["import", "-t", "x"]).exits(2);
    env.mkimg(["import", "--binary", "ls", "a.tar"]).exits(2);
    assert_eq!(env.mkimg(["images", "-q"]).success().out(), "");
}
