//! Bytes that are sent as they are read, and not faster than they go out.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Body, Method, Request, Response, StatusCode, Url};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::error::RegistryError;
use super::place::{Place, shown_host};
use super::upload::Source;
use crate::client::MOST_REDIRECTS;

/// How often it is looked whether something moves.
const LOOK: Duration = Duration::from_millis(50);

/// Some bytes of a source on their way.
pub struct Part<'a, S> {
    pub place: &'a Place,
    pub source: &'a S,
    pub what: &'a str,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// Where in the source they begin.
    pub first: u64,
    /// Their number.
    pub length: u64,
}

impl<S: Source> Part<'_, S> {
    /// Sends them, with a new token if the old one is refused, to where the registry wants them. The
    /// answer may be a refusal.
    pub async fn send(
        &self,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Response, RegistryError> {
        let (mut url, mut rejected) = (self.url.clone(), None);
        for _ in 0..=MOST_REDIRECTS {
            let authorization = self.place.authorization(&url, rejected.as_ref()).await?;
            let response = self.once(&url, authorization.clone(), progress).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED if self.place.is_own(&url).await? => {
                    let was_renewed = rejected.is_some();
                    let renewal =
                        self.place
                            .renewal(response, self.what, authorization, was_renewed);
                    rejected = Some(renewal.await?);
                }
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    match response.headers().get(LOCATION) {
                        Some(location) => url = self.place.led(&url, location, self.what)?,
                        None => return Ok(response),
                    }
                }
                _ => return Ok(response),
            }
        }
        Err(RegistryError::Redirects {
            host: self.place.host().to_owned(),
        })
    }

    async fn once(
        &self,
        url: &Url,
        authorization: Option<HeaderValue>,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Response, RegistryError> {
        let (sender, receiver) = channel(1);
        let mut request = Request::new(self.method.clone(), url.clone());
        *request.headers_mut() = self.headers.clone();
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let left = self.length;
        // Without a length some servers refuse it.
        request.headers_mut().insert(CONTENT_LENGTH, left.into());
        if left > 0 {
            *request.body_mut() = Some(Body::wrap(Stream { receiver, left }));
        }
        let client = self.place.client(url)?;
        let movement = Movement::new();
        let mut answer = pin!(client.execute(request));
        let mut reading = pin!(self.read(sender, &movement, progress));
        let mut is_read = false;
        let mut both = pin!(poll_fn(|context| {
            // An answer may come before all is sent.
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(|error| self.place.broken(url, error)));
            }
            if !is_read {
                match reading.as_mut().poll(context) {
                    Poll::Ready(Ok(())) => is_read = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        }));
        loop {
            if self.place.cancel.is_cancelled() {
                return Err(RegistryError::Cancelled);
            }
            if let Ok(answer) = timeout(LOOK, &mut both).await {
                return answer;
            }
            if movement.rest() > self.place.shared.silence {
                return Err(RegistryError::Silent {
                    host: shown_host(url),
                    time: self.place.shared.silence,
                });
            }
        }
    }

    /// Reads what is to be sent.
    async fn read(
        &self,
        sender: Sender<Bytes>,
        movement: &Movement,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), RegistryError> {
        let (mut at, end) = (self.first, self.first + self.length);
        progress(at);
        while at < end {
            movement.waits_for_source(true);
            let read = self.source.read_at(at).await;
            movement.waits_for_source(false);
            let mut bytes = read.and_then(|bytes| match bytes.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(bytes),
            });
            if let Ok(bytes) = &mut bytes {
                bytes.truncate(usize::try_from(end - at).unwrap_or(usize::MAX));
            }
            let bytes = bytes.map_err(|source| RegistryError::Source {
                host: self.place.host().to_owned(),
                what: self.what.to_owned(),
                source,
            })?;
            at += bytes.len() as u64;
            if sender.send(bytes).await.is_err() {
                // Nobody sends them any more: the answer says why.
                return Ok(());
            }
            movement.moved();
            progress(at);
        }
        Ok(())
    }
}

/// Whether the server takes what is sent.
struct Movement {
    began: Instant,
    /// When something moved last, in milliseconds since then.
    last: AtomicU64,
    waits_for_source: AtomicBool,
}

impl Movement {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
            waits_for_source: AtomicBool::new(false),
        }
    }

    fn moved(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    fn waits_for_source(&self, waits: bool) {
        self.waits_for_source.store(waits, Ordering::Relaxed);
        self.moved();
    }

    /// How long the server has done nothing that it could have done.
    fn rest(&self) -> Duration {
        if self.waits_for_source.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        Duration::from_millis(self.now() - self.last.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The body of a request.
struct Stream {
    receiver: Receiver<Bytes>,
    left: u64,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(context).map(|bytes| match bytes {
            Some(bytes) => {
                self.left -= bytes.len() as u64;
                Some(Ok(Frame::data(bytes)))
            }
            // The reader has failed, and told why.
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
