//! git over HTTP.
//!
//! Source: gitprotocol-http(5), "Smart Clients".

use std::io::{self, Read};

use builder::cancel::Cancel;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::runtime::Runtime;

use super::Connection;
use crate::cancellable::unless;
use crate::git::error::GitError;
use crate::http::{HttpError, send};

/// What is asked first, after the repository's address.
const GREETING: &str = "info/refs";
const SERVICE: &str = "git-upload-pack";

/// A repository over HTTP; each request stands by itself.
pub struct Http<'a> {
    pub runtime: &'a Runtime,
    pub client: &'a Client,
    /// The repository's address; a redirection of the first request holds for the others.
    pub base: Url,
    /// What is sent as `Authorization`; else what the address says of the user.
    pub login: Option<HeaderValue>,
    pub cancel: &'a Cancel,
}

impl Http<'_> {
    fn url(&self, tail: &str) -> Url {
        let mut url = self.base.clone();
        if self.login.is_some() {
            // It is one or the other. Fails for addresses that can have none.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{path}/{tail}"));
        url
    }

    fn send(&self, kind: &str, request: impl Fn() -> RequestBuilder) -> Result<Response, GitError> {
        let request = || {
            let request = request().header("Git-Protocol", "version=2");
            match &self.login {
                Some(login) => request.header(AUTHORIZATION, login),
                None => request,
            }
        };
        let response = self.runtime.block_on(send(self.cancel, request))?;
        if response.status() != StatusCode::OK {
            return Err(HttpError::Status(response.status()).into());
        }
        let found = response.headers().get(CONTENT_TYPE);
        let expected = format!("application/x-{SERVICE}-{kind}");
        match found.is_some_and(|found| found.as_bytes() == expected.as_bytes()) {
            true => Ok(response),
            false => Err(GitError::Protocol("it answers with something else")),
        }
    }

    /// Goes on where the server has led to; what an address says of the user holds for its host alone.
    fn follow(&mut self, led: &Url) {
        let Some(path) = led.path().strip_suffix(&format!("/{GREETING}")) else {
            return;
        };
        let mut base = led.clone();
        base.set_path(path);
        base.set_query(self.base.query());
        if led.origin() == self.base.origin() {
            // What the old address had, one of the same kind can have.
            let _ = base.set_username(self.base.username());
            let _ = base.set_password(self.base.password());
        } else {
            self.login = None;
        }
        self.base = base;
    }

    fn body(&self, response: Response) -> Box<dyn Read + '_> {
        Box::new(Body {
            runtime: self.runtime,
            cancel: self.cancel,
            response,
            chunk: io::Cursor::default(),
        })
    }
}

impl Connection for Http<'_> {
    fn greet(&mut self) -> Result<Box<dyn Read + '_>, GitError> {
        let mut url = self.url(GREETING);
        url.set_query(Some(&format!("service={SERVICE}")));
        let response = self.send("advertisement", || self.client.get(url.clone()))?;
        self.follow(&response.url().clone());
        Ok(self.body(response))
    }

    fn ask(&mut self, request: Vec<u8>) -> Result<Box<dyn Read + '_>, GitError> {
        let url = self.url(SERVICE);
        let response = self.send("result", || {
            let post = self.client.post(url.clone());
            post.header(CONTENT_TYPE, format!("application/x-{SERVICE}-request"))
                .header(ACCEPT, format!("application/x-{SERVICE}-result"))
                .body(request.clone())
        })?;
        Ok(self.body(response))
    }
}

/// An answer, as it comes.
struct Body<'a> {
    runtime: &'a Runtime,
    cancel: &'a Cancel,
    response: Response,
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for Body<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.chunk.read(to)?;
            if length > 0 || to.is_empty() {
                return Ok(length);
            }
            let chunk = unless(self.cancel, self.response.chunk());
            match self.runtime.block_on(chunk) {
                None => return Err(GitError::Cancelled.into_io()),
                Some(Ok(None)) => return Ok(0),
                Some(Ok(Some(bytes))) => self.chunk = io::Cursor::new(bytes.into()),
                Some(Err(error)) => {
                    let error = HttpError::from(error);
                    return Err(GitError::from(error).into_io());
                }
            }
        }
    }
}
