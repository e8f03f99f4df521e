//! Blobs on their way from a registry.
//!
//! Source: OCI distribution specification 1.1, "Pulling blobs"; RFC 9110, section 14 (ranges).

use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Hasher;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::error::RegistryError;
use super::mirrors::Round;
use super::place::{Ask, Place, may_pass};
use crate::attempt::Attempts;

/// A blob that comes in chunks, from where it broke when it breaks.
pub struct Blob {
    round: Round,
    descriptor: Descriptor,
    what: String,
    attempts: Attempts,
    response: Option<Response>,
    hasher: Hasher,
    received: u64,
    /// Whether something of it was given away, which cannot be taken back.
    is_given: bool,
    /// Whether the server can send a part.
    has_ranges: bool,
    /// As many bytes that came before come once more.
    repeated: u64,
    /// Whether size and digest are right.
    is_whole: bool,
}

impl Blob {
    pub(super) fn new(round: Round, descriptor: &Descriptor) -> Self {
        Self {
            attempts: round.place().attempts(),
            what: format!("blob {}", descriptor.digest),
            round,
            descriptor: descriptor.clone(),
            response: None,
            hasher: Hasher::new(),
            received: 0,
            is_given: false,
            has_ranges: true,
            repeated: 0,
            is_whole: false,
        }
    }

    /// The next bytes; `None` after the last. The last chunk is given only when size and digest of the
    /// whole are right, so whoever has seen `None` has the blob.
    ///
    /// # Errors
    /// When it cannot be had, or is not what its descriptor says: see
    /// [`RegistryError::is_wrong_content`].
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        while !self.is_whole {
            match self.step().await {
                Ok(Some(chunk)) => {
                    self.is_given = true;
                    return Ok(Some(chunk));
                }
                Ok(None) => {}
                Err(error) => self.recover(error).await?,
            }
        }
        Ok(None)
    }

    /// Gets a step further, to a chunk if it comes to that.
    async fn step(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let Some(mut response) = self.response.take() else {
            let place = self.round.place().clone();
            self.response = self.open(&place).await?;
            return Ok(None);
        };
        let place = self.round.place();
        let url = response.url().clone();
        let chunk = place.quiet(&url, response.chunk()).await?;
        let chunk = chunk.map_err(|error| place.broken(&url, error))?;
        let Some(mut chunk) = chunk else {
            return self.end(None);
        };
        let known = self.repeated.min(chunk.len() as u64);
        self.repeated -= known;
        // No more than the chunk has.
        drop(chunk.split_to(usize::try_from(known).unwrap_or(chunk.len())));
        if chunk.is_empty() {
            self.response = Some(response);
            return Ok(None);
        }
        let received = self.received + chunk.len() as u64;
        if received > self.descriptor.size {
            return Err(self.wrong_size(received));
        }
        self.hasher.update(&chunk);
        self.received = received;
        self.attempts.progressed();
        if received < self.descriptor.size {
            self.response = Some(response);
            return Ok(Some(chunk));
        }
        // More would be wrong; read to its end, the connection is good for the next request.
        let url = response.url().clone();
        match place.quiet(&url, response.chunk()).await {
            Ok(Ok(Some(more))) => Err(self.wrong_size(received + more.len() as u64)),
            Err(RegistryError::Cancelled) => Err(RegistryError::Cancelled),
            _ => self.end(Some(chunk)),
        }
    }

    /// Nothing more comes.
    fn end(&mut self, last: Option<Bytes>) -> Result<Option<Bytes>, RegistryError> {
        let expected = self.descriptor.size;
        if self.received < expected {
            return Err(RegistryError::Short {
                host: self.round.place().host().to_owned(),
                what: self.what.clone(),
                received: self.received,
                expected,
            });
        }
        let found = self.hasher.clone().finish();
        if found != self.descriptor.digest {
            let place = self.round.place();
            return Err(place.wrong_digest(&self.what, self.descriptor.digest, found));
        }
        self.is_whole = true;
        Ok(last)
    }

    /// Asks for what has not come yet; nothing comes of it where it has to be asked otherwise.
    async fn open(&mut self, place: &Place) -> Result<Option<Response>, RegistryError> {
        let url = place
            .url(&format!("blobs/{}", self.descriptor.digest))
            .await?;
        let mut ask = Ask::new(Method::GET, url, &self.what);
        if self.received > 0 && self.has_ranges {
            let range = HeaderValue::try_from(format!("bytes={}-", self.received));
            let range = range.map_err(|_| place.protocol(&self.what, "no range"))?;
            ask = ask.with(RANGE, range);
        }
        let response = place.send_counted(&ask, &mut self.attempts).await?;
        let (first, length) = match response.status() {
            StatusCode::OK => (0, response.content_length()),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                let first = first_byte(&response).filter(|first| *first <= self.received);
                let Some(first) = first.filter(|_| response.status().is_success()) else {
                    // It makes something else of ranges: the whole, from which the rest is taken.
                    if std::mem::take(&mut self.has_ranges) {
                        return Ok(None);
                    }
                    return Err(place.refusal(response, &self.what).await?);
                };
                (first, None)
            }
            _ => return Err(place.refusal(response, &self.what).await?),
        };
        if let Some(length) = length.filter(|length| *length != self.descriptor.size) {
            return Err(self.wrong_size(length));
        }
        self.repeated = self.received - first;
        Ok(Some(response))
    }

    /// Makes ready for the next attempt, here or at the next server.
    async fn recover(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.response = None;
        // Those that count attempts themselves have made them all.
        let error = if may_pass(&error) {
            let cancel = self.round.place().cancel.clone();
            match self.attempts.wait(&cancel, error.into()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            }
        } else {
            error
        };
        if error.is_wrong_content() {
            self.round.distrust();
            if self.is_given {
                return Err(error);
            }
            (self.hasher, self.received) = (Hasher::new(), 0);
        }
        self.round.failed(error)?;
        self.attempts = self.round.place().attempts();
        self.has_ranges = true;
        Ok(())
    }

    fn wrong_size(&self, found: u64) -> RegistryError {
        RegistryError::WrongSize {
            host: self.round.place().host().to_owned(),
            what: self.what.clone(),
            expected: self.descriptor.size,
            found,
        }
    }
}

/// The first byte that comes (RFC 9110, section 14.4).
fn first_byte(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    first.trim().parse().ok()
}
