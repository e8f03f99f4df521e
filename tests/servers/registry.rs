//! Debian's registry, `docker-registry`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::authority::Authority;

/// A running registry, on a free port of 127.0.0.1, until it is dropped.
pub struct Registry {
    child: Child,
    pub dir: tempfile::TempDir,
    pub port: u16,
}

/// What a registry is to be told beside where it listens and keeps its data.
#[derive(Default)]
pub struct Config {
    /// Members of `http`, such as `tls`, each line without indentation.
    pub http: String,
    /// Members of the top level, such as `auth` and `proxy`.
    pub top: String,
}

impl Registry {
    /// One without TLS and logins.
    pub fn start() -> Self {
        Self::configured(|_| Config::default())
    }

    /// One with this besides, which may lie in the directory that is given.
    pub fn configured(config: impl FnOnce(&Path) -> Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let Config { http, top } = config(dir.path());
        let indented: String = http.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!(
            "version: 0.1\n\
             log:\n  level: info\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:0\n{indented}{top}",
            dir.path().join("data").display()
        );
        let path = dir.path().join("config.yml");
        std::fs::write(&path, text).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry: tests/install installs it");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let port = port(&mut log);
        // It would stop where nobody reads what it says.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, dir, port }
    }

    /// As it stands in a reference.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The file of a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = "data/docker/registry/v2/blobs/sha256";
        let blobs = self.dir.path().join(blobs);
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// The port, from the line that tells where it listens.
fn port(log: &mut impl BufRead) -> u16 {
    let mut said = String::new();
    loop {
        let start = said.len();
        let read = log.read_line(&mut said).unwrap();
        assert!(read > 0, "docker-registry does not listen:\n{said}");
        if let Some((_, rest)) = said[start..].split_once("listening on 127.0.0.1:") {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            return rest[..end.unwrap_or(rest.len())].parse().unwrap();
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The user of a registry that wants a login.
pub const USER: &str = "tester";
/// Its password.
pub const PASSWORD: &str = "right:one";

/// What a registry is told so that it wants the login of [`USER`].
pub fn basic_auth(dir: &Path) -> Config {
    let path = dir.join("htpasswd");
    // bcrypt of the password
    std::fs::write(
        &path,
        "tester:$2b$05$UqOgxfvyuKmRpxWA9ITqx.MYaZ6u0SGxecNGI40hHngnjn1Vu4qXe\n",
    )
    .unwrap();
    let top = format!(
        "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
        path.display()
    );
    Config {
        top,
        ..Config::default()
    }
}

/// What a registry is told so that it speaks TLS alone, with a certificate of the authority's; with
/// `clients` only to who has one of its certificates too.
pub fn with_tls(authority: &Authority, clients: bool) -> Config {
    let server = authority.issue("server");
    let mut http = format!(
        "tls:\n  certificate: {}\n  key: {}\n",
        server.certificate.display(),
        server.key.display()
    );
    if clients {
        let ca = authority.certificate();
        http += &format!("  clientcas:\n    - {}\n", ca.display());
    }
    Config {
        http,
        ..Config::default()
    }
}
