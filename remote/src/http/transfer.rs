//! The transfer of one file: tried again where that may help, and from where it broke if the server can
//! do that and says that the file is still the same.
//!
//! Source: RFC 9110, sections 13 (conditional requests) and 14 (ranges).

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use builder::cancel::Cancel;
use image_format::digest::{Digest, Hasher};
use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::error::HttpError;
use super::request::once;
use super::{About, text};
use crate::attempt::{Attempts, Failure};
use crate::cancellable::{Cancelled, unless};

/// A file to be fetched.
pub struct Transfer<'a> {
    pub client: &'a Client,
    pub url: &'a Url,
    /// What was fetched before.
    pub known: Option<&'a About>,
    /// Gets the bytes so far, and all of them or 0.
    pub progress: &'a mut dyn FnMut(u64, u64),
    pub cancel: &'a Cancel,
}

/// What came of it.
pub enum Outcome {
    /// What was fetched before is as it was.
    Unchanged,
    /// The file is there.
    Fetched { digest: Digest, about: About },
}

/// What has come so far.
#[derive(Default)]
struct Received {
    hasher: Hasher,
    bytes: u64,
    /// What the server said of the file that these are the first bytes of.
    headers: HeaderMap,
}

/// How an attempt ends.
enum End {
    Unchanged,
    Whole,
    Failed(Failure<HttpError>),
}

impl Transfer<'_> {
    /// Fetches it into an empty file.
    pub async fn run(mut self, mut file: &File) -> Result<Outcome, HttpError> {
        let mut received = Received::default();
        let (mut attempts, mut furthest) = (Attempts::default(), 0);
        loop {
            let failure = match self.attempt(&mut file, &mut received).await? {
                End::Unchanged => return Ok(Outcome::Unchanged),
                End::Whole => {
                    return Ok(Outcome::Fetched {
                        about: About::new(self.url, &received.headers, received.bytes),
                        digest: received.hasher.finish(),
                    });
                }
                End::Failed(failure) => failure,
            };
            if received.bytes > furthest {
                attempts.progressed();
                furthest = received.bytes;
            }
            attempts.wait(self.cancel, failure).await?;
        }
    }

    async fn attempt(
        &mut self,
        file: &mut &File,
        received: &mut Received,
    ) -> Result<End, HttpError> {
        let validator = validator(&received.headers).filter(|_| received.bytes > 0);
        let resumes = validator.is_some();
        let request = self.client.get(self.url.clone());
        let request = match validator {
            Some(validator) => request
                .header(RANGE, format!("bytes={}-", received.bytes))
                .header(IF_RANGE, validator),
            None => self.conditional(request),
        };
        let response = match once(self.cancel, request).await? {
            Ok(response) => response,
            Err(failure) => return Ok(End::Failed(failure)),
        };
        match response.status() {
            StatusCode::NOT_MODIFIED if !resumes => return Ok(End::Unchanged),
            StatusCode::PARTIAL_CONTENT if continues(&response, received.bytes) => {}
            StatusCode::OK => restart(file, received, response.headers().clone())?,
            // What is there cannot be continued; without it the next attempt begins anew.
            status @ (StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT)
                if resumes =>
            {
                restart(file, received, HeaderMap::new())?;
                return Ok(End::Failed(HttpError::Status(status).into()));
            }
            status => return Err(HttpError::Status(status)),
        }
        self.receive(response, file, received).await
    }

    /// Asks for a file only if it is not what is known; of both conditions a server that knows both
    /// heeds the first.
    fn conditional(&self, mut request: RequestBuilder) -> RequestBuilder {
        let Some(known) = self.known else {
            return request;
        };
        if let Some(etag) = &known.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(date) = &known.last_modified {
            request = request.header(IF_MODIFIED_SINCE, date);
        }
        request
    }

    async fn receive(
        &mut self,
        mut response: Response,
        file: &mut &File,
        received: &mut Received,
    ) -> Result<End, HttpError> {
        let rest = response.content_length();
        let total = rest.map_or(0, |rest| received.bytes.saturating_add(rest));
        loop {
            (self.progress)(received.bytes, total);
            let chunk = unless(self.cancel, response.chunk()).await;
            let chunk = match chunk.ok_or(Cancelled)? {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    return Ok(End::Failed(HttpError::from(error).into()));
                }
            };
            file.write_all(&chunk).map_err(HttpError::Write)?;
            received.hasher.update(&chunk);
            received.bytes += chunk.len() as u64;
        }
        if rest.is_some() && received.bytes != total {
            let error = HttpError::Short {
                received: received.bytes,
                expected: total,
            };
            return Ok(End::Failed(error.into()));
        }
        Ok(End::Whole)
    }
}

fn restart(file: &mut &File, received: &mut Received, headers: HeaderMap) -> Result<(), HttpError> {
    *received = Received {
        headers,
        ..Received::default()
    };
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .map(drop)
        .map_err(HttpError::Write)
}

/// What tells one version of a file from another to the byte, if anything does.
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, &ETAG).filter(|etag| !etag.starts_with("W/"));
    strong.or_else(|| text(headers, &LAST_MODIFIED))
}

/// Whether what comes is what follows these bytes.
fn continues(response: &Response, bytes: u64) -> bool {
    let range = text(response.headers(), &CONTENT_RANGE);
    let first = range.as_deref().and_then(|range| {
        let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
        first.trim().parse::<u64>().ok()
    });
    bytes > 0 && first == Some(bytes)
}
