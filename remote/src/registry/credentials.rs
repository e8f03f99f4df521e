//! As whom a registry is spoken to.

use std::fmt;

use serde::Deserialize;

/// What is never shown: a password or a token.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for whom it is meant.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Credentials {
    /// None.
    #[default]
    Anonymous,
    /// `auth`, or `username` and `password`.
    Basic {
        /// The user.
        username: String,
        /// The password, or what a registry gives in its place.
        password: Secret,
    },
    /// `identitytoken`: a refresh token (OAuth 2) that access tokens are had for.
    IdentityToken(Secret),
    /// `registrytoken`: an access token, sent as it is.
    RegistryToken(Secret),
}
