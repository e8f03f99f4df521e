//! Manifests and indexes on the way.
//!
//! Source: OCI distribution specification 1.1, "Pulling manifests" and "Pushing Manifests".

use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::media_type::{self, DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::RegistryError;
use super::place::{Ask, Place};
use super::repository::{Manifest, Put, TagOrDigest};

/// Registries take manifests of this size at least, and most no longer ones.
pub const LONGEST_MANIFEST: usize = 4 * 1024 * 1024;

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.artifact.manifest.v1+json;q=0.5, */*;q=0.1";
const SCHEMA_1: &str = "of docker's schema 1, which is out of use since 2016 because what it names is \
    not checked by digests: push the image again with a tool of today";
const DIGEST: &str = "docker-content-digest";
const SUBJECT: &str = "oci-subject";

/// What tells the kinds of manifests apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

impl Place {
    async fn manifest_request(
        &self,
        method: Method,
        which: &TagOrDigest,
    ) -> Result<Ask, RegistryError> {
        let url = self.url(&format!("manifests/{}", which.tail())).await?;
        let what = format!("manifest {}{}", self.endpoint.repository, which.suffix());
        Ok(Ask::new(method, url, &what).with(ACCEPT, HeaderValue::from_static(ACCEPTED)))
    }

    /// What a tag or digest names, if the registry says enough without sending it.
    pub async fn resolve(&self, which: &TagOrDigest) -> Result<Option<Descriptor>, RegistryError> {
        let ask = self.manifest_request(Method::HEAD, which).await?;
        let response = self.send(&ask).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(self.refusal(response, &ask.what).await?),
            // Some do not know HEAD; what is wrong otherwise, the body of GET's answer says.
            _ => return Ok(None),
        }
        let headers = response.headers();
        let media_type = content_type(headers);
        if media_type.as_deref().is_some_and(is_schema_1) {
            return Err(self.unsupported(&ask.what));
        }
        let known = media_type.filter(|media_type| is_known(media_type));
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|text| text.to_str().ok()?.parse().ok());
        let (Some(media_type), Some(size), Some(found)) = (known, length, digest(headers)) else {
            return Ok(None);
        };
        self.check_digest(&ask.what, which, found)?;
        Ok(Some(Descriptor::new(&media_type, found, size)))
    }

    pub async fn manifest(&self, which: &TagOrDigest) -> Result<Manifest, RegistryError> {
        let ask = self.manifest_request(Method::GET, which).await?;
        let mut attempts = self.attempts();
        let (headers, bytes) = loop {
            let response = self.send_counted(&ask, &mut attempts).await?;
            if response.status() != StatusCode::OK {
                return Err(self.refusal(response, &ask.what).await?);
            }
            let headers = response.headers().clone();
            match self.body(response, &ask.what, LONGEST_MANIFEST).await {
                Ok(bytes) => break (headers, bytes),
                Err(error) if super::place::may_pass(&error) => {
                    attempts.wait(&self.cancel, error.into()).await?;
                }
                Err(error) => return Err(error),
            }
        };
        let media_type = self.media_type(&ask.what, &headers, &bytes)?;
        let found = Digest::of(&bytes);
        self.check_digest(&ask.what, which, found)?;
        if let Some(expected) = digest(&headers).filter(|expected| *expected != found) {
            return Err(self.wrong_digest(&ask.what, expected, found));
        }
        Ok(Manifest {
            descriptor: Descriptor::new(&media_type, found, bytes.len() as u64),
            bytes,
        })
    }

    pub async fn put_manifest(
        &self,
        which: &TagOrDigest,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, RegistryError> {
        let own = Digest::of(&bytes);
        let mut ask = self.manifest_request(Method::PUT, which).await?;
        self.check_digest(&ask.what, which, own)?;
        let media_type = HeaderValue::from_str(media_type)
            .map_err(|_| self.protocol(&ask.what, "its media type cannot stand in a header"))?;
        ask = ask.with(CONTENT_TYPE, media_type);
        ask.body = Some(bytes);
        let response = self.send(&ask).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, &ask.what).await?);
        }
        // Old ones rewrite manifests for old clients, and ours is not what it was then.
        if let Some(found) = digest(response.headers()).filter(|found| *found != own) {
            return Err(self.wrong_digest(&ask.what, own, found));
        }
        Ok(Put {
            digest: own,
            subject_is_noted: response.headers().contains_key(SUBJECT),
        })
    }

    pub async fn delete_manifest(&self, which: &TagOrDigest) -> Result<(), RegistryError> {
        let ask = self.manifest_request(Method::DELETE, which).await?;
        let response = self.send(&ask).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(self.refusal(response, &ask.what).await?),
        }
    }

    /// The media type of a manifest. Header and content must agree: what is an image to one reader must
    /// not be an index to another (CVE-2021-41190).
    fn media_type(
        &self,
        what: &str,
        headers: &HeaderMap,
        bytes: &[u8],
    ) -> Result<String, RegistryError> {
        let announced = content_type(headers);
        if announced.as_deref().is_some_and(is_schema_1) {
            return Err(self.unsupported(what));
        }
        let shape: Shape = serde_json::from_slice(bytes)
            .map_err(|_| self.protocol(what, "what it sends is no manifest"))?;
        if shape.schema_version == Some(1) || shape.fs_layers.is_some() {
            return Err(self.unsupported(what));
        }
        let announced = announced.filter(|announced| is_known(announced));
        if let (Some(announced), Some(inner)) = (&announced, &shape.media_type)
            && announced != inner
        {
            let problem = "its answer and the manifest in it disagree about the kind of manifest";
            return Err(self.protocol(what, problem));
        }
        let is_image = shape.config.is_some() || shape.layers.is_some();
        let found = announced.or(shape.media_type).unwrap_or_else(|| {
            let kind = if is_image { OCI_MANIFEST } else { OCI_INDEX };
            kind.to_owned()
        });
        let is_both = media_type::is_index(&found) && is_image
            || media_type::is_manifest(&found) && shape.manifests.is_some();
        if is_both || !is_image && shape.manifests.is_none() && is_known(&found) {
            return Err(self.protocol(what, "what it sends is no manifest"));
        }
        Ok(found)
    }

    fn check_digest(
        &self,
        what: &str,
        which: &TagOrDigest,
        found: Digest,
    ) -> Result<(), RegistryError> {
        match which {
            TagOrDigest::Digest(expected) if *expected != found => {
                Err(self.wrong_digest(what, *expected, found))
            }
            _ => Ok(()),
        }
    }

    pub fn wrong_digest(&self, what: &str, expected: Digest, found: Digest) -> RegistryError {
        RegistryError::WrongDigest {
            host: self.host().to_owned(),
            what: what.to_owned(),
            expected,
            found,
        }
    }

    fn unsupported(&self, what: &str) -> RegistryError {
        RegistryError::Unsupported {
            host: self.host().to_owned(),
            what: what.to_owned(),
            kind: SCHEMA_1.to_owned(),
        }
    }
}

/// `Docker-Content-Digest`, where it is one that can be checked.
pub fn digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DIGEST)?.to_str().ok()?.parse().ok()
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = text.split(';').next()?.trim();
    Some(kind.to_ascii_lowercase())
}

/// Whether a header's word is taken for it.
fn is_known(media_type: &str) -> bool {
    matches!(
        media_type,
        OCI_MANIFEST | OCI_INDEX | DOCKER_MANIFEST | DOCKER_INDEX
    )
}

fn is_schema_1(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.distribution.manifest.v1+")
}
