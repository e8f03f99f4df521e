//! Whether a login is good.

use std::sync::Arc;
use std::time::Duration;

use builder::cancel::Cancel;
use image_format::reference::Reference;
use reqwest::{Method, StatusCode};

use super::auth::Realm;
use super::challenge::Challenge;
use super::credentials::{Credentials, Secret};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::place::{Ask, Place, Shared};
use super::scope::Scopes;
use super::settings::{Access, Settings};

/// The login that is tried, and no other.
struct Tried(Credentials);

impl Settings for Tried {
    fn endpoints(&self, _: &Reference, _: Access) -> Result<Vec<Endpoint>, RegistryError> {
        Ok(Vec::new())
    }

    fn credentials(&self, _: &str, _: &str) -> Result<Credentials, RegistryError> {
        Ok(self.0.clone())
    }
}

/// Tries a login, and has an identity token given where the registry gives one.
pub async fn try_login(
    endpoint: &Endpoint,
    credentials: &Credentials,
    silence: Duration,
    cancel: &Cancel,
) -> Result<Option<Secret>, RegistryError> {
    // Nothing that is known of other logins is of use.
    let shared = Arc::new(Shared::new(Tried(credentials.clone()), silence));
    let mut place = shared.place(endpoint.clone(), &[], cancel, false);
    place.scopes = Scopes::default();
    let ask = Ask::new(Method::GET, place.base().await?, "login");
    let response = place.send(&ask).await?;
    if response.status() != StatusCode::OK {
        return Err(place.refusal(response, &ask.what).await?);
    }
    identity_token(&place, credentials).await
}

async fn identity_token(
    place: &Place,
    credentials: &Credentials,
) -> Result<Option<Secret>, RegistryError> {
    let challenge = place.shared.auth.challenge(place.host());
    let Some(Challenge::Bearer { realm, service, .. }) = challenge else {
        return Ok(None);
    };
    if !matches!(credentials, Credentials::Basic { .. }) {
        return Ok(None);
    }
    let realm = Realm { realm, service };
    let scopes = Scopes::default();
    let given = place.fetch_token(&realm, credentials, &scopes, true);
    let token = given.await?.refresh_token;
    Ok(token.filter(|token| !token.reveal().is_empty()))
}
