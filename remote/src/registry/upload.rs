//! Blobs on their way to a registry.
//!
//! Source: OCI distribution specification 1.1, "Pushing blobs".

use std::io;

use bytes::Bytes;
use image_format::digest::{Digest, Hasher};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::error::RegistryError;
use super::manifest::digest;
use super::part::Part;
use super::place::{Ask, Place, may_pass};
use super::session::{Begun, Session};
use crate::attempt::{Attempts, Failure, retry_after};

/// The size of a chunk, where the registry wants chunks and does not say how long, and of a blob whose
/// size is not known.
const CHUNK: u64 = 16 * 1024 * 1024;
/// Chunks that a proxy refuses as too long become shorter, down to this.
const SHORTEST_CHUNK: u64 = 256 * 1024;

/// What is uploaded: bytes that can be read again from any place, as long as the upload lasts.
pub trait Source: Sync {
    /// Some bytes at this offset, as many as are at hand up to some hundred KiB; none at the end. It
    /// waits where they are still in the making.
    fn read_at(&self, offset: u64) -> impl Future<Output = io::Result<Bytes>> + Send;
}

/// The upload of one blob.
pub struct Upload<'a, S> {
    place: &'a Place,
    source: &'a S,
    progress: &'a mut (dyn FnMut(u64) + Send),
    what: String,
    /// What is known of the blob; of one that is still in the making, only at its end.
    whole: Option<(Digest, u64)>,
    /// Of the first bytes of one that is in the making.
    hasher: Hasher,
    hashed: u64,
    session: Option<Session>,
    /// Whether the registry has to be asked how much it has.
    is_unsure: bool,
    /// As many bytes the registry has.
    offset: u64,
    furthest: u64,
    /// The longest chunk that is let through.
    limit: Option<u64>,
    attempts: Attempts,
}

impl<'a, S: Source> Upload<'a, S> {
    pub fn new(
        place: &'a Place,
        source: &'a S,
        whole: Option<(Digest, u64)>,
        session: Option<Session>,
        progress: &'a mut (dyn FnMut(u64) + Send),
    ) -> Self {
        let what = match whole {
            Some((digest, _)) => format!("blob {digest}"),
            None => format!("upload to {}", place.endpoint.repository),
        };
        Self {
            place,
            source,
            progress,
            what,
            whole,
            hasher: Hasher::new(),
            hashed: 0,
            session,
            is_unsure: false,
            offset: 0,
            furthest: 0,
            limit: None,
            attempts: place.attempts(),
        }
    }

    /// Uploads it.
    pub async fn run(mut self) -> Result<(Digest, u64), RegistryError> {
        loop {
            let failure = match self.pass().await {
                Ok(whole) => return Ok(whole),
                Err(failure) => failure,
            };
            self.is_unsure = true;
            if may_pass(&failure.error) || self.has_lost(&failure.error) {
                self.attempts.wait(&self.place.cancel, failure).await?;
            } else if !self.shortens(&failure.error) {
                let changed = match &failure.error {
                    error if blames_content(error) => self.source_changed().await?,
                    _ => None,
                };
                return Err(changed.unwrap_or(failure.error));
            }
        }
    }

