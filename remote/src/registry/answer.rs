//! What answers say.

use bytes::Bytes;
use reqwest::{Response, StatusCode};

use super::error::RegistryError;
use super::place::Place;
use super::said::{LONGEST_ANSWER, words};

impl Place {
    /// What a refusal says.
    pub async fn refusal(
        &self,
        response: Response,
        what: &str,
    ) -> Result<RegistryError, RegistryError> {
        let status = response.status();
        let said = match self.body(response, what, LONGEST_ANSWER).await {
            Ok(body) => words(&body),
            Err(RegistryError::Cancelled) => return Err(RegistryError::Cancelled),
            // The status says enough.
            Err(_) => String::new(),
        };
        let (host, what) = (self.host().to_owned(), what.to_owned());
        Ok(match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { host, what, said },
            StatusCode::UNAUTHORIZED => RegistryError::Unauthorized {
                host,
                what,
                said,
                logged_in: self.is_logged_in(),
            },
            StatusCode::FORBIDDEN => RegistryError::Forbidden { host, what, said },
            status => RegistryError::Refused {
                host,
                what,
                status,
                said,
            },
        })
    }

    /// The body of an answer, of at most so many bytes.
    pub async fn body(
        &self,
        mut response: Response,
        what: &str,
        most: usize,
    ) -> Result<Bytes, RegistryError> {
        let too_long = || RegistryError::TooLong {
            host: self.host().to_owned(),
            what: what.to_owned(),
            most,
        };
        let url = response.url().clone();
        let expected = response.content_length();
        if expected.is_some_and(|length| length > most as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        loop {
            let chunk = self.quiet(&url, response.chunk()).await?;
            match chunk.map_err(|error| self.broken(&url, error))? {
                Some(chunk) if body.len() + chunk.len() > most => return Err(too_long()),
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body.into()),
            }
        }
    }
}
