//! A web server for one directory: `server DIRECTORY PORT`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The most bytes of a request's head that are read.
const LARGEST_HEAD: u64 = 16 << 10;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(port)) = (args.next(), args.next()) else {
        eprintln!("usage: server DIRECTORY PORT");
        std::process::exit(2);
    };
    let port: u16 = port.parse().map_err(io::Error::other)?;
    // IPv4, too, where both are there
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
    println!("serving {directory} on port {port}");
    for stream in listener.incoming() {
        let directory = PathBuf::from(&directory);
        std::thread::spawn(move || stream.and_then(|stream| answer(&directory, stream)));
    }
    Ok(())
}

fn answer(directory: &Path, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new((&stream).take(LARGEST_HEAD)).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    // the rest of the head has to be read, or closing would reset the connection
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut words = request.split(' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET" | "HEAD"), Some(path)) => match read(directory, path) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", b"There is no such page.\n".to_vec()),
        },
        _ => ("400 Bad Request", b"Only GET is understood.\n".to_vec()),
    };
    let kind = match status {
        "200 OK" if !request.contains(".txt") => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    println!("{status} {request}");
    write!(
        stream,
        "HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    if !request.starts_with("HEAD") {
        stream.write_all(&body)?;
    }
    Ok(())
}

fn read(directory: &Path, path: &str) -> io::Result<Vec<u8>> {
    let path = Path::new(path.split('?').next().unwrap_or_default());
    let names = path.components().filter(|name| *name != Component::RootDir);
    let mut file = directory.to_owned();
    for name in names {
        let Component::Normal(name) = name else {
            return Err(io::ErrorKind::NotFound.into());
        };
        file.push(name);
    }
    if file.is_dir() {
        file.push("index.html");
    }
    std::fs::read(file)
}
