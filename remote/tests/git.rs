//! Repositories that the git program serves, over HTTP and by its own protocol, checked out without it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use builder::cancel::Cancel;
use builder::remote::{Checkout, GitSource, Remote, RemoteError};
use builder::request::Secret;
use remote::Network;
use remote::git::login::Logins;
use support::servers::reply;
use support::servers::repository::{Repository, git};
use support::{Place, content, words};

fn source(url: &str) -> GitSource {
    GitSource {
        url: url.to_owned(),
        reference: None,
        directory: None,
        keep_git_dir: false,
        submodules: true,
    }
}

fn at(url: &str, reference: &str) -> GitSource {
    GitSource {
        reference: Some(reference.to_owned()),
        ..source(url)
    }
}

fn check_out(place: &Place, source: &GitSource) -> Result<Checkout, RemoteError> {
    place.network.git(source, &Cancel::new())
}

fn failure(place: &Place, source: &GitSource) -> String {
    words(&check_out(place, source).unwrap_err())
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Two commits, a branch, a tag of each kind, and a file of each kind.
fn sample() -> (Repository, String, String) {
    let repository = Repository::new();
    repository.write("old", "1\n");
    let first = repository.commit("first");
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "-m", "x", "heavy"]);
    repository.git(&["branch", "side"]);
    std::fs::remove_file(repository.path.join("old")).unwrap();
    repository.write("app/run", "#!/bin/sh\n");
    let run = repository.path.join("app/run");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
    repository.write("app/data", &"line\n".repeat(10_000));
    std::os::unix::fs::symlink("app/data", repository.path.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", repository.path.join("out")).unwrap();
    let second = repository.commit("second");
    (repository, first, second)
}

