//! Where no user namespace can be made: what only copies is built, and what has to run says what to do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use support::{Env, User, run};

/// A place of a user with subordinate ids; `None`, and a word, where root did not start the tests.
fn place() -> Option<Env> {
    if !support::is_root() {
        println!("only root can be another user: not run");
        return None;
    }
    let env = Env::new(User::Test);
    env.import_busybox("busybox");
    env.write("copies/Dockerfile", "FROM busybox\nCOPY . /x\n");
    env.write("runs/Dockerfile", "FROM busybox\nRUN true\n");
    Some(env)
}

/// Runs mkimg under these words, and sees that it says these.
fn refused<const N: usize>(env: &Env, before: &dyn Fn() -> Command, says: [&str; N]) {
    let mkimg = |args: &[&str]| {
        let mut command = before();
        command
            .arg(env.command([""; 0]).get_program())
            .args(args)
            .env("MKIMG_ROOT", env.store());
        run(&mut command)
    };
    mkimg(&["build", "runs"])
        .exits(1)
        .says(["Dockerfile:2", "RUN true"])
        .says(says);
    mkimg(&["run", "--rm", "busybox", "true"])
        .exits(125)
        .says(says);
    mkimg(&["build", "copies"]).success();
    assert_eq!(
        std::fs::read_dir(env.store().join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn the_program_that_maps_ids_is_missing_or_powerless() {
    let Some(env) = place() else { return };
    env.dir("bin");
    let with_path = || {
        let mut command = env.program("/usr/bin/env");
        command.env("PATH", env.path("bin"));
        command
    };
    refused(
        &env,
        &with_path,
        ["newuidmap is not installed", "package uidmap"],
    );
    for name in ["newuidmap", "newgidmap"] {
        let program = std::fs::read(format!("/usr/bin/{name}")).unwrap();
        let copy = env.write(format!("bin/{name}"), program);
        std::fs::set_permissions(copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    refused(&env, &with_path, ["cannot map", "chmod u+s"]);
}

#[test]
fn privileges_cannot_be_gained() {
    let Some(env) = place() else { return };
    let before = || {
        let mut command = env.program("setpriv");
        command.arg("--no-new-privs");
        command
    };
    refused(&env, &before, ["no_new_privs", "allowPrivilegeEscalation"]);
}

#[test]
fn the_limit_is_reached() {
    let Some(env) = place() else { return };
    let around = || {
        let mut command = env.program("bwrap");
        command.args(["--unshare-user", "--disable-userns", "--dev-bind", "/", "/"]);
        command
    };
    let limit = "user.max_user_namespaces";
    refused(&env, &around, ["no user namespace can be made", limit]);

    // The limit of a namespace with all ids, in which that user is what it is outside.
    let ids = std::fs::metadata(env.path("home")).unwrap();
    let (uid, gid) = {
        use std::os::unix::fs::MetadataExt as _;
        (ids.uid(), ids.gid())
    };
    // Its maps are written from outside, when it waits for that.
    let script = format!(
        "rm -f made mapped; mkfifo made mapped\n\
         unshare --user sh -c 'echo > made; read _ < mapped; \
           exec setpriv --reuid 0 --regid 0 --clear-groups sh -c \"\
             echo 0 > /proc/sys/user/max_user_namespaces && \
             exec setpriv --reuid {uid} --regid {gid} --clear-groups \\\"\\$@\\\"\" sh \"$@\"' sh \"$@\" &\n\
         read _ < made\n\
         echo 0 0 4294967295 > /proc/$!/uid_map; echo 0 0 4294967295 > /proc/$!/gid_map\n\
         echo > mapped; wait $!"
    );
    let here = || {
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, "sh"])
            .current_dir(env.path(""));
        command
    };
    let remedy = "sysctl -w user.max_user_namespaces=15000";
    refused(&env, &here, ["user.max_user_namespaces is 0", remedy]);
}

/// A seccomp filter under which unshare(2) fails with this errno: seccomp(2), struct sock_filter.
fn filter(errno: u16) -> Vec<u8> {
    let unshare: u32 = match std::env::consts::ARCH {
        "x86_64" => 272,
        "aarch64" => 97,
        other => panic!("the number of unshare(2) on {other} is not known here"),
    };
    let (load_word, jump_if_equal, give) = (0x20, 0x15, 0x06);
    let program: [(u16, u8, u8, u32); 4] = [
        (load_word, 0, 0, 0),
        (jump_if_equal, 0, 1, unshare),
        (give, 0, 0, 0x0005_0000 | u32::from(errno)),
        (give, 0, 0, 0x7fff_0000),
    ];
    let mut bytes = Vec::new();
    for (code, yes, no, value) in program {
        bytes.extend(code.to_ne_bytes());
        bytes.extend([yes, no]);
        bytes.extend(value.to_ne_bytes());
    }
    bytes
}

#[test]
fn the_kernel_or_a_policy_refuses() {
    let Some(env) = place() else { return };
    for (errno, says) in [
        (1, "security policy"),
        (13, "security policy"),
        (22, "CONFIG_USER_NS"),
        (38, "CONFIG_USER_NS"),
        (87, "nested too deeply"),
        (28, "user.max_user_namespaces"),
    ] {
        env.write("filter", filter(errno));
        let before = || {
            let mut command = env.program("sh");
            command.args([
                "-c",
                "exec bwrap --dev-bind / / --seccomp 9 \"$@\" 9< filter",
                "sh",
            ]);
            command
        };
        refused(&env, &before, ["no user namespace can be made", says]);
    }
}

#[test]
fn there_are_no_subordinate_ids() {
    if !support::is_root() {
        return;
    }
    let env = Env::new(User::Lone);
    env.import_busybox("busybox");
    env.write("copies/Dockerfile", "FROM busybox\nCOPY . /x\n");
    env.write("runs/Dockerfile", "FROM busybox\nRUN true\n");
    let before = || env.program("/usr/bin/env");
    refused(
        &env,
        &before,
        ["mkimg-lone has no subordinate ids", "usermod --add-subuids"],
    );
}
