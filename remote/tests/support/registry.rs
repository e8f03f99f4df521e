//! What the tests of registries push and pull.

use std::io;
use std::time::Duration;

use super::faulty::{Asked, Fault, Faulty};
use builder::cancel::Cancel;
use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::media_type::{OCI_LAYER, OCI_MANIFEST};
use image_format::reference::Reference;
use remote::registry::credentials::Credentials;
use remote::registry::endpoint::{Endpoint, Transport};
use remote::registry::{
    Access, Registries, RegistryError, Repository, Settings, Source, TagOrDigest,
};

/// Settings that a test makes: hosts that are spoken to without TLS, in order, and logins.
#[derive(Default)]
pub struct Set {
    /// Before the registry itself.
    pub mirrors: Vec<Endpoint>,
    /// By repository; empty for any.
    pub logins: Vec<(&'static str, Credentials)>,
}

/// A host without TLS.
pub fn plain(host: &str, repository: &str) -> Endpoint {
    let mut endpoint = Endpoint::new(host, repository);
    endpoint.transport = Transport::Http;
    endpoint
}

impl Settings for Set {
    fn endpoints(&self, of: &Reference, _: Access) -> Result<Vec<Endpoint>, RegistryError> {
        let mut all = self.mirrors.clone();
        all.push(plain(of.registry(), of.repository()));
        Ok(all)
    }

    fn credentials(&self, _: &str, repository: &str) -> Result<Credentials, RegistryError> {
        let mut logins = self.logins.iter();
        let found = logins.find(|(of, _)| of.is_empty() || *of == repository);
        Ok(found.map_or(Credentials::Anonymous, |(_, login)| login.clone()))
    }
}

/// One repository, and all that is needed to speak to it.
pub struct Client {
    pub registries: Registries,
    pub host: String,
    pub cancel: Cancel,
}

impl Client {
    pub fn new(host: &str) -> Self {
        Self::with(host, Set::default())
    }

    pub fn with(host: &str, settings: Set) -> Self {
        Self::patient(host, settings, Duration::from_secs(60))
    }

    /// Servers may be silent for so long.
    pub fn patient(host: &str, settings: Set, silence: Duration) -> Self {
        Self {
            registries: Registries::patient(settings, silence).unwrap(),
            host: host.to_owned(),
            cancel: Cancel::new(),
        }
    }

    pub fn repository(&self, name: &str, access: Access) -> Repository {
        let reference = format!("{}/{name}", self.host).parse().unwrap();
        self.registries
            .repository(&reference, access, &self.cancel)
            .unwrap()
    }

    pub fn pull(&self) -> Repository {
        self.repository("app", Access::Pull)
    }

    pub fn push(&self) -> Repository {
        self.repository("app", Access::Push)
    }

    pub fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        self.registries.wait(fetch(&self.pull(), descriptor))
    }

    pub fn upload(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        let (digest, source) = (image_format::digest::Digest::of(bytes), Memory::new(bytes));
        let repository = self.push();
        let size = bytes.len() as u64;
        self.registries
            .wait(repository.upload_blob(&digest, size, &source, &mut |_| {}))
    }
}

pub fn tag(name: &str) -> TagOrDigest {
    TagOrDigest::Tag(name.to_owned())
}

/// The words of an error, its causes', and what to do.
pub fn told(error: &RegistryError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    format!("{text} [{}]", error.hint().unwrap_or_default())
}

/// A source in memory.
pub struct Memory(Bytes);

impl Memory {
    pub fn new(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl Source for Memory {
    async fn read_at(&self, offset: u64) -> io::Result<Bytes> {
        let first = usize::try_from(offset).unwrap().min(self.0.len());
        let last = (first + 100_000).min(self.0.len());
        Ok(self.0.slice(first..last))
    }
}

/// Bytes without a pattern.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(size);
    bytes
}

/// A whole blob.
pub async fn fetch(
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, RegistryError> {
    let mut blob = repository.blob(descriptor);
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.next_chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A manifest without layers.
pub const MANIFEST: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

/// A registry with one blob.
pub fn with_blob(
    size: usize,
    fault: impl Fn(&Asked) -> Fault + Send + Sync + 'static,
) -> (Faulty, Vec<u8>, Descriptor) {
    let server = Faulty::start(fault);
    let bytes = noise(size);
    server.put_blob(&bytes);
    let descriptor = Descriptor::of(OCI_LAYER, &bytes);
    (server, bytes, descriptor)
}

pub fn with_manifest(fault: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> (Faulty, Client) {
    let server = Faulty::start(fault);
    server.put_manifest("1", OCI_MANIFEST, MANIFEST);
    let client = Client::new(&server.host());
    (server, client)
}

/// Where the ranges begin that were asked for.
pub fn ranges(server: &Faulty) -> Vec<String> {
    let asked = server.asked().into_iter();
    asked
        .filter_map(|one| one.header("range").map(str::to_owned))
        .collect()
}
