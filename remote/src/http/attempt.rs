//! Requests, and which of their failures may pass.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use builder::cancel::Cancel;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};

use super::error::{HttpError, is_final};
use super::text;
use crate::cancellable::{pause, unless};

/// As often in a row something is tried without getting further.
pub const MOST_FAILURES: u32 = 5;
/// The pause after the first failure; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest that a server may ask to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A failure that may pass.
pub struct Failure {
    pub error: HttpError,
    /// How long the server wants to be left alone.
    pub after: Option<Duration>,
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self { error, after: None }
    }
}

/// Sends a request once. The answer may be a refusal.
pub async fn once(
    cancel: &Cancel,
    request: RequestBuilder,
) -> Result<Result<Response, Failure>, HttpError> {
    match unless(cancel, request.send())
        .await
        .ok_or(HttpError::Cancelled)?
    {
        Ok(response) if is_passing(response.status()) => Ok(Err(Failure {
            error: HttpError::Status(response.status()),
            after: retry_after(response.headers()),
        })),
        Ok(response) => Ok(Ok(response)),
        Err(error) if is_final(&error) => Err(HttpError::from(error)),
        Err(error) => Ok(Err(HttpError::from(error).into())),
    }
}

/// Sends a request until there is an answer, which may be a refusal.
pub async fn send(
    cancel: &Cancel,
    request: impl Fn() -> RequestBuilder,
) -> Result<Response, HttpError> {
    let mut failures = 0;
    loop {
        match once(cancel, request()).await? {
            Ok(response) => return Ok(response),
            Err(failure) => wait(cancel, failure, &mut failures).await?,
        }
    }
}

/// Waits after a failure, unless there were too many.
pub async fn wait(cancel: &Cancel, failure: Failure, failures: &mut u32) -> Result<(), HttpError> {
    *failures += 1;
    if *failures >= MOST_FAILURES {
        return Err(failure.error);
    }
    let time = failure.after.unwrap_or_else(|| backoff(*failures));
    pause(cancel, time).await.ok_or(HttpError::Cancelled)
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
    let seconds = text(headers, &RETRY_AFTER)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// Half to one and a half times the pause, so that those who failed together do not come again
/// together.
fn backoff(failures: u32) -> Duration {
    let pause = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8));
    // The keys of a hasher are random, as nothing else is in the standard library.
    let random = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + pause.mul_f64(random as f64 / 1000.0)
}
