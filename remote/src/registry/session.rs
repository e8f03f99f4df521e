//! Uploads as the registry knows them.
//!
//! Source: OCI distribution specification 1.1, "Pushing blobs" and "Mounting a blob from another
//! repository".

use image_format::digest::Digest;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::error::RegistryError;
use super::place::{Ask, Place};

const MIN_LENGTH: &str = "oci-chunk-min-length";

/// An upload that the registry knows.
pub struct Session {
    pub url: Url,
    /// The least length of chunks but the last, where the registry has said one.
    pub min_length: Option<u64>,
}

/// What came of beginning an upload.
pub enum Begun {
    Session(Session),
    /// The registry has the blob already.
    Mounted,
}

impl Place {
    /// Begins an upload; with a digest and another repository, the blob may be taken from there.
    pub async fn begin_upload(
        &self,
        mount: Option<(&Digest, &str)>,
        what: &str,
    ) -> Result<Begun, RegistryError> {
        let mut url = self.url("blobs/uploads/").await?;
        if let Some((digest, from)) = mount {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from);
        }
        let mut ask = Ask::new(Method::POST, url, what);
        // Without a length some servers refuse it.
        ask = ask.with(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let response = self.send(&ask).await?;
        match response.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => {
                let url = self.location(&response, what)?;
                let min_length = number(response.headers(), MIN_LENGTH);
                Ok(Begun::Session(Session { url, min_length }))
            }
            _ => Err(self.refusal(response, what).await?),
        }
    }

    /// Gives an upload up; that it cannot be is no harm.
    pub async fn cancel_upload(&self, session: Session, what: &str) -> Result<(), RegistryError> {
        let ask = Ask::new(Method::DELETE, session.url, what);
        match self.send(&ask).await {
            Err(RegistryError::Cancelled) => Err(RegistryError::Cancelled),
            _ => Ok(()),
        }
    }

    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{digest}")).await?;
        let ask = Ask::new(Method::HEAD, url, &format!("blob {digest}"));
        let response = self.send(&ask).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal(response, &ask.what).await?),
        }
    }

    pub fn location(&self, response: &Response, what: &str) -> Result<Url, RegistryError> {
        match response.headers().get(LOCATION) {
            Some(location) => self.led(response.url(), location, what),
            None => Err(self.protocol(what, "it does not say where to upload to")),
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
