//! `mkimg run`: published ports and the way out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Env, User, run};

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env
}

/// A container that runs until this is dropped.
struct Server(Child);

impl Server {
    fn start(env: &Env, args: &[&str]) -> Self {
        let mut command = env.command(["run", "--rm"].iter().chain(args));
        Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

/// A port of the loopback that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(Instant::now() < end, "it does not come");
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[test]
fn a_published_port_serves_pages() {
    for user in User::with_ids() {
        let env = env(*user);
        let port = free_port();
        let publish = format!("{port}:80");
        let script = "mkdir /www; echo hello > /www/index.html; head -c 5000000 /dev/urandom > /www/big; \
            sha256sum < /www/big > /www/sum; exec httpd -f -p 80 -h /www";
        let args = [
            "-p", &publish, "--name", "web", "busybox", "sh", "-c", script,
        ];
        let server = Server::start(&env, &args);
        let url = |host: &str, path: &str| format!("http://{host}:{port}/{path}");
        let get = |url: String| {
            let ran = run(env.program("curl").args(["-sf", "--noproxy", "*"]).arg(url));
            (ran.code() == 0).then(|| ran.bytes().to_vec())
        };
        let page = eventually(|| get(url("127.0.0.1", "")));
        assert_eq!(page, b"hello\n");
        assert_eq!(get(url("[::1]", "")).unwrap(), b"hello\n");
        let big = get(url("127.0.0.1", "big")).unwrap();
        let sum = get(url("127.0.0.1", "sum")).unwrap();
        let digest = image_format::digest::Digest::of(&big);
        assert!(sum.starts_with(digest.hex().as_bytes()));
        let listed = env.mkimg(["ps"]).success();
        assert!(
            listed.out().contains(&format!("0.0.0.0:{port}->80/tcp")),
            "{listed:?}"
        );

        // The same port again, and the same name.
        let taken = env
            .mkimg(["run", "--rm", "-p", &publish, "busybox", "true"])
            .exits(125);
        let message = format!("port {port}/tcp is already taken by ");
        assert!(taken.err().contains(&message), "{taken:?}");
        assert!(
            taken
                .err()
                .contains(&format!("(process {})", server.0.id())),
            "{taken:?}"
        );
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert_eq!(env.mkimg(["ps", "-aq"]).out(), "");
    }
}

#[test]
fn a_server_that_is_not_there_is_a_reset() {
    let env = env(User::Own);
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:80");
    let _server = Server::start(&env, &["-p", &publish, "busybox", "sleep", "100"]);
    let error = eventually(|| {
        let mut client = TcpStream::connect(("127.0.0.1", port)).ok()?;
        client.read(&mut [0]).err()
    });
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// The same port of the host's own loopback is another's.
#[test]
fn a_published_port_leads_into_the_container_only() {
    for user in User::with_ids() {
        let env = env(*user);
        let secret = TcpListener::bind("127.0.0.1:0").unwrap();
        secret.set_nonblocking(true).unwrap();
        let inside = secret.local_addr().unwrap().port();
        let port = free_port();
        let publish = format!("127.0.0.1:{port}:{inside}");
        let _server = Server::start(&env, &["-p", &publish, "busybox", "sleep", "100"]);
        let error = eventually(|| {
            let mut client = TcpStream::connect(("127.0.0.1", port)).ok()?;
            client.read(&mut [0]).err()
        });
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let reached = secret.accept().unwrap_err();
        assert_eq!(reached.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn datagrams_are_answered() {
    for user in User::with_ids() {
        let env = env(*user);
        let port = free_port();
        let publish = format!("127.0.0.1:{port}:7/udp");
        // The host's Python, because busybox has no UDP server.
        let script = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
            s.bind((\"\", 7))\nwhile True: s.sendto(*s.recvfrom(65536))\n";
        let host = ["/usr", "/lib", "/lib64"].map(|dir| format!("{dir}:{dir}:ro"));
        let mut args = vec!["-p", &publish];
        host.iter().for_each(|volume| args.extend(["-v", volume]));
        args.extend(["busybox", "/usr/bin/python3", "-c", script]);
        let _server = Server::start(&env, &args);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(("127.0.0.1", port)).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut buffer = [0; 64];
        let got = eventually(|| {
            // Refused while nobody listens yet.
            let _ = client.send(b"echo");
            client.recv(&mut buffer).ok()
        });
        assert_eq!(&buffer[..got], b"echo");
    }
}

#[test]
fn ports_that_cannot_be_had_are_refused_before_anything_is_made() {
    for user in User::with_ids() {
        let env = env(*user);
        let refused = |args: &[&str]| {
            let args = ["run", "--rm"].iter().chain(args);
            env.mkimg(args.chain(&["busybox", "true"]))
                .exits(125)
                .err()
                .to_owned()
        };
        assert!(refused(&["-p", "80:0"]).contains("a number from 1 to 65535"));
        assert!(refused(&["-p", "80/sctp"]).contains("tcp and udp"));
        assert!(refused(&["-p", "192.0.2.77:80:80"]).contains("not an address of this machine"));
        assert!(refused(&["-p", "80", "--network", "none"]).contains("--network none"));
        assert!(refused(&["-p", "80", "--network", "host"]).contains("--network host"));
        assert!(refused(&["--network", "web"]).contains("no network is called"));
        if *user == User::Test {
            assert!(refused(&["-p", "127.0.0.1:81:80"]).contains("ip_unprivileged_port_start"));
        }
        assert!(!env.store().join("containers/v1/names").exists());
    }
}

#[test]
fn a_range_of_ports_and_one_that_is_chosen() {
    let env = env(User::Own);
    let first = free_port();
    let publish = format!("127.0.0.1:{first}-{}:80", first.saturating_add(20));
    let args = [
        "run",
        "--rm",
        "-p",
        &publish,
        "-p",
        "127.0.0.1::81",
        "busybox",
        "true",
    ];
    let ran = env.mkimg(args).success();
    let notes: Vec<&str> = ran.err().lines().collect();
    assert!(
        notes[0].starts_with("note: published 127.0.0.1:"),
        "{ran:?}"
    );
    assert!(notes[0].ends_with("->80/tcp"), "{ran:?}");
    assert!(notes[1].ends_with("->81/tcp"), "{ran:?}");
}

/// An address of this machine that is not on its loopback, so that it can be reached through the way
/// out, and no packet leaves the machine.
fn own_address() -> String {
    let list = std::process::Command::new("hostname")
        .arg("-I")
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let address = list
        .split_whitespace()
        .find(|address| address.contains('.'));
    address.expect("a machine with an IPv4 address").to_owned()
}

#[test]
fn the_way_out_opens_when_it_is_wanted() {
    for user in User::with_ids() {
        let env = env(*user);
        let address = own_address();
        let server = TcpListener::bind((address.as_str(), 0)).unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        std::thread::spawn(move || {
            for client in server.incoming() {
                let mut client = client.unwrap();
                // The whole request in one piece, as short as it is.
                let _ = client.read(&mut [0; 4096]).unwrap();
                let answer = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhost\n";
                client.write_all(answer.as_bytes()).unwrap();
            }
        });
        let url = format!("http://{address}:{port}/");
        let get = |network: &str| {
            env.mkimg([
                "run",
                "--rm",
                "--network",
                network,
                "busybox",
                "wget",
                "-qO-",
                &url,
            ])
        };
        assert_eq!(get("host").success().out(), "host\n");
        assert_ne!(get("none").code(), 0);
        let tun = run(env.program("test").args(["-w", "/dev/net/tun"]));
        let ran = get("private");
        if tun.code() == 0 {
            assert_eq!((ran.out(), ran.err()), ("host\n", ""), "{ran:?}");
            let started = Instant::now();
            assert_eq!(get("private").success().out(), "host\n");
            // No packet is lost while pasta starts: one that is comes again after a second.
            let took = started.elapsed();
            assert!(took < Duration::from_millis(900), "{took:?}");
        } else {
            // It says what is missing, and goes on.
            assert!(
                ran.err().contains("/dev/net/tun cannot be opened"),
                "{ran:?}"
            );
            assert!(ran.err().contains("--network host"), "{ran:?}");
            assert_ne!(ran.code(), 125);
        }
    }
}

#[test]
fn without_pasta_it_says_so_and_goes_on() {
    if !support::is_root() {
        return;
    }
    let env = env(User::Own);
    // A machine without it, for this one process.
    let hide = "mount --bind /dev/null /usr/bin/pasta && exec \"$@\"";
    let mkimg = env.command(["run", "--rm", "busybox", "echo", "runs"]);
    let mut command = env.program("unshare");
    command.env("MKIMG_ROOT", env.store());
    command
        .args(["-m", "sh", "-c", hide, "sh"])
        .arg(mkimg.get_program())
        .args(mkimg.get_args());
    let ran = run(&mut command).success();
    assert_eq!(ran.out(), "runs\n");
    assert!(ran.err().contains("pasta is not installed"), "{ran:?}");
    assert!(ran.err().contains("apt install passt"), "{ran:?}");
}

#[test]
fn no_pasta_is_left_of_a_container_that_was_killed() {
    if !support::is_root() {
        return;
    }
    let env = env(User::Own);
    let address = own_address();
    let script = format!("nc -w 1 {address} 1; echo; exec sleep 100");
    let mut command = env.command(["run", "--rm", "busybox", "sh", "-c", &script]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let parent = child.id().to_string();
    let pasta = || {
        run(env.program("pgrep").args(["-P", &parent, "pas"]))
            .out()
            .trim()
            .to_owned()
    };
    let pid = pasta();
    assert!(!pid.is_empty(), "pasta does not run");
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(|| {
        let state = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        (!state.is_ok_and(|name| name.starts_with("pas"))).then_some(())
    });
}
