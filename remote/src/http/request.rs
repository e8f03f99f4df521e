//! Requests that are sent until there is an answer.

use builder::cancel::Cancel;
use reqwest::{RequestBuilder, Response};

use super::error::HttpError;
use crate::attempt::{Attempts, Failure, is_passing, retry_after};
use crate::broken::Broken;
use crate::cancellable::{Cancelled, unless};

/// Sends a request once. The answer may be a refusal.
pub async fn once(
    cancel: &Cancel,
    request: RequestBuilder,
) -> Result<Result<Response, Failure<HttpError>>, HttpError> {
    match unless(cancel, request.send()).await.ok_or(Cancelled)? {
        Ok(response) if is_passing(response.status()) => Ok(Err(Failure {
            error: HttpError::Status(response.status()),
            after: retry_after(response.headers()),
        })),
        Ok(response) => Ok(Ok(response)),
        Err(error) => {
            let broken = Broken::from(error);
            let is_final = broken.is_final();
            let error = HttpError::Connection(broken);
            if is_final {
                Err(error)
            } else {
                Ok(Err(error.into()))
            }
        }
    }
}

/// Sends a request until there is an answer, which may be a refusal.
pub async fn send(
    cancel: &Cancel,
    request: impl Fn() -> RequestBuilder,
) -> Result<Response, HttpError> {
    let mut attempts = Attempts::default();
    loop {
        match once(cancel, request()).await? {
            Ok(response) => return Ok(response),
            Err(failure) => attempts.wait(cancel, failure).await?,
        }
    }
}
