//! Requests to one endpoint: with its login, along its redirections, and again where that may help.

use std::sync::Arc;
use std::time::Duration;

use builder::cancel::Cancel;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Method, Request, Response, StatusCode, Url};
use tokio::time::timeout;

use super::auth::{Auth, Rejected};
use super::connections::Connections;
use super::endpoint::{Endpoint, Transport};
use super::error::RegistryError;
use super::scope::Scopes;
use super::settings::{Settings, is_loopback};
use crate::attempt::{Attempts, Failure, is_passing, retry_after};
use crate::broken::Broken;
use crate::cancellable::{Cancelled, unless};
use crate::client::MOST_REDIRECTS;

/// The longest that a host is given to show whether it speaks TLS.
const PROBE: Duration = Duration::from_secs(10);

/// What all requests of a process share.
pub struct Shared {
    pub settings: Arc<dyn Settings>,
    pub connections: Connections,
    pub auth: Auth,
    /// How long a server may be silent.
    pub silence: Duration,
}

impl Shared {
    pub fn new(settings: impl Settings + 'static, silence: Duration) -> Self {
        Self {
            settings: Arc::new(settings),
            connections: Connections::default(),
            auth: Auth::default(),
            silence,
        }
    }

    pub fn place(
        self: &Arc<Self>,
        endpoint: Endpoint,
        actions: &[&str],
        cancel: &Cancel,
        has_next: bool,
    ) -> Place {
        Place {
            shared: Arc::clone(self),
            scopes: Scopes::repository(&endpoint.repository, actions),
            endpoint: Arc::new(endpoint),
            cancel: cancel.clone(),
            has_next,
        }
    }
}

/// An endpoint, with all that is needed to speak to it.
#[derive(Clone)]
pub struct Place {
    pub shared: Arc<Shared>,
    pub endpoint: Arc<Endpoint>,
    /// What tokens have to be good for.
    pub scopes: Scopes,
    pub cancel: Cancel,
    /// Whether something else is tried when this one fails.
    pub has_next: bool,
}

/// What an endpoint is asked.
#[derive(Clone)]
pub struct Ask {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// Whether the body is for the host that is asked and no other.
    pub is_secret: bool,
    /// What it is about, in words that follow "the".
    pub what: String,
}

impl Ask {
    pub fn new(method: Method, url: Url, what: &str) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            is_secret: false,
            what: what.to_owned(),
        }
    }

    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// An answer.
pub struct Answer {
    pub response: Response,
    /// Whether another host gave it, to which the one that was asked has sent.
    pub is_elsewhere: bool,
}

impl Place {
    pub fn host(&self) -> &str {
        &self.endpoint.host
    }

    pub fn attempts(&self) -> Attempts {
        match self.has_next {
            true => Attempts::few(),
            false => Attempts::default(),
        }
    }

    /// The same, with other rights.
    pub fn scoped(&self, actions: &[&str]) -> Self {
        let scopes = Scopes::repository(&self.endpoint.repository, actions);
        Self {
            scopes: self.scopes.clone().with(&scopes),
            ..self.clone()
        }
    }

    /// An address of the repository.
    pub async fn url(&self, tail: &str) -> Result<Url, RegistryError> {
        let mut url = self.base().await?;
        url.set_path(&format!("/v2/{}/{tail}", self.endpoint.repository));
        Ok(url)
    }

    /// The address of the registry's API. It says whether TLS is spoken, which is tried where it is not
    /// set.
    pub async fn base(&self) -> Result<Url, RegistryError> {
        let (host, connections) = (&self.endpoint.host, &self.shared.connections);
        let secure = self.endpoint.base(true)?;
        match self.endpoint.transport {
            Transport::Https => return Ok(secure),
            Transport::Http => return self.endpoint.base(false),
            Transport::HttpsElseHttp => {}
        }
        let speaks = match connections.speaks_tls(host) {
            Some(speaks) => speaks,
            None => {
                let speaks = self.tries_tls(secure.clone()).await?;
                connections.note_tls(host, speaks);
                speaks
            }
        };
        if speaks {
            Ok(secure)
        } else {
            self.endpoint.base(false)
        }
    }

    /// Whether an address is the registry's own, which alone gets logins.
    pub async fn is_own(&self, url: &Url) -> Result<bool, RegistryError> {
        Ok(url.origin() == self.base().await?.origin())
    }

    async fn tries_tls(&self, url: Url) -> Result<bool, RegistryError> {
        let client = self.client(&url)?;
        let answer = timeout(PROBE.min(self.shared.silence), client.get(url).send());
        Ok(match unless(&self.cancel, answer).await.ok_or(Cancelled)? {
            // A certificate that is not trusted is no reason to go without one.
            Ok(Err(error)) => {
                let is_connect = error.is_connect();
                !is_connect || Broken::from(error).is_certificate()
            }
            Ok(Ok(_)) => true,
            Err(_) => false,
        })
    }

