//! A hermetic place for one test: a directory, a store and an environment of its own, for one user.
//!
//! ```text
//! for user in User::all() {
//!     let env = Env::new(user);                    /tmp/mkimg-test-…, the user's own
//!     env.import_busybox("busybox");               a base image with a shell
//!     env.write("context/Dockerfile", "FROM busybox\nRUN true\n");
//!     env.mkimg(["build", "-t", "x", "context"]).success();
//! }
//! ```
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod base;

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Whom mkimg runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever started the tests: root, or somebody else.
    Own,
    /// `mkimg-test`, who has a range of subordinate ids; only for tests that root started.
    Test,
    /// `mkimg-lone`, who has none; only for tests that root started.
    Lone,
}

impl User {
    /// All that the tests can run mkimg as.
    pub fn all() -> &'static [User] {
        if is_root() {
            &[User::Own, User::Test, User::Lone]
        } else {
            &[User::Own]
        }
    }

    /// Those who have more ids than their own: who can do everything.
    pub fn with_ids() -> &'static [User] {
        if is_root() {
            &[User::Own, User::Test]
        } else {
            &[User::Own]
        }
    }

    /// The name; `None` for the own user.
    fn name(self) -> Option<&'static str> {
        match self {
            User::Own => None,
            User::Test => Some("mkimg-test"),
            User::Lone => Some("mkimg-lone"),
        }
    }

    /// User and group id; `None` for the own user.
    fn ids(self) -> Option<(u32, u32)> {
        let name = self.name()?;
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))
            .unwrap_or_else(|| panic!("there is no user {name}: tests/install adds it"));
        let id = |field| line.split(':').nth(field).unwrap().parse().unwrap();
        Some((id(2), id(3)))
    }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory, a store and an environment for one user; gone when dropped.
pub struct Env {
    dir: PathBuf,
    user: User,
    binary: PathBuf,
}

impl Env {
    /// A new one, with nothing in its store.
    pub fn new(user: User) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("mkimg-test-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        let binary = reachable_binary(&dir);
        let env = Self { dir, user, binary };
        env.own(env.dir.clone());
        for name in ["home", "tmp"] {
            env.dir(name);
        }
        env
    }

    /// Whom it belongs to.
    pub fn user(&self) -> User {
        self.user
    }

    /// A path in its directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Makes a directory, and those above it.
    pub fn dir(&self, name: impl AsRef<Path>) -> PathBuf {
        let name = name.as_ref();
        for part in name.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let path = self.path(part);
            if !path.exists() {
                std::fs::create_dir(&path).unwrap();
                self.own(path);
            }
        }
        self.path(name)
    }

    /// Writes a file, and makes the directories above it.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let name = name.as_ref();
        self.dir(name.parent().unwrap());
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        self.own(path.clone());
        path
    }

    /// Gives a path to the user.
    pub fn own(&self, path: impl AsRef<Path>) {
        if let Some((uid, gid)) = self.user.ids() {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// mkimg's command as the user, with nothing else in its environment than what it needs.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(&self.binary);
        command.env("MKIMG_ROOT", self.store()).args(args);
        command
    }

    /// Any program as the user, in the directory of this place.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            // else the machine's, which is root's alone where root's podman made it first
            .env("XDG_RUNTIME_DIR", self.path("home"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        if let Some((uid, gid)) = self.user.ids() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs mkimg to its end.
    pub fn mkimg<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        run(&mut self.command(args))
    }

    /// Runs mkimg to its end, with this on its standard input.
    pub fn mkimg_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Ran {
        let mut command = self.command(args);
        run_with_input(&mut command, input)
    }

    /// Makes an image of these files and no config; gives its ID.
    pub fn import_files(&self, name: &str, files: &[(&str, &str)]) -> String {
        let ran = self.mkimg_with_input(["import", "-", name], &base::files(files));
        ran.success().line().to_owned()
    }

    /// Makes a base image out of the host's static busybox: a shell, all its applets, `/etc/passwd` with root
    /// and `app` (1000), `/etc/group`, `/tmp`.
    pub fn import_busybox(&self, name: &str) {
        let tar = base::busybox();
        self.mkimg_with_input(["import", "-c", "CMD [\"sh\"]", "-", name], &tar)
            .success();
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.dir).is_ok() || is_root() {
            return;
        }
        // What subordinate users own, only their namespace can remove.
        let _ = Command::new("unshare")
            .args(["--map-root-user", "--map-auto", "rm", "-rf", "--"])
            .arg(&self.dir)
            .status();
    }
}

/// The binary under test, at a path that every user can reach.
fn reachable_binary(dir: &Path) -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_mkimg"));
    let open = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o001 != 0;
    if binary.ancestors().all(open) {
        return binary;
    }
    let copy = dir.join("mkimg");
    std::fs::copy(&binary, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output();
    Ran::new(command, output)
}

/// Runs a command to its end, with this on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A command that does not read it all is for the test to judge.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output()
    });
    Ran::new(command, output)
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    command: String,
    output: Output,
}

impl Ran {
    fn new(command: &Command, output: std::io::Result<Output>) -> Self {
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        Self {
            command: words.join(" "),
            output,
        }
    }

    /// The exit code, 128 and the signal's number where one killed it.
    pub fn code(&self) -> i32 {
        let status = self.output.status;
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    /// Standard output; must be text.
    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.output.stdout).unwrap()
    }

    /// Standard output.
    pub fn bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    /// Standard error; must be text.
    pub fn err(&self) -> &str {
        std::str::from_utf8(&self.output.stderr).unwrap()
    }

    /// Standard output without the line end.
    pub fn line(&self) -> &str {
        let out = self.out();
        assert!(out.ends_with('\n'), "no line: {out:?}");
        out.trim_end_matches('\n')
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|e| panic!("{self}: {e}"))
    }

    /// Fails the test unless the command was successful.
    #[track_caller]
    pub fn success(self) -> Self {
        self.exits(0)
    }

    /// Fails the test unless the command exited with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self}");
        self
    }

    /// Fails the test unless standard error has all of these.
    #[track_caller]
    pub fn says<const N: usize>(self, words: [&str; N]) -> Self {
        for word in words {
            assert!(self.err().contains(word), "{word:?} is missing: {self}");
        }
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
        writeln!(f, "{} -> {}", self.command, self.output.status)?;
        writeln!(f, "--- stdout\n{}", lossy(&self.output.stdout))?;
        writeln!(f, "--- stderr\n{}", lossy(&self.output.stderr))
    }
}

/// A case that others wrote; `None`, and a word, where they are not at hand.
pub fn corpus(name: &str) -> Option<PathBuf> {
    let dir = std::env::var("MKIMG_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora").to_owned());
    let path = PathBuf::from(dir).join(name);
    if path.exists() {
        return Some(path);
    }
    println!("{} is not there: not run", path.display());
    None
}
