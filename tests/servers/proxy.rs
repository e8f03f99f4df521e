//! An HTTP proxy, which knows hosts that nobody else knows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy on loopback, until the test's process ends.
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// One that reaches these hosts and ports where they really are.
    pub fn start(hosts: &[(&str, u16)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let hosts = hosts.iter().map(|(host, port)| ((*host).to_owned(), *port));
        let hosts: Arc<BTreeMap<String, u16>> = Arc::new(hosts.collect());
        let all = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (hosts, all) = (Arc::clone(&hosts), Arc::clone(&all));
                // A client may go away in the middle.
                std::thread::spawn(move || serve(stream.unwrap(), &hosts, &all));
            }
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    hosts: &BTreeMap<String, u16>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut client = BufReader::new(stream);
    let mut line = String::new();
    client.read_line(&mut line)?;
    asked.lock().unwrap().push(line.trim_end().to_owned());
    let words: Vec<&str> = line.split_whitespace().collect();
    let [method, target, _] = words[..] else {
        return Ok(());
    };
    let (host, path) = match target.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => (target, ""),
    };
    let Some(port) = hosts.get(host) else {
        let answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.get_mut().write_all(answer);
    };
    let mut server = TcpStream::connect(("127.0.0.1", *port))?;
    if method == "CONNECT" {
        let mut header = String::new();
        while client.read_line(&mut header)? > 2 {
            header.clear();
        }
        client.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    } else {
        // The next request over this connection would be for another path.
        write!(server, "{method} {path} HTTP/1.1\r\nConnection: close\r\n")?;
        let mut header = String::new();
        while client.read_line(&mut header)? > 0 {
            let is_end = header.trim_end().is_empty();
            if !header.to_lowercase().starts_with("connection:") {
                server.write_all(header.as_bytes())?;
            }
            if is_end {
                break;
            }
            header.clear();
        }
    }
    let (mut back, mut to) = (server.try_clone()?, client.get_ref().try_clone()?);
    let answers = std::thread::spawn(move || {
        let copied = std::io::copy(&mut back, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        copied
    });
    // What was read ahead goes first.
    let copied = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = answers.join();
    copied.map(drop)
}
