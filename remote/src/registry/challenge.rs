//! What a server wants to see before it answers: `WWW-Authenticate`.
//!
//! Source: RFC 9110, section 11.6.1; the distribution project's token authentication.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// As many bytes of it are read.
const LONGEST: usize = 16 * 1024;

/// A way to authenticate that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token that another server gives.
    Bearer {
        /// The address of that server.
        realm: String,
        /// What the registry is called there.
        service: Option<String>,
        /// What the token is to be good for, where the registry says it.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The best of those that an answer offers, if any is known.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let offered = headers.get_all(WWW_AUTHENTICATE).into_iter();
        let texts = offered.filter_map(|value| value.to_str().ok());
        let all: Vec<Self> = texts.flat_map(known).collect();
        let bearer = all.iter().find(|one| **one != Self::Basic);
        bearer.or(all.first()).cloned()
    }

    /// What a token is to be good for, where the registry says it.
    pub fn scope(self) -> Option<String> {
        match self {
            Self::Basic => None,
            Self::Bearer { scope, .. } => scope,
        }
    }
}

fn known(text: &str) -> Vec<Challenge> {
    let offered = parse(text.get(..LONGEST).unwrap_or(text));
    let understood = offered.into_iter().filter_map(|mut one| {
        if one.scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        one.scheme.eq_ignore_ascii_case("bearer").then_some(())?;
        Some(Challenge::Bearer {
            realm: one.take("realm")?,
            service: one.take("service"),
            scope: one.take("scope").filter(|scope| !scope.is_empty()),
        })
    });
    understood.collect()
}

/// A scheme with its parameters.
struct Offered {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Offered {
    fn take(&mut self, name: &str) -> Option<String> {
        let mut all = self.parameters.iter();
        let at = all.position(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(self.parameters.swap_remove(at).1)
    }
}

fn parse(text: &str) -> Vec<Offered> {
    let mut all: Vec<Offered> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            // Nothing that follows can be understood.
            return all;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        rest = match (value, all.last_mut()) {
            (Some(value), Some(last)) => {
                let Some((value, after)) = read_value(value.trim_start_matches([' ', '\t'])) else {
                    return all;
                };
                last.parameters.push((word.to_owned(), value));
                after
            }
            (Some(_), None) => return all,
            (None, _) => {
                all.push(Offered {
                    scheme: word.to_owned(),
                    parameters: Vec::new(),
                });
                after
            }
        };
    }
}

/// A token or a quoted string, and what follows.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Some servers quote what they should and some do not; the padding of a `token68` is here too.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &quoted[at + 1..])),
            (_, '\\') => value.push(chars.next()?.1),
            (_, char) => value.push(char),
        }
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let headers = values
            .iter()
            .map(|value| (WWW_AUTHENTICATE, value.parse().unwrap()));
        let mut map = HeaderMap::new();
        map.extend(headers);
        Challenge::of(&map)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn understands_what_registries_send() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                   scope=\"repository:library/debian:pull,push\"";
        assert_eq!(
            of(&[hub]),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/debian:pull,push")
            )
        );
        assert_eq!(of(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(of(&["basic"]), Some(Challenge::Basic));
        assert_eq!(
            of(&["BEARER Realm = \"a\" , SERVICE=b"]),
            bearer("a", Some("b"), None)
        );
    }

    #[test]
    fn picks_a_known_one_of_several() {
        let all = "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\", Bearer realm=x\", \
                   Basic realm=\"simple\"";
        assert_eq!(of(&[all]), Some(Challenge::Basic));
        assert_eq!(
            of(&["Basic realm=a", "Bearer realm=\"b\""]),
            bearer("b", None, None)
        );
        assert_eq!(
            of(&["Negotiate YWJj==, Bearer realm=b"]),
            bearer("b", None, None)
        );
        assert_eq!(of(&["Negotiate, Digest realm=\"x\""]), None);
    }

    #[test]
    fn makes_nothing_of_nonsense() {
        for text in [
            "",
            ",,,",
            "=",
            "realm=x",
            "Bearer",
            "Bearer service=x",
            "\"Basic\"",
            "Bearer realm=\"open",
        ] {
            assert_eq!(of(&[text]), None, "{text}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[&"a".repeat(100_000)]), None);
    }
}