    pub fn client(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        let is_loopback = url.host_str().is_some_and(is_loopback);
        let connections = &self.shared.connections;
        let tls = Some(&self.endpoint.tls).filter(|_| url.scheme() == "https");
        Ok(connections.client(tls, is_loopback)?)
    }

    /// Sends it until there is an answer that is neither a wish for a login nor a failure that may
    /// pass. The answer may be a refusal.
    pub async fn send(&self, ask: &Ask) -> Result<Response, RegistryError> {
        self.send_counted(ask, &mut self.attempts()).await
    }

    /// The same, where attempts are counted together with others.
    pub async fn send_counted(
        &self,
        ask: &Ask,
        attempts: &mut Attempts,
    ) -> Result<Response, RegistryError> {
        let mut rejected = None;
        loop {
            let authorization = self.authorization(&ask.url, rejected.as_ref()).await?;
            let failure = match self.exchange(ask, authorization.as_ref()).await {
                Ok(answer) => {
                    let status = answer.response.status();
                    let is_elsewhere = answer.is_elsewhere || !self.is_own(&ask.url).await?;
                    if status == StatusCode::UNAUTHORIZED && !is_elsewhere {
                        let (what, was_renewed) = (&ask.what, rejected.is_some());
                        let renewal =
                            self.renewal(answer.response, what, authorization, was_renewed);
                        rejected = Some(renewal.await?);
                        continue;
                    }
                    // Where it was sent to, an address may be good for a short time only.
                    let expired = answer.is_elsewhere
                        && matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                    if !is_passing(status) && !expired {
                        return Ok(answer.response);
                    }
                    let after = retry_after(answer.response.headers());
                    let error = self.refusal(answer.response, &ask.what).await?;
                    Failure { error, after }
                }
                Err(error) if may_pass(&error) => error.into(),
                Err(error) => return Err(error),
            };
            attempts.wait(&self.cancel, failure).await?;
        }
    }

    /// What to do about an answer that wants a login: [`Err`] if that is not known or was done.
    pub async fn renewal(
        &self,
        response: Response,
        what: &str,
        authorization: Option<HeaderValue>,
        was_renewed: bool,
    ) -> Result<Rejected, RegistryError> {
        match self.shared.auth.note(self.host(), response.headers()) {
            Some(challenge) if !was_renewed => Ok(Rejected {
                authorization,
                scope: challenge.scope(),
            }),
            _ => Err(self.refusal(response, what).await?),
        }
    }

    /// Sends it once, with this login, which goes to the host that is asked and no other.
    pub async fn exchange(
        &self,
        ask: &Ask,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut url = ask.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let is_elsewhere = url.origin() != ask.url.origin();
            let client = self.client(&url)?;
            let mut request = Request::new(ask.method.clone(), url.clone());
            *request.headers_mut() = ask.headers.clone();
            *request.body_mut() = ask.body.clone().map(Body::from);
            if let Some(value) = authorization.filter(|_| !is_elsewhere) {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            let response = self.quiet(&url, client.execute(request)).await?;
            let response = response.map_err(|error| self.broken(&url, error))?;
            match self.next(ask, &url, &response)? {
                Some(next) => url = next,
                None => {
                    return Ok(Answer {
                        response,
                        is_elsewhere,
                    });
                }
            }
        }
        Err(RegistryError::Redirects {
            host: self.host().to_owned(),
        })
    }

    /// Waits for something unless nothing comes for too long.
    pub async fn quiet<T>(
        &self,
        url: &Url,
        future: impl Future<Output = T>,
    ) -> Result<T, RegistryError> {
        let silence = self.shared.silence;
        let waited = unless(&self.cancel, timeout(silence, future)).await;
        waited.ok_or(Cancelled)?.map_err(|_| RegistryError::Silent {
            host: shown_host(url),
            time: silence,
        })
    }

    pub fn broken(&self, url: &Url, error: reqwest::Error) -> RegistryError {
        RegistryError::Connection {
            host: shown_host(url),
            source: error.into(),
        }
    }

    pub fn protocol(&self, what: &str, problem: &str) -> RegistryError {
        RegistryError::Protocol {
            host: self.host().to_owned(),
            what: what.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

impl Endpoint {
    /// The address of the API.
    fn base(&self, is_secure: bool) -> Result<Url, RegistryError> {
        let host = match self.host.as_str() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        let scheme = if is_secure { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{host}/v2/"));
        let plain = url.ok().filter(|url| {
            url.path() == "/v2/" && url.username().is_empty() && url.query().is_none()
        });
        plain.ok_or_else(|| RegistryError::Host(self.host.clone()))
    }
}

/// Whether trying again may help.
pub fn may_pass(error: &RegistryError) -> bool {
    match error {
        RegistryError::Connection { source, .. } => !source.is_final(),
        RegistryError::Silent { .. } | RegistryError::Short { .. } => true,
        RegistryError::Refused { status, .. } => is_passing(*status),
        _ => false,
    }
}

/// The host of an address, with the port where it is not the scheme's. The rest may hold secrets.
pub fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
