//! What is said to a server and understood of it: which references there are, and a pack, please.
//!
//! Source: gitprotocol-v2(5), gitprotocol-pack(5) and gitprotocol-capabilities(5). Version 2 is asked
//! for; servers that know only the older one answer in it.

use std::io::Read;

use gix_hash::ObjectId;

use super::connection::Connection;
use super::error::GitError;
use super::packet::{Band, Packet, delimiter, flush, line};
use super::reference::Reference;

const AGENT: &str = concat!("agent=mkimg/", env!("CARGO_PKG_VERSION"));
/// The most references that are read: GitHub's largest repositories have fewer.
const MOST_REFERENCES: usize = 2_000_000;

/// A server that has said what it can do.
pub struct Session<'a> {
    connection: Box<dyn Connection + 'a>,
    version: Version,
}

enum Version {
    /// 2.
    Two {
        /// Whether it wants to hear which hash names the objects.
        names_format: bool,
    },
    /// 0 and 1.
    Old {
        capabilities: Vec<String>,
        references: Vec<Reference>,
    },
}

/// A pack that comes.
pub struct Pack<'a> {
    /// The commits whose parents the server leaves out.
    pub shallow: Vec<ObjectId>,
    /// Its bytes.
    pub bytes: Band<'a>,
}

impl<'a> Session<'a> {
    /// Begins to talk.
    pub fn open(mut connection: Box<dyn Connection + 'a>) -> Result<Self, GitError> {
        let mut from = connection.greet()?;
        let mut first = Packet::read(&mut from)?;
        if matches!(&first, Packet::Line(line) if line.starts_with(b"# service=")) {
            Packet::read(&mut from)?;
            first = Packet::read(&mut from)?;
        }
        let version = match first {
            Packet::Line(line) if line == b"version 2" => {
                let mut formats = Vec::new();
                while let Some(capability) = Packet::read(&mut from)?.text() {
                    formats.extend(capability.strip_prefix("object-format=").map(str::to_owned));
                }
                refuse_sha256(formats.iter().flat_map(|all| all.split(' ')))?;
                Version::Two {
                    names_format: !formats.is_empty(),
                }
            }
            Packet::Line(line) if line == b"version 1" => {
                let first = Packet::read(&mut from)?;
                read_old(first, &mut from)?
            }
            first => read_old(first, &mut from)?,
        };
        drop(from);
        Ok(Self {
            connection,
            version,
        })
    }

    /// The references whose names begin so; older servers tell all.
    pub fn references(&mut self, prefixes: &[&str]) -> Result<Vec<Reference>, GitError> {
        let names_format = match &self.version {
            Version::Old { references, .. } => return Ok(references.clone()),
            Version::Two { names_format } => *names_format,
        };
        let mut request = command("ls-refs", names_format);
        line(&mut request, "peel");
        for prefix in prefixes {
            line(&mut request, &format!("ref-prefix {prefix}"));
        }
        flush(&mut request);
        let mut from = self.connection.ask(request)?;
        let mut references = Vec::new();
        loop {
            let Packet::Line(line) = Packet::read(&mut from)? else {
                return Ok(references);
            };
            if references.len() >= MOST_REFERENCES {
                return Err(GitError::TooMuch("more than 2,000,000 references"));
            }
            references.extend(reference(&line));
        }
    }

    /// Asks for these objects and all they are made of, with the history of the commits or without.
    pub fn fetch(&mut self, wanted: &[ObjectId], history: bool) -> Result<Pack<'_>, GitError> {
        match &self.version {
            Version::Two { names_format } => {
                let mut request = command("fetch", *names_format);
                line(&mut request, "no-progress");
                line(&mut request, "ofs-delta");
                for id in wanted {
                    line(&mut request, &format!("want {id}"));
                }
                if !history {
                    line(&mut request, "deepen 1");
                }
                line(&mut request, "done");
                flush(&mut request);
                receive(self.connection.ask(request)?)
            }
            Version::Old { capabilities, .. } => {
                let can = |name: &str| capabilities.iter().any(|capability| capability == name);
                if !can("side-band-64k") {
                    return Err(GitError::Protocol("it is too old"));
                }
                let deepens = !history && can("shallow");
                let mut request = Vec::new();
                let mut asked = vec!["side-band-64k", "no-progress", AGENT];
                asked.extend(
                    ["shallow", "ofs-delta"]
                        .into_iter()
                        .filter(|name| can(name)),
                );
                let mut rest = format!(" {}", asked.join(" "));
                for id in wanted {
                    line(
                        &mut request,
                        &format!("want {id}{}", std::mem::take(&mut rest)),
                    );
                }
                if deepens {
                    line(&mut request, "deepen 1");
                }
                flush(&mut request);
                line(&mut request, "done");
                receive_old(self.connection.ask(request)?, deepens)
            }
        }
    }
}

