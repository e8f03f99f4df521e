//! What lies on other machines: files and repositories that a build fetches, from servers of the tests'
//! own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod servers;
mod support;

use std::io::Read as _;

use servers::repository::Repository;
use servers::{Server, raw, reply};
use support::{Env, Ran, User};

/// 1994-11-06, in seconds since 1970, and as HTTP writes it.
const MODIFIED: u64 = 784_111_777;
const LAST_MODIFIED: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
/// What a file has where nothing else is said: 1980-01-01.
const EPOCH: u64 = 315_532_800;
/// `sha256sum` of `hello`.
const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A file of a tar.
#[derive(Debug, PartialEq, Eq)]
struct File {
    path: String,
    mode: u32,
    mtime: u64,
    content: String,
}

fn file(path: &str, mode: u32, mtime: u64, content: &str) -> File {
    let (path, content) = (path.to_owned(), content.to_owned());
    File {
        path,
        mode,
        mtime,
        content,
    }
}

fn files(tar: &[u8]) -> Vec<File> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        File {
            path: entry.path().unwrap().display().to_string(),
            mode: header.mode().unwrap(),
            mtime: header.mtime().unwrap(),
            content: String::from_utf8_lossy(&content).into_owned(),
        }
    });
    entries.collect()
}

fn paths(tar: &[u8]) -> Vec<String> {
    files(tar).into_iter().map(|file| file.path).collect()
}

/// A tar with one file.
fn packed(name: &str, text: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o640);
    tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    tar.into_inner().unwrap()
}

/// Builds `FROM scratch` and these lines, into a tar.
fn build(env: &Env, lines: &str) -> Ran {
    env.write("c/Dockerfile", format!("FROM scratch\n{lines}\n"));
    env.mkimg(["build", "--progress", "plain", "-o", "-", "c"])
}

/// A repository with a file on top and two in directories, and a tag of each kind.
fn sample() -> Repository {
    let repository = Repository::new();
    repository.write("top", "t\n");
    repository.write("app/Dockerfile", "FROM scratch\nCOPY . /x/\n");
    repository.write("app/data", "d\n");
    repository.commit("first");
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "-m", "x", "heavy"]);
    repository.git(&["branch", "side"]);
    repository.write("app/data", "new\n");
    repository.commit("second");
    repository
}

#[test]
fn a_file_is_added_for_its_owner_alone_with_the_time_that_the_server_says() {
    let server = Server::start(|_, _| reply("200 OK", &[LAST_MODIFIED], b"hello"));
    for user in User::all() {
        let env = Env::new(*user);
        let url = server.url("/dir/na%20me.txt?x=1#y");
        let built = build(&env, &format!("ADD {url} /x/")).success();
        let expected = |mode, mtime| {
            vec![
                file("x/", 0o755, EPOCH, ""),
                file("x/na me.txt", mode, mtime, "hello"),
            ]
        };
        // No file is newer than the epoch.
        assert_eq!(files(built.bytes()), expected(0o600, EPOCH));
        let late = |lines: &str| {
            env.write("c/Dockerfile", format!("FROM scratch\n{lines}\n"));
            let mut command = env.command(["build", "-q", "-o", "-", "c"]);
            support::run(command.env("SOURCE_DATE_EPOCH", "1000000000")).success()
        };
        let built = late(&format!("ADD --chmod=751 {url} /x/"));
        let found = &files(built.bytes())[1];
        assert_eq!(*found, file("x/na me.txt", 0o751, MODIFIED, "hello"));
        let built = late(&format!("ADD {url} /other"));
        assert_eq!(
            files(built.bytes()),
            [file("other", 0o600, MODIFIED, "hello")]
        );
    }
}

#[test]
fn what_has_its_checksum_in_the_dockerfile_is_fetched_once() {
    let server = Server::start(|_, _| reply("200 OK", &[LAST_MODIFIED], b"hello"));
    for user in User::all() {
        let env = Env::new(*user);
        let before = server.seen().len();
        let add = |checksum: &str| {
            build(
                &env,
                &format!("ADD --checksum={checksum} {} /f", server.url("/f")),
            )
        };
        let refused = add(&HELLO.replace("2cf", "3cf")).exits(1);
        refused.says(["Dockerfile:2", HELLO, &HELLO.replace("2cf", "3cf")]);
        let first = add(HELLO).success();
        assert_eq!(files(first.bytes()), [file("f", 0o600, EPOCH, "hello")]);
        let seen = server.seen().len();
        assert!(seen > before);
        let again = add(HELLO).success().says(["CACHED"]);
        assert_eq!((again.bytes(), server.seen().len()), (first.bytes(), seen));
        add("sha256:1")
            .exits(1)
            .says(["Dockerfile:2", "64 hexadecimal digits"]);
        assert_eq!(server.seen().len(), seen);
    }
}

