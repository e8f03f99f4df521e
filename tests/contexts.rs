//! Build contexts with all that a file system can hold.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{CWD, FileType, Mode, mkdirat, mknodat};
use support::{Env, User};

fn pipe(env: &Env, name: &str) {
    let path = env.path(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    env.own(path);
}

#[test]
fn a_pipe_holds_nothing_up() {
    for user in User::all() {
        let env = Env::new(*user);
        env.write("c/Dockerfile", "FROM scratch\nCOPY . /x\n");
        pipe(&env, "c/pipe");
        env.mkimg(["build", "c"]).success();
        pipe(&env, "c/.dockerignore");
        let refused = env.mkimg(["build", "c"]).exits(1);
        refused.says([".dockerignore", "not a regular file"]);
        std::fs::remove_file(env.path("c/Dockerfile")).unwrap();
        pipe(&env, "c/Dockerfile");
        let refused = env.mkimg(["build", "c"]).exits(1);
        refused.says(["c/Dockerfile", "not a regular file"]);
    }
}

#[test]
fn odd_names_are_copied_and_shown_escaped() {
    for user in User::all() {
        let env = Env::new(*user);
        env.write("c/Dockerfile", "FROM scratch\nCOPY . /x\n");
        for name in [
            &b"new\nline"[..],
            b"red\x1b[31m",
            b"not utf-8 \xff\xfe",
            &[b'n'; 255],
        ] {
            env.write(std::path::Path::new("c").join(OsStr::from_bytes(name)), "x");
        }
        env.mkimg(["build", "-t", "odd", "c"]).success();
        let inspected = env.mkimg(["inspect", "odd"]).success().json();
        let layer = inspected[0]["RootFS"]["Layers"][0].as_str().unwrap();
        let blob = env
            .store()
            .join("blobs/sha256")
            .join(&layer["sha256:".len()..]);
        let mut archive = tar::Archive::new(std::fs::File::open(blob).unwrap());
        let names = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            entry.path_bytes().into_owned()
        });
        let names: Vec<_> = names.collect();
        for name in [
            &b"x/new\nline"[..],
            b"x/red\x1b[31m",
            b"x/not utf-8 \xff\xfe",
        ] {
            assert!(names.iter().any(|other| other == name), "{names:?}");
        }
        let path = env.path("c/blue\x1b[34m\n");
        let _socket = std::os::unix::net::UnixListener::bind(path).unwrap();
        for (source, shown) in [
            ("newline", "did you mean \"new\\nline\"?"),
            ("blue*", "c/blue\\u{1b}[34m\\n is a socket"),
        ] {
            let dockerfile = format!("FROM scratch\nCOPY {source} /x/\n");
            env.write("c/Dockerfile", dockerfile);
            let refused = env.mkimg(["build", "c"]).exits(1).says([shown]);
            assert!(!refused.err().contains('\x1b'), "{refused}");
        }
    }
}

#[test]
fn trees_deeper_than_a_path_are_copied_or_refused() {
    let env = Env::new(User::Own);
    env.write("c/Dockerfile", "FROM scratch\nCOPY tree /x\n");
    let mut dir = rustix::fs::open(
        env.dir("c/tree"),
        rustix::fs::OFlags::DIRECTORY,
        Mode::empty(),
    )
    .unwrap();
    let name = "d".repeat(200);
    let mut deepen = |levels: usize| {
        for _ in 0..levels {
            mkdirat(&dir, &name, Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY;
            dir = rustix::fs::openat(&dir, &name, flags, Mode::empty()).unwrap();
        }
    };
    // 10,000 bytes
    deepen(50);
    env.mkimg(["build", "-t", "deep", "c"]).success();
    env.mkimg(["run", "--rm", "deep", "x"]).exits(127);
    deepen(3000);
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["Dockerfile:2", "nested too deep"]);
}

#[test]
fn a_file_that_changes_while_it_is_copied_is_refused_or_whole() {
    let env = Env::new(User::Own);
    env.write("c/Dockerfile", "FROM scratch\nCOPY data /x/\n");
    let content = |byte: u8| vec![byte; 300_000];
    for number in 0..20 {
        env.write(format!("c/data/{number:02}"), content(b'a'));
    }
    let end = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut byte = b'a';
            while !end.load(std::sync::atomic::Ordering::Relaxed) {
                byte = if byte == b'a' { b'b' } else { b'a' };
                for number in (0..20).rev() {
                    let path = env.path(format!("c/data/{number:02}"));
                    std::fs::write(path, content(byte)).unwrap();
                }
            }
        });
        for _ in 0..10 {
            let ran = env.mkimg(["build", "-q", "-t", "app", "c"]);
            if ran.code() == 1 {
                ran.says(["Dockerfile:2", "c/data/", "chang"]);
            } else {
                ran.success();
            }
        }
        end.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    env.mkimg(["verify"]).success();
    // What was read while it changed is not taken for what is there now.
    for number in 0..20 {
        env.write(format!("c/data/{number:02}"), content(b'c'));
    }
    env.mkimg(["build", "-q", "-t", "app", "c"]).success();
    let inspected = env.mkimg(["inspect", "app"]).success().json();
    let layer = inspected[0]["RootFS"]["Layers"][0].as_str().unwrap();
    let blob = env
        .store()
        .join("blobs/sha256")
        .join(&layer["sha256:".len()..]);
    let blob = std::fs::read(blob).unwrap();
    let found = blob
        .windows(100)
        .filter(|part| part == &[b'c'; 100])
        .count();
    assert_eq!(found, 20 * (300_000 - 99));
}
