//! The transfer of one file: tried again where that may help, and from where it broke if the server can
//! do that and says that the file is still the same.
//!
//! Source: RFC 9110, sections 13 (conditional requests), 14 (ranges) and 10.2.3 (`Retry-After`).

use std::fs::File;
use std::hash::{BuildHasher, Hasher as _, RandomState};
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use builder::cancel::Cancel;
use image_format::digest::{Digest, Hasher};
use reqwest::header::{
    CONTENT_RANGE, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};

use super::About;
use super::error::{HttpError, is_final};
use crate::cancellable::{pause, unless};

/// As often in a row it is tried without getting further.
const MOST_FAILURES: u32 = 5;
/// The pause after the first failure; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest that a server may ask to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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

/// An attempt that failed, and could be made again.
struct Failure {
    error: HttpError,
    /// How long the server wants to be left alone.
    after: Option<Duration>,
}

/// How an attempt ends otherwise.
enum End {
    Unchanged,
    Whole,
    Failed(Failure),
}

impl Transfer<'_> {
    /// Fetches it into an empty file.
    pub async fn run(mut self, mut file: &File) -> Result<Outcome, HttpError> {
        let mut received = Received::default();
        let (mut failures, mut furthest) = (0, 0);
        loop {
            let Failure { error, after } = match self.attempt(&mut file, &mut received).await? {
                End::Unchanged => return Ok(Outcome::Unchanged),
                End::Whole => {
                    return Ok(Outcome::Fetched {
                        about: About::new(self.url, &received.headers, received.bytes),
                        digest: received.hasher.finish(),
                    });
                }
                End::Failed(failure) => failure,
            };
            failures = if received.bytes > furthest {
                1
            } else {
                failures + 1
            };
            furthest = furthest.max(received.bytes);
            if failures >= MOST_FAILURES {
                return Err(error);
            }
            let time = after.unwrap_or_else(|| backoff(failures));
            pause(self.cancel, time).await.ok_or(HttpError::Cancelled)?;
        }
    }

    async fn attempt(
        &mut self,
        file: &mut &File,
        received: &mut Received,
    ) -> Result<End, HttpError> {
        let mut request = self.client.get(self.url.clone());
        let resumes = match validator(&received.headers).filter(|_| received.bytes > 0) {
            Some(validator) => {
                let range = format!("bytes={}-", received.bytes);
                request = request.header(RANGE, range).header(IF_RANGE, validator);
                true
            }
            None => false,
        };
        if let Some(known) = self.known.filter(|_| !resumes) {
            // A server that knows both looks at the first alone.
            if let Some(etag) = &known.etag {
                request = request.header(IF_NONE_MATCH, etag);
            }
            if let Some(date) = &known.last_modified {
                request = request.header(IF_MODIFIED_SINCE, date);
            }
        }
        let response = unless(self.cancel, request.send()).await;
        let response = match response.ok_or(HttpError::Cancelled)? {
            Ok(response) => response,
            Err(error) if is_final(&error) => {
                return Err(HttpError::Connection(error.without_url()));
            }
            Err(error) => return Ok(again(HttpError::Connection(error.without_url()))),
        };
        let status = response.status();
        match status {
            StatusCode::NOT_MODIFIED if !resumes => return Ok(End::Unchanged),
            StatusCode::PARTIAL_CONTENT if continues(&response, received.bytes) => {}
            StatusCode::OK => restart(file, received, response.headers().clone())?,
            // What is there cannot be continued; without it the next attempt begins anew.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT if resumes => {
                restart(file, received, HeaderMap::new())?;
                return Ok(again(HttpError::Status(status)));
            }
            status if is_passing(status) => {
                return Ok(End::Failed(Failure {
                    error: HttpError::Status(status),
                    after: retry_after(response.headers()),
                }));
            }
            status => return Err(HttpError::Status(status)),
        }
        self.receive(response, file, received).await
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
            let chunk = match chunk.ok_or(HttpError::Cancelled)? {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Ok(again(HttpError::Connection(error.without_url()))),
            };
            file.write_all(&chunk).map_err(HttpError::Write)?;
            received.hasher.update(&chunk);
            received.bytes += chunk.len() as u64;
        }
        if rest.is_some() && received.bytes != total {
            return Ok(again(HttpError::Short {
                received: received.bytes,
                expected: total,
            }));
        }
        Ok(End::Whole)
    }
}

fn again(error: HttpError) -> End {
    End::Failed(Failure { error, after: None })
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
    use reqwest::header::{ETAG, LAST_MODIFIED};
    let strong = super::text(headers, &ETAG).filter(|etag| !etag.starts_with("W/"));
    strong.or_else(|| super::text(headers, &LAST_MODIFIED))
}

/// Whether what comes is what follows these bytes.
fn continues(response: &Response, bytes: u64) -> bool {
    let range = super::text(response.headers(), &CONTENT_RANGE);
    let first = range.as_deref().and_then(|range| {
        let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
        first.trim().parse::<u64>().ok()
    });
    bytes > 0 && first == Some(bytes)
}

/// Whether a server may answer otherwise soon.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// `Retry-After` in seconds; as a date it is hardly in use.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = super::text(headers, &RETRY_AFTER)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// Half to one and a half times the pause, so that those who failed together do not come again
/// together.
fn backoff(failures: u32) -> Duration {
    let pause = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8));
    // A hasher's keys are random, as the standard library has nothing else that is.
    let random = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + pause.mul_f64(random as f64 / 1000.0)
}
