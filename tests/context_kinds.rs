//! Contexts that are no directories, and Dockerfiles that are not in them.
#![allow(clippy::unwrap_used)]

mod servers;
mod support;

use servers::{Server, reply};
use support::{Env, User, run, run_with_input};

const DOCKERFILE: &str = "FROM scratch\nCOPY . /x/\n";

/// A tar of a context: a file of somebody's, a Dockerfile and an ignore file.
fn packed(dockerfile: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text, owner) in [
        (dockerfile, DOCKERFILE, 0),
        (".dockerignore", "skip\n", 0),
        ("skip", "s", 0),
        ("own", "o", 1234),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Paths, owners and times of the files in a tar.
fn listed(tar: &[u8]) -> Vec<(String, u64, u64)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let header = entry.header();
        (path, header.uid().unwrap(), header.mtime().unwrap())
    });
    entries.collect()
}

fn paths(tar: &[u8]) -> Vec<String> {
    listed(tar).into_iter().map(|(path, ..)| path).collect()
}

#[test]
fn a_tar_keeps_its_owners_and_is_not_ignored_in() {
    for user in User::all() {
        let env = Env::new(*user);
        let tar = packed("Dockerfile");
        let on_stdin = env.mkimg_with_input(["build", "-q", "-o", "-", "-"], &tar);
        let on_stdin = on_stdin.success();
        let found = listed(on_stdin.bytes());
        let names: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
        let all = ["x/", "x/.dockerignore", "x/Dockerfile", "x/own", "x/skip"];
        assert_eq!(names, all);
        assert_eq!(found[3].1, 1234);
        assert!(found.iter().all(|(.., time)| *time == 315_532_800));
        env.write("c.tar", &tar);
        let ran = env.mkimg(["build", "-o", "type=tar,dest=out.tar", "c.tar"]);
        ran.success();
        assert_eq!(
            std::fs::read(env.path("out.tar")).unwrap(),
            on_stdin.bytes()
        );
    }
}

#[test]
fn a_compressed_tar_is_the_same() {
    let env = Env::new(User::Own);
    env.write("c.tar", packed("dockerfile"));
    let plain = env.mkimg(["build", "-q", "-o", "-", "c.tar"]).success();
    for program in ["gzip", "bzip2", "xz", "zstd"] {
        let mut command = env.program(program);
        let packed = run(command.args(["-c", "c.tar"])).success();
        let ran = env.mkimg_with_input(["build", "-q", "-o", "-", "-"], packed.bytes());
        assert_eq!(ran.success().bytes(), plain.bytes(), "{program}");
    }
}

#[test]
fn the_dockerfile_of_a_tar_is_in_it() {
    let env = Env::new(User::Own);
    env.write("c.tar", packed("sub/File"));
    env.write("File", "no Dockerfile");
    let refused = env.mkimg(["build", "c.tar"]).exits(1);
    refused.says(["no Dockerfile Dockerfile in c.tar", "-f FILE"]);
    env.mkimg(["build", "-q", "-f", "sub/File", "c.tar"])
        .success();
    let mut command = env.command(["build", "-q", "-o", "-", "-f", "-", "c.tar"]);
    let ran = run_with_input(&mut command, b"FROM scratch\nCOPY own /\n").success();
    assert_eq!(paths(ran.bytes()), ["own"]);
}

#[test]
fn a_hostile_tar_writes_nowhere() {
    let env = Env::new(User::Own);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o644);
    header.as_mut_bytes()[..9].copy_from_slice(b"../../../");
    header.as_mut_bytes()[9..13].copy_from_slice(b"evil");
    header.set_cksum();
    tar.append(&header, &b"x"[..]).unwrap();
    let refused = env.mkimg_with_input(["build", "-"], &tar.into_inner().unwrap());
    refused.exits(1).says(["standard input", "evil"]);
    let tmp = std::fs::read_dir(env.store().join("tmp")).unwrap();
    assert_eq!(tmp.count(), 0);
}

#[test]
fn standard_input_is_a_dockerfile_or_the_contexts() {
    for user in User::all() {
        let env = Env::new(*user);
        env.write("c/a", "a");
        env.write("c/.dockerignore", "Dockerfile\n");
        let with = |args: &[&str], input: &str| {
            let args = [&["build", "-q", "-o", "-"], args].concat();
            env.mkimg_with_input(args, input.as_bytes())
        };
        let ran = with(&["-f", "-", "c"], DOCKERFILE).success();
        assert_eq!(paths(ran.bytes()), ["x/", "x/.dockerignore", "x/a"]);
        let ran = with(&["-"], DOCKERFILE).success();
        assert_eq!(paths(ran.bytes()), ["x/"]);
        with(&["-"], "FROM scratch\nCOPY a /\n")
            .exits(1)
            .says(["\"a\""]);
        with(&["-f", "x", "-"], DOCKERFILE).exits(2).says(["-f"]);
        with(&["-f", "-", "-"], DOCKERFILE)
            .exits(2)
            .says(["standard input"]);
        with(&["-"], "").exits(1);
    }
}

#[test]
fn what_an_address_leads_to_is_asked_again_in_a_tar() {
    let env = Env::new(User::Own);
    let server = Server::start(|number, _| reply("200 OK", &[], format!("{number:04}").as_bytes()));
    let dockerfile = format!("FROM scratch\nADD {} /f\n", server.url("/f"));
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())
        .unwrap();
    let tar = tar.into_inner().unwrap();
    let build = || {
        env.mkimg_with_input(["build", "-q", "-o", "-", "-"], &tar)
            .success()
    };
    assert_ne!(build().bytes(), build().bytes());
}
