//! A registry in memory that does whatever can go wrong: it cuts, stalls, corrupts, refuses and redirects
//! as a test wants. It does what the protocol says otherwise, ranges and resumed uploads included.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use image_format::digest::Digest;

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// This is answered instead: status, headers, body.
    Answer(u16, Vec<String>, Vec<u8>),
    /// The right answer, with these headers besides.
    Adding(Vec<String>),
    /// The connection ends after so many bytes of the answer's body.
    Cut(usize),
    /// Silence after so many bytes of the answer's body.
    Stall(usize),
    /// The answer's body comes in so many pieces, with a tenth of a second between.
    Drip(usize),
    /// A byte of the answer's body is another.
    Corrupt,
    /// The request is ignored, and the connection ends.
    Hangup,
    /// The connection ends after so many bytes of the request's body, which are kept.
    CutUpload(usize),
    /// No more than so many bytes of the request's body are read.
    StallUpload(usize),
    /// All is done, and the connection ends without an answer.
    Mute,
}

pub fn answer(status: u16, headers: &[&str], body: &str) -> Fault {
    let headers = headers.iter().map(|&header| header.to_owned()).collect();
    Fault::Answer(status, headers, body.as_bytes().to_vec())
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Counts from 0.
    pub number: usize,
    /// Counts connections from 0.
    pub connection: usize,
    pub method: String,
    /// With the query.
    pub path: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// How often this method and path were asked for before.
    pub before: usize,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

#[derive(Default)]
pub struct Content {
    pub blobs: HashMap<String, Vec<u8>>,
    /// By tag or digest: media type and bytes.
    pub manifests: HashMap<String, (String, Vec<u8>)>,
    pub uploads: HashMap<String, Vec<u8>>,
    pub asked: Vec<Asked>,
    /// The bodies of POSTs that are no uploads.
    pub posted: Vec<String>,
    connections: usize,
}

/// A registry on loopback, until the test's process ends.
#[derive(Clone)]
pub struct Faulty {
    pub address: SocketAddr,
    pub content: Arc<Mutex<Content>>,
}

impl Faulty {
    /// One where this goes wrong.
    pub fn start(fault: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let content = Arc::new(Mutex::new(Content::default()));
        let (shared, fault) = (Arc::clone(&content), Arc::new(fault));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, fault) = (Arc::clone(&shared), Arc::clone(&fault));
                let connection = {
                    let mut content = shared.lock().unwrap();
                    content.connections += 1;
                    content.connections - 1
                };
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some(asked) = read_head(&mut stream, connection, &shared) {
                        let fault = fault(&asked);
                        if serve(&mut stream, &asked, fault, &shared).is_none() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, content }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn put_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut content = self.content.lock().unwrap();
        content.blobs.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    pub fn put_manifest(&self, tag: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut content = self.content.lock().unwrap();
        for name in [tag, &digest.to_string()] {
            let manifest = (media_type.to_owned(), bytes.to_vec());
            content.manifests.insert(name.to_owned(), manifest);
        }
        digest
    }

    pub fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let content = self.content.lock().unwrap();
        content.blobs.get(&digest.to_string()).cloned()
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.content.lock().unwrap().asked.clone()
    }

    /// Method and path of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        let asked = self.asked().into_iter();
        asked
            .map(|one| format!("{} {}", one.method, one.path))
            .collect()
    }

    pub fn connections(&self) -> usize {
        self.content.lock().unwrap().connections
    }
}

fn read_head(
    stream: &mut BufReader<TcpStream>,
    connection: usize,
    content: &Mutex<Content>,
) -> Option<Asked> {
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
    let mut content = content.lock().unwrap();
    let before = content.asked.iter();
    let before = before
        .filter(|one| one.method == method && one.path == path)
        .count();
    let asked = Asked {
        number: content.asked.len(),
        connection,
        method,
        path,
        headers,
        before,
    };
    content.asked.push(asked.clone());
    Some(asked)
}