fn command(name: &str, names_format: bool) -> Vec<u8> {
    let mut request = Vec::new();
    line(&mut request, &format!("command={name}"));
    line(&mut request, AGENT);
    if names_format {
        line(&mut request, "object-format=sha1");
    }
    delimiter(&mut request);
    request
}

fn refuse_sha256<'a>(mut formats: impl Iterator<Item = &'a str>) -> Result<(), GitError> {
    match formats.next() {
        None => Ok(()),
        Some("sha1") => Ok(()),
        Some(_) if formats.any(|format| format == "sha1") => Ok(()),
        Some(_) => Err(GitError::Sha256),
    }
}

/// The references of an older server, with what it can do behind the first.
fn read_old(first: Packet, from: &mut dyn Read) -> Result<Version, GitError> {
    let (mut capabilities, mut references) = (Vec::new(), Vec::<Reference>::new());
    let mut packet = first;
    while let Packet::Line(line) = packet {
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let name = parts.next().unwrap_or_default();
        if let Some(text) = parts.next() {
            let text = String::from_utf8_lossy(text);
            capabilities = text.split(' ').map(str::to_owned).collect();
            let formats = capabilities.iter();
            refuse_sha256(formats.filter_map(|one| one.strip_prefix("object-format=")))?;
        } else if capabilities.is_empty() {
            return Err(GitError::Protocol("it does not say what it can do"));
        }
        if references.len() >= MOST_REFERENCES {
            return Err(GitError::TooMuch("more than 2,000,000 references"));
        }
        match reference(name) {
            // What the tag before it is of.
            Some(peeled) if peeled.name.ends_with("^{}") => {
                if let Some(tag) = references.last_mut() {
                    tag.peeled = Some(peeled.id);
                }
            }
            // An empty repository, or `shallow …`.
            Some(none) if none.id.is_null() => {}
            found => references.extend(found),
        }
        packet = Packet::read(from)?;
    }
    Ok(Version::Old {
        capabilities,
        references,
    })
}

/// `ID NAME`, and what follows. References whose names are no text cannot be asked for.
fn reference(line: &[u8]) -> Option<Reference> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split(' ');
    let id = ObjectId::from_hex(words.next()?.as_bytes()).ok()?;
    let name = words.next()?.to_owned();
    let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
    let peeled = peeled.and_then(|id| ObjectId::from_hex(id.as_bytes()).ok());
    Some(Reference { name, id, peeled })
}

fn shallow_line(line: &[u8]) -> Option<ObjectId> {
    ObjectId::from_hex(line.strip_prefix(b"shallow ")?).ok()
}

fn receive(mut from: Box<dyn Read + '_>) -> Result<Pack<'_>, GitError> {
    let mut shallow = Vec::new();
    loop {
        let Packet::Line(section) = Packet::read(&mut from)? else {
            return Err(GitError::Protocol("it sends no pack"));
        };
        if section == b"packfile" {
            return Ok(Pack {
                shallow,
                bytes: Band::new(from),
            });
        }
        while let Packet::Line(line) = Packet::read(&mut from)? {
            shallow.extend(shallow_line(&line));
        }
    }
}

fn receive_old(mut from: Box<dyn Read + '_>, deepens: bool) -> Result<Pack<'_>, GitError> {
    let mut shallow = Vec::new();
    if deepens {
        while let Packet::Line(line) = Packet::read(&mut from)? {
            shallow.extend(shallow_line(&line));
        }
    }
    match Packet::read(&mut from)? {
        Packet::Line(line) if line == b"NAK" || line.starts_with(b"ACK ") => Ok(Pack {
            shallow,
            bytes: Band::new(from),
        }),
        _ => Err(GitError::Protocol("it sends no pack")),
    }
}