    /// Goes on from where the registry is, to the end if nothing fails.
    async fn pass(&mut self) -> Result<(Digest, u64), Failure<RegistryError>> {
        if self.is_unsure
            && let Some(whole) = self.catch_up().await?
        {
            return Ok(whole);
        }
        loop {
            let session = match self.session.take() {
                Some(session) => session,
                None => self.begin().await?,
            };
            let length = self.next_length(session.min_length).await?;
            let end = self.offset + length;
            // A blob in one part, or the end of one that was sent in several.
            let is_end = self.whole.is_some_and(|(_, size)| size == end);
            let closes = self
                .whole
                .filter(|_| is_end && (self.offset == 0 || length == 0));
            let response = self.send(&session, length, closes).await;
            self.session = Some(session);
            let response = response?;
            match (closes, response.status()) {
                (Some(whole), StatusCode::CREATED | StatusCode::OK | StatusCode::NO_CONTENT) => {
                    let other = digest(response.headers()).filter(|found| *found != whole.0);
                    return match other {
                        Some(found) => {
                            Err(self.place.wrong_digest(&self.what, whole.0, found).into())
                        }
                        None => Ok(whole),
                    };
                }
                (None, StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::CREATED) => {
                    let before = self.offset;
                    self.moved(&response)?;
                    self.reached(received(response.headers()).unwrap_or(end), end)?;
                    if self.offset <= before {
                        return Err(self.took_nothing(end).into());
                    }
                    self.is_unsure = false;
                }
                _ => {
                    let after = retry_after(response.headers());
                    let error = self.place.refusal(response, &self.what).await?;
                    return Err(Failure { error, after });
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<Session, RegistryError> {
        self.offset = 0;
        match self.place.begin_upload(None, &self.what).await? {
            Begun::Session(session) => Ok(session),
            Begun::Mounted => Err(self
                .place
                .protocol(&self.what, "it has what it was not given")),
        }
    }

    /// Sends the next bytes, and closes the upload if that is the end.
    async fn send(
        &mut self,
        session: &Session,
        length: u64,
        closes: Option<(Digest, u64)>,
    ) -> Result<Response, RegistryError> {
        let mut url = session.url.clone();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, kind);
        if let Some((digest, _)) = closes {
            url.query_pairs_mut()
                .append_pair("digest", &digest.to_string());
        } else {
            let range = format!(
                "{}-{}",
                self.offset,
                (self.offset + length).saturating_sub(1)
            );
            let range = HeaderValue::try_from(range);
            headers.extend(range.map(|range| (CONTENT_RANGE, range)));
        }
        let part = Part {
            place: self.place,
            source: self.source,
            what: &self.what,
            method: if closes.is_some() {
                Method::PUT
            } else {
                Method::PATCH
            },
            url,
            headers,
            first: self.offset,
            length,
        };
        part.send(self.progress).await
    }

    /// As many bytes are sent next; it finds out where the end is.
    async fn next_length(&mut self, min_length: Option<u64>) -> Result<u64, RegistryError> {
        let chunk = match (self.limit, min_length) {
            (Some(limit), _) => Some(limit),
            (None, Some(least)) => Some(least.max(CHUNK)),
            (None, None) => None,
        };
        if let Some((_, size)) = self.whole {
            let rest = size.saturating_sub(self.offset);
            return Ok(chunk.map_or(rest, |chunk| rest.min(chunk)));
        }
        let wanted = self.offset.saturating_add(chunk.unwrap_or(CHUNK));
        while self.hashed < wanted {
            let read = self
                .place
                .unless_cancelled(self.source.read_at(self.hashed))
                .await?;
            let bytes = read.map_err(|source| self.unreadable(source))?;
            if bytes.is_empty() {
                self.whole = Some((self.hasher.clone().finish(), self.hashed));
                break;
            }
            self.hasher.update(&bytes);
            self.hashed += bytes.len() as u64;
        }
        Ok(wanted.min(self.hashed) - self.offset)
    }

    /// Asks the registry how much it has, after something failed. It may have the whole blob.
    async fn catch_up(&mut self) -> Result<Option<(Digest, u64)>, RegistryError> {
        if let Some(session) = &self.session {
            let ask = Ask::new(Method::GET, session.url.clone(), &self.what);
            let response = self.place.send(&ask).await?;
            let has = received(response.headers());
            if let (true, Some(has)) = (response.status().is_success(), has) {
                self.moved(&response)?;
                let most = self.whole.map_or(self.hashed, |(_, size)| size);
                self.reached(has, most)?;
                self.is_unsure = false;
                return Ok(None);
            }
        }
        // The upload is gone, perhaps because it came to its end and only the answer was lost.
        self.session = None;
        self.is_unsure = false;
        if let Some(whole) = self.whole
            && self.place.has_blob(&whole.0).await?
        {
            return Ok(Some(whole));
        }
        Ok(None)
    }

    /// Goes on where the answer says, if it does.
    fn moved(&mut self, response: &Response) -> Result<(), RegistryError> {
        if !response.headers().contains_key(LOCATION) {
            return Ok(());
        }
        let url = self.place.location(response, &self.what)?;
        if let Some(session) = &mut self.session {
            session.url = url;
        }
        Ok(())
    }

    /// The registry has so many bytes, of at most as many.
    fn reached(&mut self, offset: u64, most: u64) -> Result<(), RegistryError> {
        if offset > most {
            return Err(self.place.protocol(&self.what, "it has more than was sent"));
        }
        self.offset = offset;
        if offset > self.furthest {
            self.furthest = offset;
            self.attempts.progressed();
        }
        Ok(())
    }

    fn took_nothing(&self, end: u64) -> RegistryError {
        RegistryError::Short {
            host: self.place.host().to_owned(),
            what: self.what.clone(),
            received: self.offset,
            expected: end,
        }
    }

    /// Whether the registry says that it has no such upload, or another part of it: what it has is
    /// asked, or it begins anew.
    fn has_lost(&self, error: &RegistryError) -> bool {
        match error {
            RegistryError::NotFound { .. } => self.session.is_some(),
            RegistryError::Refused { status, .. } => *status == StatusCode::RANGE_NOT_SATISFIABLE,
            _ => false,
        }
    }

    /// Whether shorter chunks may help.
    fn shortens(&mut self, error: &RegistryError) -> bool {
        let is_long = matches!(error, RegistryError::Refused { status, .. }
            if *status == StatusCode::PAYLOAD_TOO_LARGE);
        let least = self.session.as_ref().and_then(|session| session.min_length);
        let shorter = self.limit.map_or(CHUNK, |limit| limit / 4);
        if !is_long || shorter < least.unwrap_or(0).max(SHORTEST_CHUNK) {
            return false;
        }
        self.limit = Some(shorter);
        true
    }

    /// Where a registry refuses what it got: whether the source is what it was said to be.
    async fn source_changed(&self) -> Result<Option<RegistryError>, RegistryError> {
        let Some((expected, _)) = self.whole else {
            return Ok(None);
        };
        let (mut hasher, mut size) = (Hasher::new(), 0);
        loop {
            let read = self
                .place
                .unless_cancelled(self.source.read_at(size))
                .await?;
            let bytes = read.map_err(|source| self.unreadable(source))?;
            if bytes.is_empty() {
                break;
            }
            hasher.update(&bytes);
            size += bytes.len() as u64;
        }
        let digest = hasher.finish();
        Ok((digest != expected).then(|| RegistryError::Changed {
            host: self.place.host().to_owned(),
            what: self.what.clone(),
            size,
            digest,
        }))
    }

    fn unreadable(&self, source: io::Error) -> RegistryError {
        RegistryError::Source {
            host: self.place.host().to_owned(),
            what: self.what.clone(),
            source,
        }
    }
}

/// Whether the bytes that were sent may be the reason.
fn blames_content(error: &RegistryError) -> bool {
    match error {
        RegistryError::Refused { status, .. } => *status == StatusCode::BAD_REQUEST,
        RegistryError::Source { source, .. } => source.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

/// As many bytes a registry says that it has: `Range: 0-9` are ten. `0-0` says one, and registries say
/// it of none.
fn received(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let (first, last) = text
        .strip_prefix("bytes=")
        .unwrap_or(text)
        .split_once('-')?;
    match (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}