#[test]
fn the_default_branch_is_checked_out_as_it_was_committed() {
    let (repository, _, second) = sample();
    let server = repository.serve(|_, _| None);
    let place = Place::new();
    let found = check_out(&place, &source(&server.url("/r.git"))).unwrap();
    assert_eq!(found.commit, second);
    assert_eq!(names(&found.path), ["app", "link", "out"]);
    assert_eq!(
        content(&found.path.join("app/data")),
        "line\n".repeat(10_000).as_bytes()
    );
    let mode = |name: &str| {
        let metadata = std::fs::symlink_metadata(found.path.join(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!(
        (mode("app"), mode("app/run"), mode("app/data")),
        (0o755, 0o755, 0o644)
    );
    assert_eq!(
        std::fs::read_link(found.path.join("out")).unwrap(),
        Path::new("/etc")
    );
    let dated = place
        .network
        .dated(&source(&server.url("/r.git")), &Cancel::new())
        .unwrap();
    assert_eq!(dated.seconds, 1_700_000_001);
}

#[test]
fn every_kind_of_reference_is_found() {
    let (repository, first, second) = sample();
    let server = repository.serve(|_, _| None);
    let url = server.url("/r.git");
    for (reference, commit) in [
        ("main", &second),
        ("refs/heads/main", &second),
        ("side", &first),
        ("light", &first),
        ("heavy", &first),
        ("refs/tags/heavy", &first),
        ("tags/heavy", &first),
        (&second, &second),
        (&first, &first),
        (&second[..8], &second),
    ] {
        let place = Place::new();
        let found = check_out(&place, &at(&url, reference)).unwrap();
        assert_eq!(&found.commit, commit, "{reference}");
        assert_eq!(
            found.path.join("old").exists(),
            *commit == first,
            "{reference}"
        );
    }
    let place = Place::new();
    let failed = failure(&place, &at(&url, "mian"));
    assert!(
        failed.contains(r#"no branch, tag or commit "mian""#),
        "{failed}"
    );
    assert!(failed.contains(r#"did you mean "main"?"#), "{failed}");
    let failed = failure(&place, &at(&url, &"0123456789".repeat(4)));
    assert!(failed.contains("has no object 0123456789"), "{failed}");
}

#[test]
fn a_commit_is_fetched_once() {
    let (repository, first, _) = sample();
    let server = repository.serve(|_, _| None);
    let place = Place::new();
    let url = server.url("/r.git");
    let one = check_out(&place, &at(&url, "main")).unwrap();
    let before = server.seen().len();
    let two = check_out(&place, &at(&url, "main")).unwrap();
    assert_eq!(one, two);
    // What main names, and no more.
    let asked = server.seen().split_off(before);
    let last = asked.last().unwrap();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        last.body.windows(7).any(|seven| seven == b"ls-refs"),
        "{last:?}"
    );
    check_out(&place, &at(&url, &first)).unwrap();
    let before = server.seen().len();
    check_out(&place, &at(&url, &first)).unwrap();
    assert_eq!(server.seen().len(), before);
}

#[test]
fn a_directory_is_inside_or_nothing() {
    let (repository, ..) = sample();
    std::os::unix::fs::symlink("app", repository.path.join("alias")).unwrap();
    repository.commit("alias");
    let server = repository.serve(|_, _| None);
    let place = Place::new();
    let within = |directory: &str| {
        let directory = Some(directory.to_owned());
        let source = source(&server.url("/r.git"));
        check_out(
            &place,
            &GitSource {
                directory,
                ..source
            },
        )
    };
    for directory in ["app", "/app", "app/", "./app", "alias"] {
        assert_eq!(
            names(&within(directory).unwrap().path),
            ["data", "run"],
            "{directory}"
        );
    }
    for directory in ["..", "app/../..", "out", "nothing", "app/run"] {
        let failed = words(&within(directory).unwrap_err());
        assert!(
            failed.contains("the repository has no directory"),
            "{failed}"
        );
    }
}

#[test]
fn the_git_directory_that_is_kept_is_one() {
    let (repository, first, second) = sample();
    let server = repository.serve(|_, _| None);
    let url = server.url("/r.git").replace("//", "//me:secret@");
    for (reference, commit, described) in
        [("main", &second, None), ("heavy", &first, Some("heavy"))]
    {
        let place = Place::new();
        let source = GitSource {
            keep_git_dir: true,
            ..at(&url, reference)
        };
        let found = check_out(&place, &source).unwrap();
        // git takes a repository for the user's only where nobody else could write.
        let git = |args: &[&str]| git(&found.path, args);
        assert_eq!(&git(&["log", "--format=%H"]), commit);
        assert_eq!(git(&["status", "--porcelain"]), "");
        git(&["fsck", "--strict"]);
        if let Some(tag) = described {
            assert_eq!(git(&["describe"]), tag);
        }
        let origin = git(&["remote", "get-url", "origin"]);
        assert!(
            !origin.contains("secret") && origin.ends_with("/r.git"),
            "{origin}"
        );
    }
}

#[test]
fn the_daemon_and_old_servers_are_understood() {
    let (repository, first, second) = sample();
    let daemon = repository.daemon();
    let url = format!("git://127.0.0.1:{}/r.git", daemon.port);
    let place = Place::new();
    assert_eq!(check_out(&place, &source(&url)).unwrap().commit, second);
    assert_eq!(check_out(&place, &at(&url, "heavy")).unwrap().commit, first);
    let failed = failure(&place, &source(&url.replace("r.git", "none")));
    assert!(
        failed.contains("the server says: access denied or repository not exported"),
        "{failed}"
    );
    for version in ["0", "1"] {
        // A server that knows no other.
        repository.git(&["config", "protocol.version", version]);
        repository.git(&["config", "uploadpack.advertiseBundleURIs", "false"]);
        let root = repository.parent.path().to_owned();
        let server = support::servers::Server::start(move |_, request| {
            let mut request = request.clone();
            let asked = format!("version={version}");
            request.headers.insert("git-protocol".to_owned(), asked);
            support::servers::repository::backend(&root, &request)
        });
        let url = server.url("/r.git");
        let place = Place::new();
        assert_eq!(check_out(&place, &source(&url)).unwrap().commit, second);
        assert_eq!(check_out(&place, &at(&url, "heavy")).unwrap().commit, first);
        // It lets have by its name only what a reference names, and all that that is made of.
        let place = Place::new();
        repository.git(&["commit", "-q", "--allow-empty", "-m", "third"]);
        assert_eq!(
            check_out(&place, &at(&url, &second)).unwrap().commit,
            second
        );
        repository.git(&["reset", "-q", "--hard", &second]);
    }
}

#[test]
fn submodules_come_along() {
    let (repository, ..) = sample();
    let inner = repository.parent.path().join("inner.git");
    git(
        repository.parent.path(),
        &["init", "-q", "-b", "main", "inner.git"],
    );
    std::fs::write(inner.join("in"), "side\n").unwrap();
    git(&inner, &["add", "-A"]);
    git(&inner, &["commit", "-q", "-m", "in"]);
    let commit = git(&inner, &["rev-parse", "HEAD"]);
    repository.write(
        ".gitmodules",
        "[submodule \"i\"]\n\tpath = lib/i\n\turl = ../inner.git\n",
    );
    repository.git(&["add", ".gitmodules"]);
    let entry = format!("160000,{commit},lib/i");
    repository.git(&["update-index", "--add", "--cacheinfo", &entry]);
    repository.git(&["commit", "-q", "-m", "module"]);
    let server = repository.serve(|_, _| None);
    let place = Place::new();
    let url = server.url("/r.git");
    let found = check_out(&place, &source(&url)).unwrap();
    assert_eq!(content(&found.path.join("lib/i/in")), b"side\n");
    assert_eq!(names(&found.path.join("lib/i")), ["in"]);
    let kept = GitSource {
        keep_git_dir: true,
        ..source(&url)
    };
    let bare = GitSource {
        submodules: false,
        ..source(&url)
    };
    let empty = check_out(&place, &bare).unwrap();
    assert!(names(&empty.path.join("lib/i")).is_empty());
    let found = check_out(&place, &kept).unwrap();
    assert_eq!(
        git(&found.path.join("lib/i"), &["rev-parse", "HEAD"]),
        commit
    );
    // Nobody says where it comes from.
    repository.git(&["rm", "-q", "--cached", ".gitmodules"]);
    repository.git(&["commit", "-q", "-m", "no modules"]);
    let failed = failure(&place, &source(&url));
    assert!(
        failed.contains(r#"says nothing of where the submodule "lib/i" comes from"#),
        "{failed}"
    );
}

#[test]
fn attributes_are_heeded() {
    let repository = Repository::new();
    repository.write(
        ".gitattributes",
        "*.bat text eol=crlf\n*.id ident\n*.bin binary\n",
    );
    repository.write("sub/.gitattributes", "x.bat -text\n");
    for name in ["a.bat", "sub/x.bat", "sub/y.bat", "a.bin", "plain"] {
        repository.write(name, "one\ntwo\n");
    }
    repository.write("v.id", "$Id$\n");
    repository.commit("attributes");
    let clone = repository.parent.path().join("clone");
    git(repository.parent.path(), &["clone", "-q", "r.git", "clone"]);
    let server = repository.serve(|_, _| None);
    let place = Place::new();
    let found = check_out(&place, &source(&server.url("/r.git"))).unwrap();
    for name in ["a.bat", "sub/x.bat", "sub/y.bat", "a.bin", "plain", "v.id"] {
        assert_eq!(
            content(&found.path.join(name)),
            content(&clone.join(name)),
            "{name}"
        );
    }
    assert_eq!(content(&found.path.join("a.bat")), b"one\r\ntwo\r\n");
}

#[test]
fn what_would_lead_out_is_not_written() {
    let repository = Repository::new();
    repository.write("x", "x");
    repository.commit("first");
    let blob = repository.blob("evil");
    let link = repository.blob("../../../../..");
    let tree = repository.git(&["write-tree"]);
    let server = repository.serve(|_, _| None);
    for (name, kind) in [
        (".git", "40000"),
        (".GIT", "40000"),
        (".g\u{200c}it", "40000"),
        ("git~1", "40000"),
        ("..", "40000"),
        (".", "40000"),
        ("a/b", "100644"),
        (".git", "120000"),
        (".gitmodules", "120000"),
    ] {
        let id = if kind == "40000" { &tree } else { &blob };
        repository.commit_tree(&[(kind, name.as_bytes(), id)]);
        let place = Place::new();
        let failed = failure(&place, &source(&server.url("/r.git")));
        assert!(
            failed.contains("a file of that name is not written"),
            "{name}: {failed}"
        );
    }
    // A link, and a directory that would be in what it leads to.
    repository.commit_tree(&[("120000", b"a", &link), ("40000", b"a", &tree)]);
    let place = Place::new();
    let failed = failure(&place, &source(&server.url("/r.git")));
    assert!(
        failed.contains("cannot make") && failed.contains("exists"),
        "{failed}"
    );
    repository.commit_tree(&[("120000", b"a", &link), ("100644", b"a", &blob)]);
    let failed = failure(&place, &source(&server.url("/r.git")));
    assert!(
        failed.contains("cannot write") && failed.contains("exists"),
        "{failed}"
    );
    assert_eq!(names(place.store.root().join("tmp").as_path()).len(), 1);
}

#[test]
fn what_is_no_repository_says_so() {
    let (repository, ..) = sample();
    let server = repository.serve(|_, request| match request.path.as_str() {
        path if path.starts_with("/page") => {
            Some(reply("200 OK", &["Content-Type: text/html"], b"<p>"))
        }
        path if path.starts_with("/closed") => Some(reply("401 No", &[], b"")),
        _ => None,
    });
    let place = Place::new();
    for (path, expected) in [
        ("/page", "does not speak git's protocol"),
        (
            "/closed",
            "[the server wants a login, or does not let this one in]",
        ),
        ("/none.git", "the server answers 404"),
    ] {
        let failed = failure(&place, &source(&server.url(path)));
        assert!(failed.contains(expected), "{failed}");
    }
    for url in ["/etc", "file:///etc", "-oProxyCommand=x:y"] {
        let failed = failure(&place, &source(url));
        assert!(
            failed.contains("address") || failed.contains("protocol"),
            "{failed}"
        );
    }
    git(repository.parent.path(), &["init", "-q", "empty.git"]);
    let failed = failure(&place, &source(&server.url("/empty.git")));
    assert!(failed.contains("the repository is empty"), "{failed}");
    git(
        repository.parent.path(),
        &["init", "-q", "--object-format=sha256", "new.git"],
    );
    let failed = failure(&place, &source(&server.url("/new.git")));
    assert!(failed.contains("SHA-256"), "{failed}");
}

#[test]
fn a_pack_that_breaks_off_is_asked_for_again() {
    let (repository, _, second) = sample();
    let root = repository.parent.path().to_owned();
    let posts = std::sync::atomic::AtomicUsize::new(0);
    let server = support::servers::Server::start(move |_, request| {
        let mut reply = support::servers::repository::backend(&root, request);
        if request
            .body
            .windows(13)
            .any(|part| part == b"command=fetch")
            && posts.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0
        {
            reply.bytes.truncate(reply.bytes.len() / 2);
        }
        reply
    });
    let place = Place::new();
    assert_eq!(
        check_out(&place, &source(&server.url("/r.git")))
            .unwrap()
            .commit,
        second
    );
}

#[test]
fn a_login_goes_to_its_host_alone() {
    let (repository, _, second) = sample();
    let elsewhere = repository.serve(|_, _| None);
    let target = elsewhere.url("/r.git/info/refs?service=git-upload-pack");
    let location = format!("Location: {target}");
    let first = repository.serve(move |_, _| Some(reply("302 Found", &[&location], b"")));
    let url = first.url("/moved").replace("//", "//me:secret@");
    let place = Place::new();
    assert_eq!(check_out(&place, &source(&url)).unwrap().commit, second);
    assert!(
        first
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_some())
    );
    assert_eq!(first.seen().len(), 1);
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn the_secrets_of_a_build_go_to_the_hosts_that_they_are_for() {
    let (repository, _, second) = sample();
    let elsewhere = repository.serve(|_, _| None);
    let other = elsewhere.url("/r.git");
    repository.write(
        ".gitmodules",
        &format!(
            "[submodule \"a\"]\n\tpath = a\n\turl = ./\n[submodule \"b\"]\n\tpath = b\n\turl = {other}\n"
        ),
    );
    repository.git(&["add", ".gitmodules"]);
    for name in ["a", "b"] {
        let entry = format!("160000,{second},{name}");
        repository.git(&["update-index", "--add", "--cacheinfo", &entry]);
    }
    repository.git(&["commit", "-q", "-m", "modules"]);
    let server = repository.serve(|_, request| match request.header("authorization") {
        None => Some(reply("401 Unauthorized", &[], b"")),
        Some(_) => None,
    });
    let url = server.url("/r.git");
    let failed = failure(&Place::new(), &source(&url));
    assert!(failed.contains("--secret id=GIT_AUTH_TOKEN"), "{failed}");
    let host = url.split('/').nth(2).unwrap();
    let at_host = format!("GIT_AUTH_TOKEN.{host}");
    for (secrets, sent) in [
        (
            vec![("GIT_AUTH_TOKEN", "t")],
            "Basic eC1hY2Nlc3MtdG9rZW46dA==",
        ),
        (vec![("GIT_AUTH_HEADER", "Bearer h")], "Bearer h"),
        (
            vec![("GIT_AUTH_HEADER", "Bearer h"), (&at_host, "t")],
            "Basic eC1hY2Nlc3MtdG9rZW46dA==",
        ),
    ] {
        let secrets = secrets
            .into_iter()
            .map(|(id, value)| (id.to_owned(), Secret(value.as_bytes().to_vec())));
        let place = Place::new();
        let network = Network::new(&place.store).with_logins(Logins::of(&secrets.collect()));
        // Whatever else the address says of the user.
        let before = server.seen().len();
        let url = url.replace("//", "//me:secret@");
        let found = network.git(&source(&url), &Cancel::new()).unwrap();
        assert!(found.path.join("a/app/data").exists() && found.path.join("b/app").exists());
        let seen = server.seen();
        let heard = seen[before..].iter();
        assert!(seen.len() > before + 3);
        assert!(
            heard
                .map(|one| one.header("authorization"))
                .all(|one| one == Some(sent))
        );
    }
    let seen = elsewhere.seen();
    assert!(seen.len() > 3);
    assert!(seen.iter().all(|one| one.header("authorization").is_none()));
}

#[test]
fn a_silent_server_does_not_hold_up_who_cancels() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["git", "http"] {
        let cancel = Cancel::new();
        let other = cancel.clone();
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(200));
            other.cancel();
        });
        let url = format!("{scheme}://127.0.0.1:{port}/r.git");
        let place = Place::new();
        let failed = place.network.git(&source(&url), &cancel).unwrap_err();
        assert!(matches!(failed, RemoteError::Cancelled), "{failed:?}");
    }
}

#[test]
fn ssh_is_the_program_of_that_name() {
    let name = "ssh_is_the_program_of_that_name";
    if let Ok(url) = std::env::var("CHECK_OUT_AGAIN") {
        match check_out(&Place::new(), &source(&url)) {
            Ok(found) => println!("found {}", found.commit),
            Err(error) => println!("failed {}", words(&error)),
        }
        return;
    }
    let (repository, _, second) = sample();
    let bin = repository.parent.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let again = |url: &str, path: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("CHECK_OUT_AGAIN", url)
            .env("PATH", path)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let program = |text: &str| {
        let path = bin.join("ssh");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let url = format!("ssh://me@host:77{}", repository.path.display());
    let none = again(&url, bin.to_str().unwrap());
    assert!(
        none.contains("cannot run ssh") && none.contains("https:// address"),
        "{none}"
    );
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    program("for word; do last=$word; done; echo \"$*\" >\"$0.args\"; eval \"$last\"");
    let found = again(&url, &path);
    assert!(found.contains(&format!("found {second}")), "{found}");
    let args = std::fs::read_to_string(bin.join("ssh.args")).unwrap();
    assert!(
        args.contains("BatchMode=yes") && args.contains("-p 77 -- me@host git-upload-pack '/"),
        "{args}"
    );
    program("echo 'Permission denied (publickey).' >&2; exit 255");
    let failed = again(&url, &path);
    assert!(
        failed.contains("ssh failed: Permission denied (publickey). [the key must"),
        "{failed}"
    );
}
