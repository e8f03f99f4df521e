//! Several servers for one repository: the next is asked when one fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::endpoint::Serves;
use super::error::RegistryError;
use super::place::Place;

/// The servers that have a repository, the registry itself as the last.
#[derive(Clone)]
pub struct Places {
    all: Arc<[Place]>,
    /// Which of them are not asked again: they are not there, or lie.
    out: Arc<[AtomicBool]>,
}

impl Places {
    /// They must be one at least.
    pub fn new(all: Vec<Place>) -> Self {
        let out = all.iter().map(|_| AtomicBool::new(false)).collect();
        Self {
            all: all.into(),
            out,
        }
    }

    /// The registry itself.
    pub fn origin(&self) -> &Place {
        &self.all[self.all.len() - 1]
    }

    /// Asks one after the other for what is named by a digest, or else by a tag.
    pub fn round(&self, by_digest: bool) -> Round {
        let mut round = Round {
            places: self.clone(),
            by_digest,
            at: 0,
            failed: Vec::new(),
        };
        round.skip();
        round
    }
}

/// The servers in turn.
pub struct Round {
    places: Places,
    by_digest: bool,
    at: usize,
    /// What those said that failed.
    failed: Vec<String>,
}

impl Round {
    /// The one to ask.
    pub fn place(&self) -> &Place {
        &self.places.all[self.at]
    }

    /// Goes on to the next; without one, the error is the end.
    pub fn failed(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let is_last = self.at + 1 >= self.places.all.len();
        if is_last || matches!(error, RegistryError::Cancelled) {
            return Err(match self.failed.is_empty() {
                true => error,
                false => RegistryError::Everywhere {
                    mirrors: std::mem::take(&mut self.failed).join("; "),
                    last: Box::new(error),
                },
            });
        }
        if error.is_unreachable() {
            self.distrust();
        }
        let mut words = error.to_string();
        if let Some(cause) = std::error::Error::source(&error) {
            words.push_str(&format!(": {cause}"));
        }
        self.failed.push(words);
        self.at += 1;
        self.skip();
        Ok(())
    }

    /// The one that was asked is not asked again, if there is another.
    pub fn distrust(&self) {
        self.places.out[self.at].store(true, Ordering::Relaxed);
    }

    fn skip(&mut self) {
        while self.at + 1 < self.places.all.len() && !self.is_asked() {
            self.at += 1;
        }
    }

    fn is_asked(&self) -> bool {
        let serves = match self.place().endpoint.serves {
            Serves::All => true,
            Serves::Digests => self.by_digest,
            Serves::Tags => !self.by_digest,
        };
        serves && !self.places.out[self.at].load(Ordering::Relaxed)
    }
}
