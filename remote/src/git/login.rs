//! Who fetches a repository over HTTP, as the secrets of a build say.
//!
//! Source: docker's documentation of build secrets, "Git authentication for remote contexts".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use builder::request::Secret;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::error::GitError;

/// The secret that is the whole header `Authorization`.
const HEADER: &str = "GIT_AUTH_HEADER";
/// The secret that is the password of [`USER`].
const TOKEN: &str = "GIT_AUTH_TOKEN";
/// The user that goes with a token, as GitHub and GitLab take it.
const USER: &str = "x-access-token";

/// The secrets that let a build fetch repositories: `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER`, and either
/// with `.host` (and `:port`, where it is not the usual one) for that host alone.
#[derive(Clone, Debug, Default)]
pub struct Logins(BTreeMap<String, Secret>);

impl Logins {
    /// Those among the secrets of a build.
    #[must_use]
    pub fn of(secrets: &BTreeMap<String, Secret>) -> Self {
        let ours = secrets.iter().filter(|(id, _)| {
            [HEADER, TOKEN].iter().any(|name| {
                let rest = id.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        });
        Self(
            ours.map(|(id, secret)| (id.clone(), secret.clone()))
                .collect(),
        )
    }

    /// What to send to an address as `Authorization`. What names no host goes to the one that the build
    /// names, and not to those that the repository leads to.
    pub fn header(&self, url: &Url, named: bool) -> Result<Option<HeaderValue>, GitError> {
        let host = match (url.host_str(), url.port()) {
            (None, _) => return Ok(None),
            (Some(host), None) => host.to_owned(),
            (Some(host), Some(port)) => format!("{host}:{port}"),
        };
        let ids = [
            (format!("{HEADER}.{host}"), true),
            (format!("{TOKEN}.{host}"), true),
            (HEADER.to_owned(), named),
            (TOKEN.to_owned(), named),
        ];
        for (id, holds) in ids {
            let Some(Secret(value)) = self.0.get(&id).filter(|_| holds) else {
                continue;
            };
            // A file ends with a line end.
            let value = value.trim_ascii_end();
            let header = match id.starts_with(TOKEN) {
                true => {
                    let login = [USER.as_bytes(), b":", value].concat();
                    HeaderValue::try_from(format!("Basic {}", STANDARD.encode(login)))
                }
                false => HeaderValue::from_bytes(value),
            };
            let mut header = header.map_err(|_| GitError::Login(id))?;
            header.set_sensitive(true);
            return Ok(Some(header));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(secrets: &[(&str, &str)], url: &str, named: bool) -> Option<String> {
        let secrets = secrets
            .iter()
            .map(|(id, value)| ((*id).to_owned(), Secret(value.as_bytes().to_vec())));
        let logins = Logins::of(&secrets.collect());
        let found = logins.header(&Url::parse(url).unwrap(), named).unwrap();
        found.map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_host_comes_first_and_then_the_header() {
        let all = [
            ("GIT_AUTH_TOKEN", "t\n"),
            ("GIT_AUTH_HEADER", "bearer h\n"),
            ("GIT_AUTH_TOKEN.a", "at"),
            ("GIT_AUTH_HEADER.a:81", "bearer a81"),
            ("GIT_AUTH_TOKENS", "no"),
        ];
        let basic = |login: &str| Some(format!("Basic {}", STANDARD.encode(login)));
        let of = |url, named| header(&all, url, named);
        assert_eq!(of("https://a/r.git", true), basic("x-access-token:at"));
        assert_eq!(of("https://a:443/r.git", false), basic("x-access-token:at"));
        assert_eq!(of("https://a:81/r.git", false), Some("bearer a81".into()));
        assert_eq!(of("https://b/r.git", true), Some("bearer h".into()));
        assert_eq!(of("https://b/r.git", false), None);
        assert_eq!(
            header(&all[..1], "https://b/r.git", true),
            basic("x-access-token:t")
        );
    }

    #[test]
    fn a_header_is_one_line() {
        let secret = Secret(b"a\nB: c".to_vec());
        let logins = Logins::of(&BTreeMap::from([(HEADER.to_owned(), secret)]));
        let url = Url::parse("https://a/r.git").unwrap();
        let refused = logins.header(&url, true).unwrap_err();
        assert!(matches!(refused, GitError::Login(id) if id == HEADER));
    }
}
