//! A small HTTP server that answers as a test wants, here and in the tests of `remote`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod authority;
pub mod proxy;
pub mod registry;
pub mod repository;
pub mod tokens;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte of the range that is asked for.
    pub fn range(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// Bytes that are sent, and whether the connection then stays open in silence.
pub struct Reply {
    pub bytes: Vec<u8>,
    pub hangs: bool,
}

/// A status, headers and a body, whose length is told.
pub fn reply(status: &str, headers: &[&str], body: &[u8]) -> Reply {
    let length = format!("Content-Length: {}", body.len());
    let headers: Vec<&str> = headers.iter().copied().chain([length.as_str()]).collect();
    raw(status, &headers, body)
}

/// The same with no header but these.
pub fn raw(status: &str, headers: &[&str], body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {status}\r\nConnection: close\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    let hangs = false;
    Reply { bytes, hangs }
}

/// Wraps a connection, as in TLS.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A server on loopback, until the test's process ends.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request, of which the first has number 0.
    pub fn start(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::wrapped(|stream| Box::new(stream), answer)
    }

    pub fn wrapped(
        wrap: impl Fn(std::net::TcpStream) -> Box<dyn Stream> + Send + Sync + 'static,
        answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (all, wrap, answer) = (Arc::clone(&seen), Arc::new(wrap), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (all, wrap, answer) =
                    (Arc::clone(&all), Arc::clone(&wrap), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(wrap(stream.unwrap()));
                    let Some(request) = read(&mut stream) else {
                        return;
                    };
                    let number = {
                        let mut all = all.lock().unwrap();
                        all.push(request.clone());
                        all.len() - 1
                    };
                    let reply = answer(number, &request);
                    let stream = stream.get_mut();
                    // The client may have seen enough.
                    let _ = stream.write_all(&reply.bytes).and_then(|()| stream.flush());
                    if reply.hangs {
                        let _ = stream.read(&mut [0]);
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &mut BufReader<Box<dyn Stream>>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        headers,
        body,
    })
}