#[test]
fn what_has_not_changed_is_asked_for_and_not_sent_again() {
    let server = Server::start(|_, request| match request.header("if-none-match") {
        Some("\"1\"") if request.path == "/same" => raw("304 Not Modified", &[], b""),
        known => reply(
            "200 OK",
            &["ETag: \"1\""],
            known.unwrap_or("first").as_bytes(),
        ),
    });
    for user in User::all() {
        let env = Env::new(*user);
        let add = |path| build(&env, &format!("ADD {} /f", server.url(path))).success();
        let first = add("/same");
        let before = server.seen().len();
        let again = add("/same").says(["CACHED"]);
        assert_eq!(
            (again.bytes(), server.seen().len()),
            (first.bytes(), before + 1)
        );
        let changed = add("/other");
        assert_eq!(changed.bytes(), first.bytes());
        assert_eq!(files(add("/other").bytes())[0].content, "\"1\"");
    }
}

#[test]
fn a_redirection_is_followed_and_what_is_not_there_says_so() {
    let target = Server::start(|_, _| reply("200 OK", &[], b"moved"));
    let to = format!("Location: {}", target.url("/to/elsewhere"));
    let server = Server::start(move |_, request| match request.path.as_str() {
        "/from" => reply("302 Found", &[&to], b""),
        "/none" => reply("404 Not Found", &[], b"no"),
        _ => reply("403 Forbidden", &[], b"no"),
    });
    for user in User::all() {
        let env = Env::new(*user);
        let built = build(&env, &format!("ADD {} /x/", server.url("/from"))).success();
        assert_eq!(
            files(built.bytes())[1],
            file("x/from", 0o600, EPOCH, "moved")
        );
        let refused = build(&env, &format!("ADD {} /x/", server.url("/none"))).exits(1);
        refused.says(["Dockerfile:2", "404 Not Found", "check its spelling"]);
        let secret = server
            .url("/secret")
            .replace("http://", "http://me:hidden@");
        let refused = build(&env, &format!("ADD {secret} /x/")).exits(1);
        let refused = refused.says(["403 Forbidden", "login", "me:***@"]);
        assert!(
            !refused
                .err()
                .lines()
                .any(|line| line.contains("hidden") && !line.contains("ADD"))
        );
    }
}

#[test]
fn an_archive_is_unpacked_where_that_is_asked_for() {
    let tar = packed("in/side", "s");
    let server = Server::start(move |_, _| reply("200 OK", &[], &tar));
    for user in User::all() {
        let env = Env::new(*user);
        let url = server.url("/a.tar");
        let built = build(&env, &format!("ADD {url} /")).success();
        assert_eq!(paths(built.bytes()), ["a.tar"]);
        let built = build(&env, &format!("ADD --unpack {url} /d/")).success();
        assert_eq!(paths(built.bytes()), ["d/", "d/in/", "d/in/side"]);
        let built = build(&env, &format!("ADD --unpack=false {url} /d/")).success();
        assert_eq!(paths(built.bytes()), ["d/", "d/a.tar"]);
    }
}

#[test]
fn a_repository_is_added_by_its_reference_and_directory() {
    let repository = sample();
    let server = repository.serve(|_, _| None);
    for user in User::all() {
        let env = Env::new(*user);
        let add = |what: &str| {
            build(
                &env,
                &format!("ADD {} /r", server.url(&format!("/r.git{what}"))),
            )
        };
        let all = ["r/", "r/app/", "r/app/Dockerfile", "r/app/data", "r/top"];
        assert_eq!(paths(add("").success().bytes()), all);
        for (what, data) in [
            ("#side:app", "d\n"),
            ("#heavy:app", "d\n"),
            ("?branch=main&subdir=app", "new\n"),
        ] {
            let built = add(what).success();
            let expected = [
                file("r/", 0o755, EPOCH, ""),
                file("r/Dockerfile", 0o644, EPOCH, "FROM scratch\nCOPY . /x/\n"),
                file("r/data", 0o644, EPOCH, data),
            ];
            assert_eq!(files(built.bytes()), expected, "{what}");
        }
        let again = add("#side:app").success();
        again.says(["CACHED"]);
        add("#sied")
            .exits(1)
            .says(["Dockerfile:2", "did you mean \"side\"?"]);
        add("#side:ap")
            .exits(1)
            .says(["Dockerfile:2", "no directory \"ap\""]);
    }
}

