//! Logins and tokens.
//!
//! Source: the distribution project's "Token Authentication Specification" and "OAuth2 Token
//! Authentication".

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex as Turn;

use super::challenge::Challenge;
use super::connections::lock;
use super::credentials::{Credentials, Secret};
use super::error::RegistryError;
use super::place::{Ask, Place, may_pass, shown_host};
use super::scope::Scopes;
use crate::attempt::{Failure, is_passing, retry_after};
use crate::cancellable::unless;

/// The name of this client with token servers.
const CLIENT: &str = "mkimg";
/// How long a token is good for whose server does not say.
const USUAL: u64 = 60;
/// No token is taken to be good for longer than a day.
const LONGEST_LIFE: u64 = 24 * 60 * 60;
/// As long before its end a token is renewed, if that is not a fifth of its life.
const MARGIN: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: usize = 1024 * 1024;

/// What is known of logins.
#[derive(Default)]
pub struct Auth {
    /// How each host wants to be spoken to.
    challenges: Mutex<HashMap<String, Challenge>>,
    /// By host and repository.
    credentials: Mutex<HashMap<(String, String), Credentials>>,
    /// By host and scopes. One at a time has one fetched.
    tokens: Mutex<HashMap<(String, String), Arc<Slot>>>,
}

/// A token, and whose turn it is to have it given.
type Slot = Turn<Option<Token>>;

struct Token {
    header: HeaderValue,
    /// When it has to be renewed.
    until: Instant,
}

/// What a registry has refused, and what it wants.
pub struct Rejected {
    pub authorization: Option<HeaderValue>,
    pub scope: Option<String>,
}

/// What a token server gives.
#[derive(Deserialize)]
pub struct Given {
    token: Option<Secret>,
    access_token: Option<Secret>,
    /// Seconds; whatever else it is is as if it were not there.
    expires_in: Option<Value>,
    /// An identity token, where one was asked for.
    pub refresh_token: Option<Secret>,
}

impl Auth {
    /// Notes how a host wants to be spoken to, as its answer says, if that is known.
    pub fn note(&self, host: &str, headers: &HeaderMap) -> Option<Challenge> {
        let challenge = Challenge::of(headers)?;
        lock(&self.challenges).insert(host.to_owned(), challenge.clone());
        Some(challenge)
    }

    pub fn challenge(&self, host: &str) -> Option<Challenge> {
        lock(&self.challenges).get(host).cloned()
    }
}