fn serve(
    stream: &mut BufReader<TcpStream>,
    asked: &Asked,
    fault: Fault,
    content: &Mutex<Content>,
) -> Option<()> {
    if matches!(fault, Fault::Hangup) {
        return None;
    }
    let length: usize = asked
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let most = match fault {
        Fault::CutUpload(most) | Fault::StallUpload(most) => most.min(length),
        _ => length,
    };
    let mut body = vec![0; most];
    stream.read_exact(&mut body).ok()?;
    if matches!(fault, Fault::CutUpload(_) | Fault::StallUpload(_)) {
        keep(asked, &body, &mut content.lock().unwrap());
        if matches!(fault, Fault::StallUpload(_)) {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
        return None;
    }
    if let Fault::Answer(status, headers, answer) = &fault {
        if asked.method == "POST" && !asked.path.contains("/blobs/uploads/") {
            let text = String::from_utf8(body).unwrap();
            content.lock().unwrap().posted.push(text);
        }
        return write(stream, asked, *status, headers, answer, answer.len());
    }
    let (status, mut headers, mut answer) = right(asked, &body, &mut content.lock().unwrap());
    let whole = answer.len();
    match &fault {
        Fault::Adding(others) => headers.extend(others.iter().cloned()),
        Fault::Corrupt => {
            if let Some(byte) = answer.last_mut() {
                *byte ^= 1;
            }
        }
        Fault::Cut(most) | Fault::Stall(most) => answer.truncate(*most),
        Fault::Mute => return None,
        _ => {}
    }
    if let Fault::Drip(pieces) = fault {
        let mut pieces = answer.chunks(answer.len().div_ceil(pieces));
        let first = pieces.next().unwrap_or_default();
        write(stream, asked, status, &headers, first, whole)?;
        for piece in pieces {
            std::thread::sleep(std::time::Duration::from_millis(100));
            stream.get_mut().write_all(piece).ok()?;
        }
        return Some(());
    }
    write(stream, asked, status, &headers, &answer, whole)?;
    if matches!(fault, Fault::Stall(_)) {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
    (answer.len() == whole).then_some(())
}

fn write(
    stream: &mut BufReader<TcpStream>,
    asked: &Asked,
    status: u16,
    headers: &[String],
    body: &[u8],
    length: usize,
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status} X\r\n");
    if !headers
        .iter()
        .any(|header| header.to_lowercase().starts_with("content-length"))
    {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str("\r\n");
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes()).ok()?;
    if asked.method != "HEAD" {
        stream.write_all(body).ok()?;
    }
    stream.flush().ok()
}

type Answered = (u16, Vec<String>, Vec<u8>);

/// What a registry answers.
fn right(asked: &Asked, body: &[u8], content: &mut Content) -> Answered {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let nothing = (
        404,
        vec![],
        br#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#.to_vec(),
    );
    if path == "/v2/" {
        return (200, vec![], b"{}".to_vec());
    }
    if let Some((_, name)) = path.split_once("/manifests/") {
        return manifest(asked, name, body, content);
    }
    if path.contains("/blobs/uploads/") {
        return upload(asked, path, query, body, content);
    }
    let Some((_, name)) = path.split_once("/blobs/") else {
        return nothing;
    };
    let Some(blob) = content.blobs.get(name) else {
        return nothing;
    };
    let first = asked.header("range").map(|range| {
        let range = range
            .strip_prefix("bytes=")
            .unwrap()
            .strip_suffix('-')
            .unwrap();
        range.parse::<usize>().unwrap()
    });
    match first {
        Some(first) => {
            let range = format!(
                "Content-Range: bytes {first}-{}/{}",
                blob.len() - 1,
                blob.len()
            );
            (206, vec![range], blob[first..].to_vec())
        }
        None => (200, vec![], blob.clone()),
    }
}

fn manifest(asked: &Asked, name: &str, body: &[u8], content: &mut Content) -> Answered {
    if asked.method == "PUT" {
        let media_type = asked.header("content-type").unwrap().to_owned();
        let digest = Digest::of(body).to_string();
        for name in [name, &digest] {
            let manifest = (media_type.clone(), body.to_vec());
            content.manifests.insert(name.to_owned(), manifest);
        }
        return (
            201,
            vec![format!("Docker-Content-Digest: {digest}")],
            vec![],
        );
    }
    if asked.method == "DELETE" {
        content.manifests.remove(name);
        return (202, vec![], vec![]);
    }
    let Some((media_type, bytes)) = content.manifests.get(name) else {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        return (404, vec![], body.to_vec());
    };
    let headers = vec![
        format!("Content-Type: {media_type}"),
        format!("Docker-Content-Digest: {}", Digest::of(bytes)),
    ];
    (200, headers, bytes.clone())
}

fn upload(asked: &Asked, path: &str, query: &str, body: &[u8], content: &mut Content) -> Answered {
    let parameter = |name: &str| {
        let all = query.split('&');
        let found = all
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)?;
        Some(found.1.replace("%3A", ":"))
    };
    if asked.method == "POST" {
        if parameter("mount").is_some_and(|digest| content.blobs.contains_key(&digest)) {
            return (201, vec![], vec![]);
        }
        let id = format!("u{}", asked.number);
        content.uploads.insert(id.clone(), Vec::new());
        return (202, vec![format!("Location: {path}{id}?state=0")], vec![]);
    }
    let id = path.rsplit('/').next().unwrap().to_owned();
    let Some(known) = content.uploads.get(&id).map(Vec::len) else {
        let body = br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#;
        return (404, vec![], body.to_vec());
    };
    if asked.method == "DELETE" {
        content.uploads.remove(&id);
        return (204, vec![], vec![]);
    }
    let first = asked.header("content-range").map(|range| {
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(last + 1 - first, body.len(), "the range is true");
        first
    });
    if first.is_some_and(|first| first != known) {
        return (416, range(path, known), vec![]);
    }
    keep(asked, body, content);
    let known = content.uploads[&id].len();
    let Some(digest) = parameter("digest") else {
        let status = if asked.method == "GET" { 204 } else { 202 };
        return (status, range(path, known), vec![]);
    };
    let bytes = content.uploads.remove(&id).unwrap();
    if Digest::of(&bytes).to_string() != digest {
        let body =
            br#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}"#;
        return (400, vec![], body.to_vec());
    }
    content.blobs.insert(digest.clone(), bytes);
    (
        201,
        vec![format!("Docker-Content-Digest: {digest}")],
        vec![],
    )
}

fn keep(asked: &Asked, body: &[u8], content: &mut Content) {
    let path = asked.path.split('?').next().unwrap();
    let id = path.rsplit('/').next().unwrap();
    if let Some(upload) = content.uploads.get_mut(id) {
        upload.extend_from_slice(body);
    }
}

fn range(path: &str, known: usize) -> Vec<String> {
    let range = format!("Range: 0-{}", known.saturating_sub(1));
    vec![format!("Location: {path}?state={known}"), range]
}
