//! What is tried again after a failure, how often, and after what pause: one rule for all that speak
//! HTTP.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use builder::cancel::Cancel;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::cancellable::{Cancelled, pause};

/// As often in a row something is tried without getting further.
const MOST_FAILURES: u32 = 5;
/// The pause after the first failure; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest that a server may ask to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A failure that may pass.
#[derive(Debug)]
pub struct Failure<E> {
    pub error: E,
    /// How long the server wants to be left alone.
    pub after: Option<Duration>,
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self { error, after: None }
    }
}

/// The attempts at one thing.
pub struct Attempts {
    failures: u32,
    most: u32,
    /// Whether a server is waited for as long as it asks.
    is_patient: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            failures: 0,
            most: MOST_FAILURES,
            is_patient: true,
        }
    }
}

impl Attempts {
    /// Where something else can be tried: a second one, unless it has to be waited for.
    pub fn few() -> Self {
        Self {
            failures: 0,
            most: 2,
            is_patient: false,
        }
    }

    /// It got further than before.
    pub fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Waits after a failure, unless there were too many.
    pub async fn wait<E: From<Cancelled>>(
        &mut self,
        cancel: &Cancel,
        failure: Failure<E>,
    ) -> Result<(), E> {
        self.failures += 1;
        let is_enough = failure.after.is_some() && !self.is_patient;
        if self.failures >= self.most || is_enough {
            return Err(failure.error);
        }
        let time = failure.after.unwrap_or_else(|| backoff(self.failures));
        Ok(pause(cancel, time).await.ok_or(Cancelled)?)
    }
}

/// Whether a server may answer otherwise soon.
pub fn is_passing(status: StatusCode) -> bool {
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

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().or_else(|| until(text))?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn until(date: &str) -> Option<u64> {
    let parser = DateTimeParser::new().relaxed_weekday(true);
    let date = parser.parse_timestamp(date).ok()?;
    let seconds = date.as_second() - Timestamp::now().as_second();
    Some(u64::try_from(seconds).unwrap_or(0))
}

/// Half to one and a half times the pause, so that those who failed together do not come again
/// together.
fn backoff(failures: u32) -> Duration {
    let pause = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8));
    // The keys of a hasher are random, as nothing else is in the standard library.
    let random = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + pause.mul_f64(random as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers).map(|time| time.as_secs())
    }

    #[test]
    fn a_server_asks_for_some_time_in_seconds_or_until_a_date() {
        assert_eq!(asked("7"), Some(7));
        assert_eq!(asked(" 99999 "), Some(60));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(asked("Sun, 06 Nov 2994 08:49:37 GMT"), Some(60));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn pauses_grow_and_differ() {
        for failures in 1..20 {
            let least = PAUSE * (1 << (failures - 1).min(8)) / 2;
            let pause = backoff(failures);
            assert!(
                pause >= least && pause <= least * 3,
                "{failures}: {pause:?}"
            );
        }
    }
}