impl Place {
    /// What to send along with a request; anew where the last was refused.
    pub async fn authorization(
        &self,
        url: &Url,
        rejected: Option<&Rejected>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        // Uploads may go elsewhere, where the login is nobody's business.
        if !self.is_own(url).await? {
            return Ok(None);
        }
        let Some(challenge) = self.shared.auth.challenge(self.host()) else {
            return Ok(None);
        };
        match (challenge, self.credentials().await?) {
            (_, Credentials::RegistryToken(token)) => {
                self.header("Bearer", token.reveal()).map(Some)
            }
            (Challenge::Basic, Credentials::Basic { username, password }) => {
                self.basic(&username, &password).map(Some)
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, .. }, credentials) => {
                let realm = Realm { realm, service };
                self.token(&realm, &credentials, rejected).await.map(Some)
            }
        }
    }

    /// Whether there is a login, as far as it was looked for.
    pub fn is_logged_in(&self) -> bool {
        let known = lock(&self.shared.auth.credentials);
        known
            .get(&self.key())
            .is_some_and(|known| *known != Credentials::Anonymous)
    }

    fn key(&self) -> (String, String) {
        (self.endpoint.host.clone(), self.endpoint.repository.clone())
    }

    async fn credentials(&self) -> Result<Credentials, RegistryError> {
        let key = self.key();
        if let Some(known) = lock(&self.shared.auth.credentials).get(&key) {
            return Ok(known.clone());
        }
        // A helper program may be asked, which takes its time.
        let settings = Arc::clone(&self.shared.settings);
        let (host, repository) = key.clone();
        let looked = tokio::task::spawn_blocking(move || settings.credentials(&host, &repository));
        let found = match self.unless_cancelled(looked).await? {
            Ok(found) => found?,
            Err(error) => return Err(RegistryError::Settings(Box::new(error))),
        };
        lock(&self.shared.auth.credentials).insert(key, found.clone());
        Ok(found)
    }

    pub async fn unless_cancelled<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, RegistryError> {
        let waited = unless(&self.cancel, future).await;
        waited.ok_or(RegistryError::Cancelled)
    }

    async fn token(
        &self,
        realm: &Realm,
        credentials: &Credentials,
        rejected: Option<&Rejected>,
    ) -> Result<HeaderValue, RegistryError> {
        let key = (self.endpoint.host.clone(), self.scopes.joined());
        let turn = Arc::clone(lock(&self.shared.auth.tokens).entry(key).or_default());
        let mut kept = self.unless_cancelled(turn.lock()).await?;
        let refused = rejected.and_then(|rejected| rejected.authorization.as_ref());
        let good = kept
            .as_ref()
            .filter(|token| token.until > Instant::now() && Some(&token.header) != refused);
        if let Some(token) = good {
            return Ok(token.header.clone());
        }
        let asked = Instant::now();
        let mut scopes = self.scopes.clone();
        let wanted = rejected.and_then(|rejected| rejected.scope.as_deref());
        scopes.add(wanted.unwrap_or_default());
        let given = self.fetch_token(realm, credentials, &scopes, false).await?;
        let life = given.expires_in.and_then(|life| life.as_u64());
        let life = life.filter(|life| *life > 0).unwrap_or(USUAL);
        let life = Duration::from_secs(life.min(LONGEST_LIFE));
        let text = given.token.or(given.access_token);
        let Some(text) = text.filter(|text| !text.reveal().is_empty()) else {
            return Err(self.protocol("token", "its token server gives none"));
        };
        let header = self.header("Bearer", text.reveal())?;
        *kept = Some(Token {
            header: header.clone(),
            until: asked + life.saturating_sub(MARGIN.min(life / 5)),
        });
        Ok(header)
    }

    /// Has a token given, and an identity token if that is wanted.
    pub async fn fetch_token(
        &self,
        realm: &Realm,
        credentials: &Credentials,
        scopes: &Scopes,
        is_kept: bool,
    ) -> Result<Given, RegistryError> {
        let (ask, authorization) = self
            .token_request(realm, credentials, scopes, is_kept)
            .await?;
        let mut attempts = self.attempts();
        loop {
            let failure = match self.exchange(&ask, authorization.as_ref()).await {
                Ok(answer) if answer.response.status() == StatusCode::OK => {
                    let body = self.body(answer.response, &ask.what, LONGEST_ANSWER);
                    match body.await {
                        Ok(body) => {
                            let given = serde_json::from_slice(&body);
                            return given.map_err(|_| {
                                self.protocol(&ask.what, "its token server gives none")
                            });
                        }
                        Err(error) if may_pass(&error) => error.into(),
                        Err(error) => return Err(error),
                    }
                }
                Ok(answer) => {
                    let status = answer.response.status();
                    let after = retry_after(answer.response.headers());
                    let error = self.refusal(answer.response, &ask.what).await?;
                    // OAuth 2 says so of a login that is not good.
                    let error = match error {
                        RegistryError::Refused {
                            host,
                            what,
                            said,
                            status,
                        } if status == StatusCode::BAD_REQUEST && ask.method == Method::POST => {
                            RegistryError::Unauthorized {
                                host,
                                what,
                                said,
                                logged_in: true,
                            }
                        }
                        other => other,
                    };
                    if !is_passing(status) {
                        return Err(error);
                    }
                    Failure { error, after }
                }
                Err(error) if may_pass(&error) => error.into(),
                Err(error) => return Err(error),
            };
            attempts.wait(&self.cancel, failure).await?;
        }
    }

    async fn token_request(
        &self,
        realm: &Realm,
        credentials: &Credentials,
        scopes: &Scopes,
        is_kept: bool,
    ) -> Result<(Ask, Option<HeaderValue>), RegistryError> {
        let what = match scopes.each().next() {
            Some(_) => format!("token for {}", self.endpoint.repository),
            None => "token".to_owned(),
        };
        let url = Url::parse(&realm.realm).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(mut url) = url else {
            return Err(self.protocol(&what, "it sends to a token server that has no address"));
        };
        if url.scheme() == "http" && self.base().await?.scheme() == "https" {
            return Err(RegistryError::Unencrypted {
                host: self.host().to_owned(),
                to: shown_host(&url),
            });
        }
        // It fails for addresses that cannot have one.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        if let Credentials::IdentityToken(token) = credentials {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("service", realm.service.as_deref().unwrap_or_default());
            form.append_pair("client_id", CLIENT);
            form.append_pair("scope", &scopes.joined());
            form.append_pair("refresh_token", token.reveal());
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            let mut ask = Ask::new(Method::POST, url, &what).with(CONTENT_TYPE, kind);
            ask.body = Some(Bytes::from(form.finish()));
            ask.is_secret = true;
            return Ok((ask, None));
        }
        let mut authorization = None;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &realm.service {
                query.append_pair("service", service);
            }
            for scope in scopes.each() {
                query.append_pair("scope", &scope);
            }
            if let Credentials::Basic { username, password } = credentials {
                query.append_pair("account", username);
                authorization = Some(self.basic(username, password)?);
            }
            if is_kept {
                query
                    .append_pair("client_id", CLIENT)
                    .append_pair("offline_token", "true");
            }
        }
        Ok((Ask::new(Method::GET, url, &what), authorization))
    }

    fn basic(&self, username: &str, password: &Secret) -> Result<HeaderValue, RegistryError> {
        let both = format!("{username}:{}", password.reveal());
        self.header("Basic", &STANDARD.encode(both))
    }

    fn header(&self, scheme: &str, value: &str) -> Result<HeaderValue, RegistryError> {
        let header = HeaderValue::try_from(format!("{scheme} {value}"));
        let mut header =
            header.map_err(|_| self.protocol("token", "it cannot stand in a header"))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// Where tokens are given.
pub struct Realm {
    pub realm: String,
    pub service: Option<String>,
}
