//! Waiting that ends when the build is cancelled.

use std::pin::pin;
use std::time::Duration;

use builder::cancel::Cancel;
use tokio::time::{sleep, timeout};

/// How often the flag is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The flag was set.
#[derive(Clone, Copy, Debug)]
pub struct Cancelled;

/// What comes of `future`; `None` when the flag was set before it was there.
pub async fn unless<T>(cancel: &Cancel, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    while !cancel.is_cancelled() {
        if let Ok(output) = timeout(LOOK, &mut future).await {
            return Some(output);
        }
    }
    None
}

/// Waits; `None` when the flag was set before the end.
pub async fn pause(cancel: &Cancel, time: Duration) -> Option<()> {
    unless(cancel, sleep(time)).await
}