#[test]
fn the_repository_itself_comes_along_where_it_is_asked_for() {
    let repository = sample();
    let head = repository.git(&["rev-parse", "HEAD"]);
    let server = repository.serve(|_, _| None);
    for user in User::all() {
        let env = Env::new(*user);
        let url = server.url("/r.git");
        for add in [
            format!("--keep-git-dir {url}"),
            format!("{url}?keep-git-dir=1"),
        ] {
            let built = build(&env, &format!("ADD {add} /r")).success();
            let found = files(built.bytes());
            let find = |path: &str| found.iter().find(|file| file.path == path);
            assert_eq!(find("r/.git/HEAD").unwrap().content, format!("{head}\n"));
            assert!(find("r/.git/index").is_some() && find("r/top").is_some());
        }
    }
}

#[test]
fn a_context_is_an_address() {
    let repository = sample();
    let git = repository.serve(|_, _| None);
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in [("Dockerfile", "FROM scratch\nCOPY own /\n"), ("own", "o")] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let http = Server::start(move |_, request| match request.path.as_str() {
        "/ctx.tar" => reply("200 OK", &[], &tar),
        "/Dockerfile" => reply("200 OK", &[], b"FROM scratch\nCOPY . /y/\n"),
        _ => reply("404 Not Found", &[], b""),
    });
    for user in User::all() {
        let env = Env::new(*user);
        let context = |url: &str| env.mkimg(["build", "-q", "-o", "-", url]);
        assert_eq!(
            paths(context(&http.url("/ctx.tar")).success().bytes()),
            ["own"]
        );
        assert_eq!(
            paths(context(&http.url("/Dockerfile")).success().bytes()),
            ["y/", "y/context"]
        );
        let built = context(&git.url("/r.git#side:app")).success();
        let data = file("x/data", 0o644, EPOCH, "d\n");
        assert_eq!(
            (files(built.bytes()).len(), &files(built.bytes())[2]),
            (3, &data)
        );
        context(&http.url("/none"))
            .exits(1)
            .says(["404", "spelling"]);
        context(&git.url("/r.git"))
            .exits(1)
            .says(["no Dockerfile", "-f FILE"]);
        let refused = context(&git.url("/r.git#nope")).exits(1);
        refused.says(["no branch, tag or commit \"nope\""]);
        let args = [
            "build",
            "-q",
            "-f",
            "app/Dockerfile",
            "-o",
            "-",
            &git.url("/r.git"),
        ];
        let built = env.mkimg(args).success();
        assert_eq!(paths(built.bytes()).len(), 5);
    }
}

#[test]
fn a_named_context_is_an_address() {
    let repository = sample();
    let git = repository.serve(|_, _| None);
    let http = Server::start(|_, _| reply("200 OK", &[], b"hello"));
    for user in User::all() {
        let env = Env::new(*user);
        env.write("c/Dockerfile", "FROM scratch\nCOPY --from=x . /\n");
        let with = |url: &str| {
            let named = format!("x={url}");
            let args = ["build", "-q", "-o", "-", "--build-context", &named, "c"];
            env.mkimg(args).success()
        };
        assert_eq!(
            paths(with(&git.url("/r.git#:app")).bytes()),
            ["Dockerfile", "data"]
        );
        let found = files(with(&http.url("/d/tool")).bytes());
        assert_eq!(found, [file("tool", 0o600, EPOCH, "hello")]);
    }
}

