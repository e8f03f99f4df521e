//! Files over HTTP: what was fetched before is asked for by what the server then said of it, and comes
//! anew only when it has changed.

mod disposition;
mod error;
mod request;
mod transfer;

use std::fs;

use builder::cancel::Cancel;
use builder::remote::Download;
use image_format::digest::Digest;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::Url;
use reqwest::header::{CONTENT_DISPOSITION, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::kept::{Kept, Kind, Record};
pub(crate) use disposition::decode;
pub use error::HttpError;
pub(crate) use request::send;
use transfer::{Outcome, Transfer};

/// What a server said of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    /// The number of bytes.
    size: u64,
    /// See [`Download::name`].
    name: String,
    /// `ETag`, as it came.
    etag: Option<String>,
    /// `Last-Modified`, as it came.
    last_modified: Option<String>,
}

impl About {
    fn new(url: &Url, headers: &HeaderMap, size: u64) -> Self {
        let given = text(headers, &CONTENT_DISPOSITION).and_then(|text| disposition::name(&text));
        Self {
            size,
            name: given.unwrap_or_else(|| disposition::last_of(url)),
            etag: text(headers, &ETAG),
            last_modified: text(headers, &LAST_MODIFIED),
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    Some(std::str::from_utf8(value).ok()?.to_owned())
}

/// Fetches the file at an address; see [`builder::remote::Remote::http`].
///
/// # Errors
/// When it cannot be had or kept.
pub fn fetch(
    client: &Client,
    kept: &Kept,
    url: &str,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &Cancel,
) -> Result<Download, HttpError> {
    let parsed = Url::parse(url)?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(HttpError::Scheme(parsed.scheme().to_owned()));
    }
    let address = Digest::of(url.as_bytes());
    let known = recall(kept, &address)?;
    let file = kept.store().tmp_file()?;
    let outcome = client.with(|runtime, http| {
        let transfer = Transfer {
            client: http,
            url: &parsed,
            known: known.as_ref().map(|download| &download.about),
            progress,
            cancel,
        };
        runtime.block_on(transfer.run(file.as_file()))
    })??;
    match (outcome, known) {
        (Outcome::Unchanged, Some(known)) => {
            // Used now, which the time of the record says.
            kept.remember(&address, &known.record())?;
            Ok(known.download())
        }
        (Outcome::Unchanged, None) => Err(HttpError::Unasked),
        (Outcome::Fetched { digest, about }, _) => {
            file.as_file().sync_data().map_err(HttpError::Write)?;
            let name = digest.hex();
            let path = loop {
                let path = kept.keep(Kind::Files, &name, file.path())?;
                if fs::metadata(&path).is_ok_and(|found| found.len() == about.size) {
                    break path;
                }
                kept.discard(Kind::Files, &name)?;
            };
            let known = Known {
                path,
                digest,
                about,
            };
            kept.remember(&address, &known.record())?;
            Ok(known.download())
        }
    }
}

/// A file that is kept.
struct Known {
    path: std::path::PathBuf,
    digest: Digest,
    about: About,
}

impl Known {
    fn record(&self) -> Record<About> {
        Record {
            kept: self.digest.hex(),
            about: self.about.clone(),
        }
    }

    fn download(self) -> Download {
        let modified = self.about.last_modified.as_deref().and_then(seconds);
        Download {
            path: self.path,
            digest: self.digest,
            size: self.about.size,
            name: self.about.name,
            modified,
        }
    }
}

/// The file that came from an address the last time, if it is whole.
fn recall(kept: &Kept, address: &Digest) -> Result<Option<Known>, HttpError> {
    let Some(Record { kept: name, about }) = kept.recall::<About>(address) else {
        return Ok(None);
    };
    let Ok(digest) = Digest::from_hex(&name) else {
        return Ok(None);
    };
    let Some(path) = kept.hold(Kind::Files, &name)? else {
        return Ok(None);
    };
    if fs::metadata(&path).is_ok_and(|found| found.len() == about.size) {
        return Ok(Some(Known {
            path,
            digest,
            about,
        }));
    }
    Ok(None)
}

/// Seconds since 1970 of an HTTP date (RFC 9110, section 5.6.7) in the form that is in use.
fn seconds(date: &str) -> Option<i64> {
    let parsed = DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(parsed.as_second())
}
