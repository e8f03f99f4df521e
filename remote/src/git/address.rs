//! Where a repository is.
//!
//! Source: git-fetch(1), "GIT URLS".

use reqwest::Url;

use super::error::GitError;

/// Where a repository is, by the protocol that is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://…`, `https://…`.
    Http(Url),
    /// `git://host[:port]/path`.
    Daemon {
        host: String,
        port: u16,
        path: String,
    },
    /// `ssh://[user@]host[:port]/path`, or `[user@]host:path`.
    Ssh {
        /// With the user, where one is given.
        host: String,
        port: Option<u16>,
        path: String,
    },
}

/// The port of git's own protocol.
const DAEMON_PORT: u16 = 9418;

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        if !text.contains("://") {
            return Self::parse_short(text);
        }
        let url = Url::parse(text).map_err(|_| GitError::Address)?;
        let host = url.host_str().ok_or(GitError::Address)?.to_owned();
        // Of another protocol than the web's, what is written is what is meant.
        let path = || crate::http::decode(url.path()).ok_or(GitError::Address);
        match url.scheme() {
            "http" | "https" => {
                let mut url = url;
                url.set_fragment(None);
                Ok(Self::Http(url))
            }
            "git" => Ok(Self::Daemon {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: url.port().unwrap_or(DAEMON_PORT),
                path: checked(path()?)?,
            }),
            "ssh" | "git+ssh" | "ssh+git" => {
                let host = host.trim_matches(['[', ']']);
                let path = path()?;
                Ok(Self::Ssh {
                    host: checked(match url.username() {
                        "" => host.to_owned(),
                        user => format!("{user}@{host}"),
                    })?,
                    port: url.port(),
                    // `/~user/…` is relative to a home.
                    path: checked(match path.strip_prefix("/~") {
                        Some(rest) => format!("~{rest}"),
                        None => path,
                    })?,
                })
            }
            scheme => Err(GitError::Scheme(scheme.to_owned())),
        }
    }

    /// `[user@]host:path`, as scp has it.
    fn parse_short(text: &str) -> Result<Self, GitError> {
        match text.split_once(':') {
            Some((host, path)) if !host.is_empty() && !host.contains('/') => Ok(Self::Ssh {
                host: checked(host.to_owned())?,
                port: None,
                path: checked(path.to_owned())?,
            }),
            _ => Err(GitError::Address),
        }
    }
}

/// What neither a program nor the protocol takes for something else: an option, or two lines.
fn checked(text: String) -> Result<String, GitError> {
    match text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        true => Err(GitError::Address),
        false => Ok(text),
    }
}

/// The address of a submodule: `./` and `../` in front lead on from its parent's.
pub fn resolve(parent: &str, address: &str) -> Result<String, GitError> {
    if !address.starts_with("./") && !address.starts_with("../") {
        return Ok(address.to_owned());
    }
    let path = match parent.split_once("://") {
        Some((_, rest)) => rest.split_once('/'),
        None => parent.split_once(':'),
    };
    let (_, path) = path.ok_or(GitError::Address)?;
    let head = &parent[..parent.len() - path.len()];
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut rest = address;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            rest = after;
            parts.pop().ok_or(GitError::Address)?;
        } else {
            parts.push(rest);
            return Ok(format!("{head}{}", parts.join("/")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(host: &str, port: Option<u16>, path: &str) -> Address {
        let (host, path) = (host.to_owned(), path.to_owned());
        Address::Ssh { host, port, path }
    }

    #[test]
    fn reads_every_form() {
        for (text, expected) in [
            ("git@host:a/b.git", ssh("git@host", None, "a/b.git")),
            ("host:b", ssh("host", None, "b")),
            ("ssh://me@host:22/a", ssh("me@host", Some(22), "/a")),
            ("ssh://host/~me/a%20b", ssh("host", None, "~me/a b")),
            ("ssh://[::1]/a", ssh("::1", None, "/a")),
        ] {
            assert_eq!(Address::parse(text).unwrap(), expected, "{text}");
        }
        let Address::Daemon { host, port, path } = Address::parse("git://h:1/p").unwrap() else {
            panic!("another protocol");
        };
        assert_eq!((host.as_str(), port, path.as_str()), ("h", 1, "/p"));
    }

    #[test]
    fn what_a_program_would_take_for_more_is_no_address() {
        for text in [
            "/etc",
            "./a",
            "file:///etc",
            "ext::sh -c id",
            "-oProxyCommand=id:x",
            "ssh://-oProxyCommand=id/x",
            "host:-x",
            "host:a\nb",
            "git://h/%0a",
            "",
            "https://",
        ] {
            let parsed = Address::parse(text);
            let is_refused = match &parsed {
                // Nobody has a host of such a name; nothing is run but ssh.
                Ok(Address::Ssh { host, .. }) => host == "ext",
                other => other.is_err(),
            };
            assert!(is_refused, "{text}: {parsed:?}");
        }
    }

    #[test]
    fn a_submodule_lies_beside_its_parent() {
        for (parent, address, expected) in [
            ("https://h/a/b.git", "../c.git", Some("https://h/a/c.git")),
            ("https://h/a/b/", "./c", Some("https://h/a/b/c")),
            ("https://h/a/b", "../../c", Some("https://h/c")),
            ("https://h/a", "../../c", None),
            ("git@h:a/b", "../c", Some("git@h:a/c")),
            ("git@h:b", "../c", Some("git@h:c")),
            ("https://h/a", "https://i/x", Some("https://i/x")),
        ] {
            assert_eq!(
                resolve(parent, address).ok().as_deref(),
                expected,
                "{parent} {address}"
            );
        }
    }
}
