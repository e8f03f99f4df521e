//! Repositories that the git program makes and serves.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Reply, Request, Server, raw};

/// A repository, in a directory of repositories that can be served.
pub struct Repository {
    pub parent: tempfile::TempDir,
    pub path: PathBuf,
}

/// Runs git without anybody's config.
pub fn git(dir: &Path, args: &[&str]) -> String {
    with_input(dir, args, b"")
}

pub fn with_input(dir: &Path, args: &[&str], input: &[u8]) -> String {
    let mut child = command(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git: tests/install installs it");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, value) in [
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "c"),
        ("GIT_COMMITTER_EMAIL", "c@example.org"),
        ("GIT_AUTHOR_DATE", "1700000000 +0000"),
        ("GIT_COMMITTER_DATE", "1700000001 +0100"),
    ] {
        command.env(name, value);
    }
    command
}

impl Repository {
    /// An empty one, with the branch `main`.
    pub fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("r.git");
        git(parent.path(), &["init", "-q", "-b", "main", "r.git"]);
        Self { parent, path }
    }

    pub fn git(&self, args: &[&str]) -> String {
        git(&self.path, args)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits all files; gives the commit's name.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits a tree that git itself would not make: mode, name and object of each entry.
    pub fn commit_tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            let digits = id.as_bytes().chunks(2);
            bytes.extend(
                digits
                    .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()),
            );
        }
        let args = ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"];
        let tree = with_input(&self.path, &args, &bytes);
        let commit = self.git(&["commit-tree", &tree, "-m", "hostile"]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit
    }

    pub fn blob(&self, text: &str) -> String {
        with_input(
            &self.path,
            &["hash-object", "-w", "--stdin"],
            text.as_bytes(),
        )
    }

    /// Serves it over HTTP, as Apache would; requests may be answered otherwise before that.
    pub fn serve(
        &self,
        before: impl Fn(usize, &Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Server {
        let root = self.parent.path().to_owned();
        Server::start(move |number, request| {
            before(number, request).unwrap_or_else(|| backend(&root, request))
        })
    }

    /// Serves it by git's own protocol.
    pub fn daemon(&self) -> Daemon {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let base = format!("--base-path={}", self.parent.path().display());
        let child = command(self.parent.path())
            .args([
                "daemon",
                "--export-all",
                "--listen=127.0.0.1",
                "--reuseaddr",
            ])
            .args([&format!("--port={port}"), &base])
            .stderr(Stdio::null())
            .spawn()
            .expect("git daemon: tests/install installs it");
        let daemon = Daemon { child, port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return daemon;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        panic!("git daemon does not listen");
    }
}

/// A running `git daemon`.
pub struct Daemon {
    child: Child,
    pub port: u16,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It leaves the one that listens behind when it is killed the hard way.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let _ = self.child.wait();
    }
}

/// `git http-backend`, by CGI.
pub fn backend(root: &Path, request: &Request) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut child = command(root)
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env(
            "CONTENT_TYPE",
            request.header("content-type").unwrap_or_default(),
        )
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env(
            "GIT_PROTOCOL",
            request.header("git-protocol").unwrap_or_default(),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&request.body)
        .unwrap();
    let mut bytes = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    child.wait().unwrap();
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
    let headers: Vec<&str> = head
        .lines()
        .filter(|line| !line.starts_with("Status"))
        .collect();
    raw(status.unwrap_or("200 OK"), &headers, &bytes[end + 4..])
}