#[test]
fn a_private_repository_takes_the_secret_of_that_name() {
    let repository = sample();
    let head = repository.git(&["rev-parse", "HEAD"]);
    let server = repository.serve(|_, request| match request.header("authorization") {
        Some("Basic eC1hY2Nlc3MtdG9rZW46aHVzaC1odXNo") => None,
        _ => Some(reply("401 Unauthorized", &[], b"")),
    });
    let url = server.url("/r.git");
    let context = format!("{url}?subdir=app&checksum={}", &head[..12]);
    for user in User::all() {
        let env = Env::new(*user);
        env.write("token", "hush-hush\n");
        env.write(
            "c/Dockerfile",
            format!("FROM scratch\nADD {url}#:app /x/\n"),
        );
        for context in [context.as_str(), "c"] {
            let build = |secret: &str| {
                let args = ["build", "-q", "-o", "-", "--secret", secret, context];
                env.mkimg(args)
            };
            let built = build("id=GIT_AUTH_TOKEN,src=token").success();
            assert_eq!(paths(built.bytes()), ["x/", "x/Dockerfile", "x/data"]);
        }
        let args = [
            "build",
            "-q",
            "-o",
            "-",
            "--secret",
            "id=GIT_AUTH_TOKEN,src=token",
        ];
        let with = |context: &str| {
            let args = args.iter().copied().chain([context]);
            env.mkimg(args.collect::<Vec<_>>())
        };
        let other = format!("{url}?subdir=app&checksum=0123abc");
        with(&other).exits(1).says([&head, "not at 0123abc"]);
        with(&format!("{url}?mtime=commit"))
            .exits(2)
            .says(["mtime=commit", "not supported"]);
        with(&format!("{url}?depth=1")).exits(2).says(["\"depth\""]);
        let fresh = Env::new(*user);
        let refused = fresh.mkimg(["build", "-q", "-o", "-", &url]).exits(1);
        refused.says(["401", "--secret id=GIT_AUTH_TOKEN"]);
    }
}

#[test]
fn the_epoch_is_the_time_of_the_contexts_commit() {
    const COMMITTED: u64 = 1_700_000_001;
    let repository = sample();
    let server = repository.serve(|_, _| None);
    for user in User::all() {
        let env = Env::new(*user);
        let mtime = |built: Ran| files(built.success().bytes()).last().unwrap().mtime;
        let with = |context: &str| {
            let mut command = env.command(["build", "-q", "-o", "-", context]);
            support::run(command.env("SOURCE_DATE_EPOCH", "context"))
        };
        assert_eq!(mtime(with(&server.url("/r.git#:app"))), COMMITTED);
        let by_argument = |context: &str| {
            let argument = "SOURCE_DATE_EPOCH=context";
            env.mkimg(["build", "-q", "-o", "-", "--build-arg", argument, context])
        };
        assert_eq!(mtime(by_argument(&server.url("/r.git#:app"))), COMMITTED);
        env.write("c/Dockerfile", "FROM scratch\nCOPY . /x/\n");
        with("c")
            .exits(1)
            .says(["c is in no git repository", "seconds since 1970"]);
        let mut command = env.command(["build", "-"]);
        let run = support::run_with_input(
            command.env("SOURCE_DATE_EPOCH", "context"),
            b"FROM scratch\n",
        );
        run.exits(1).says(["standard input is no git repository"]);
        with(&server.url("/r.git#side"))
            .exits(1)
            .says(["no Dockerfile"]);
    }
    // A working tree of whoever runs the tests.
    let env = Env::new(User::Own);
    let build = |context: &str| {
        let path = repository.path.join(context);
        let argument = "SOURCE_DATE_EPOCH=context";
        let path = path.to_str().unwrap();
        env.mkimg(["build", "-q", "-o", "-", "--build-arg", argument, path])
    };
    let mtime = |context: &str| {
        files(build(context).success().bytes())
            .last()
            .unwrap()
            .mtime
    };
    // Loose objects, packed ones with packed references, no branch, another working tree.
    assert_eq!(mtime("app"), COMMITTED);
    repository.git(&["gc", "-q"]);
    repository.git(&["pack-refs", "--all"]);
    assert_eq!(mtime("app"), COMMITTED);
    repository.git(&["worktree", "add", "-q", "../tree", "side"]);
    assert_eq!(mtime("../tree/app"), COMMITTED);
    repository.git(&["clone", "-q", "--shared", ".", "../clone"]);
    assert_eq!(mtime("../clone/app"), COMMITTED);
    repository.git(&["checkout", "-q", "--detach", "heavy"]);
    assert_eq!(mtime("app"), COMMITTED);
    repository.git(&["checkout", "-q", "--orphan", "new"]);
    build("app").exits(1).says(["names no commit"]);
    repository.write(".git/HEAD", "ref: refs/../../../etc/passwd\n");
    build("app").exits(1).says(["names no commit"]);
}
