//! The samples, as an ordinary user builds and runs them: on a Debian that mmdebstrap makes, with packages
//! from the registries that this machine reaches; each is asked for its answer.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use support::{Env, User, run};

/// What public registries have and these tests make themselves, in that order.
const BASES: [(&str, &str); 3] = [
    ("python", "python:3-slim"),
    ("node", "node:slim"),
    ("rust", "rust:slim"),
];
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a sample is asked, and what it must say.
enum Answer {
    /// It is run with these arguments; this is in what it writes.
    Says(&'static [&'static str], &'static str),
    /// Its port 8000 is published; this is in the page.
    Serves(&'static str),
    /// It is run in the background; this command, with its port 6379 published at `PORT`, says this.
    Speaks(u16, &'static str, &'static str),
}

use Answer::{Says, Serves, Speaks};

const SAMPLES: [(&str, &[&str], Answer); 10] = [
    ("nginx", &[], Serves("Served by nginx")),
    ("flask", &[], Serves("Hello from Flask, as user 999")),
    ("express", &[], Serves("Hello from Express")),
    ("rust-cli", &[], Says(&["40", "2"], "the sum is 42")),
    (
        "static-c",
        &[],
        Says(&[], "hello from scratch, as user 65534"),
    ),
    (
        "heredocs",
        &["--build-arg", "NAME=sample"],
        Serves("Hello, sample"),
    ),
    ("redis", &[], Speaks(6379, "PING\r\n", "+PONG")),
    ("jq", &[], Says(&["-n", "6 * 7"], "42")),
    ("site", &[], Serves("<h1>Rendered by node</h1>")),
    (
        "secret",
        &["--secret", "id=token,src=token"],
        // sha256 of `swordfish`
        Says(
            &[],
            "b9f195c5cc7ef6afadbfbc42892ad47d3b24c6bc94bb510c4564a90a14e8b799",
        ),
    ),
];

#[test]
fn the_samples_build_and_answer() {
    let user = *User::with_ids().last().unwrap();
    let env = Env::new(user);
    env.write("token", "swordfish");
    import_debian(&env);
    let copied = env.dir("work");
    copy(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/samples")),
        &copied.join("samples"),
    );
    copy(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bases")),
        &copied.join("bases"),
    );
    for (dir, name) in BASES {
        build(&env, &copied.join("bases").join(dir), name, &[]).unwrap();
    }
    let (left, failed) = (Mutex::new(SAMPLES.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((name, flags, answer)) = { left.lock().unwrap().next() } {
                    let context = copied.join("samples").join(name);
                    let done =
                        build(&env, &context, name, flags).and_then(|()| ask(&env, name, answer));
                    match done {
                        Ok(()) => println!("{name}: answered"),
                        Err(error) => failed.lock().unwrap().push(format!("{name}: {error}")),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// A Debian as `debian:bookworm-slim` is, which trusts whom this machine trusts: a registry may be
/// reached through a mirror that has a certificate of its own.
fn import_debian(env: &Env) {
    let tar = env.path("debian.tar");
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap
        .args(["--quiet", "--variant=minbase", "--include=ca-certificates"])
        .arg("--customize-hook=copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs")
        .args(["--dpkgopt=path-exclude=/usr/share/doc/*", "bookworm"])
        .arg(&tar);
    let ran = run(&mut bootstrap);
    assert_eq!(ran.code(), 0, "{ran}");
    env.own(&tar);
    env.mkimg([
        "import",
        "-c",
        "CMD [\"bash\"]",
        "debian.tar",
        "debian:bookworm-slim",
    ])
    .success();
    std::fs::remove_file(tar).unwrap();
}

fn build(env: &Env, context: &Path, name: &str, flags: &[&str]) -> Result<(), String> {
    let mut command = env.command(["build", "-t", name]);
    let ran = run(command.args(flags).arg(context));
    match ran.code() {
        0 => Ok(()),
        _ => Err(ran.to_string()),
    }
}

fn ask(env: &Env, name: &str, answer: &Answer) -> Result<(), String> {
    match answer {
        Says(args, expected) => {
            let mut command = env.command(["run", "--rm", "--network", "none", name]);
            let ran = run(command.args(*args));
            match ran.code() == 0 && ran.out().contains(expected) {
                true => Ok(()),
                false => Err(format!("{expected:?} is missing: {ran}")),
            }
        }
        Serves(expected) => serve(env, name, 8000, "GET / HTTP/1.0\r\n\r\n", expected),
        Speaks(port, request, expected) => serve(env, name, *port, request, expected),
    }
}

/// Runs a server, and sends it a request until it says what is expected.
fn serve(env: &Env, name: &str, port: u16, request: &str, expected: &str) -> Result<(), String> {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let published = format!("127.0.0.1:{free}:{port}");
    let log = std::fs::File::create(env.path(format!("{name}.log"))).unwrap();
    let mut command = env.command(["run", "--rm", "-p", &published, name]);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut server = Server(command.spawn().unwrap());
    let end = Instant::now() + PATIENCE;
    let mut last = String::new();
    while Instant::now() < end && server.0.try_wait().unwrap().is_none() {
        last = exchange(free, request).unwrap_or_default();
        if last.contains(expected) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = std::fs::read_to_string(env.path(format!("{name}.log"))).unwrap();
    Err(format!(
        "{expected:?} is missing in {last:?}; the server wrote:\n{log}"
    ))
}

/// What a server on this machine answers.
fn exchange(port: u16, request: &str) -> std::io::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    // A server that keeps the connection ends nothing: what came is what it says.
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
        if answer.ends_with(b"\r\n") && !request.starts_with("GET") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Copies a tree to where every user can read it.
fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let ran = run(command.args(["-R"]).arg(from).arg(to).stdin(Stdio::null()));
    assert_eq!(ran.code(), 0, "{ran}");
}
