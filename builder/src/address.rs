//! What an `ADD` fetches: addresses of files and of git repositories, told apart by docker's rules.
//!
//! A repository is `git@host:path`, `ssh://…`, `git://…`, or `http(s)://….git`; what of it is wanted
//! stands behind `#` as `reference:directory`, or in the query. Any other `http(s)://` is a file.
//! Source: BuildKit's documentation of git URLs.

use crate::lexical::relative;
use crate::remote::GitSource;

/// What lies on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A file.
    Http {
        /// Where it is.
        url: String,
        /// The last name of the address; empty where it has none.
        name: String,
    },
    /// A git repository.
    Git {
        /// What of it is wanted; `keep_git_dir` is false.
        source: GitSource,
        /// What the address says of `.git`.
        keep_git_dir: Option<bool>,
        /// The beginning of the commit that it must be.
        checksum: Option<String>,
    },
}

/// An address of a git repository that asks for what there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A part of the query that nobody knows.
    #[error("a git repository has no {name:?} that could be asked for")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A part of the query without a value, or with one that it cannot have.
    #[error("{value:?} is no value of {name:?}")]
    Value {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Two values for one thing.
    #[error("both {first:?} and {second:?} are given as {what}")]
    Conflict {
        /// As in `reference`.
        what: &'static str,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// A part of the query that is docker's and not built here.
    #[error("the git repository is asked for with {name}={value}, which is not supported")]
    NotSupported {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

impl Address {
    /// Reads a source of an `ADD`; `None` where it is a path.
    ///
    /// # Errors
    /// When it names a git repository, and its query asks for what there is not.
    pub fn parse(text: &str) -> Result<Option<Self>, AddressError> {
        let (whole, fragment) = split(text, '#');
        let (url, query) = split(whole, '?');
        let Some((scheme, rest)) = text
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
        else {
            return match is_scp(url) {
                true => git(url, query, fragment).map(Some),
                false => Ok(None),
            };
        };
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        let (path, _) = split(split(path, '#').0, '?');
        let path = decoded(path, false).unwrap_or_else(|| path.to_owned());
        match scheme.to_ascii_lowercase().as_str() {
            "ssh" | "git" => git(url, query, fragment).map(Some),
            "http" | "https" if path.ends_with(".git") => git(url, query, fragment).map(Some),
            // Docker looks for these letters as they are.
            "http" | "https" if matches!(scheme, "http" | "https") => {
                let name = path.trim_end_matches('/').rsplit('/').next();
                let name = name.filter(|name| !matches!(*name, "." | ".."));
                Ok(Some(Self::Http {
                    url: text.to_owned(),
                    name: name.unwrap_or_default().to_owned(),
                }))
            }
            _ => Ok(None),
        }
    }
}

/// What stands before and behind a mark.
fn split(text: &str, mark: char) -> (&str, &str) {
    text.split_once(mark).unwrap_or((text, ""))
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether it is `user@host:path`, as scp(1) has it.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let Some((host, _)) = rest.split_once(':') else {
        return false;
    };
    let of = |text: &str, others: &[u8]| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
    };
    of(user, b"-_") && of(host, b"-.")
}

fn git(url: &str, query: &str, fragment: &str) -> Result<Address, AddressError> {
    let fragment = decoded(fragment, false).unwrap_or_else(|| fragment.to_owned());
    let (reference, directory) = fragment.split_once(':').unwrap_or((&fragment, ""));
    let mut wanted = Wanted {
        reference: some(reference),
        directory: some(directory),
        submodules: true,
        ..Wanted::default()
    };
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let plain = |text: &str| decoded(text, true).unwrap_or_else(|| text.to_owned());
        wanted.add(plain(name), plain(value))?;
    }
    let Wanted {
        mut reference,
        directory,
        checksum,
        keep_git_dir,
        by_commit,
        submodules,
    } = wanted;
    if by_commit {
        // Then the commit is to be had whatever the reference leads to by now.
        let what = || AddressError::Value {
            name: "fetch-by-commit".to_owned(),
            value: "true".to_owned(),
        };
        reference = Some(checksum.clone().or(reference).ok_or_else(what)?);
    }
    Ok(Address::Git {
        source: GitSource {
            url: url.to_owned(),
            reference,
            directory: directory.as_deref().map(relative).as_deref().and_then(some),
            keep_git_dir: false,
            submodules,
        },
        keep_git_dir,
        checksum,
    })
}

/// What is asked for of a repository.
#[derive(Default)]
struct Wanted {
    reference: Option<String>,
    directory: Option<String>,
    checksum: Option<String>,
    keep_git_dir: Option<bool>,
    by_commit: bool,
    submodules: bool,
}

impl Wanted {
    fn add(&mut self, name: String, value: String) -> Result<(), AddressError> {
        let truth = |value: &str| match value {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(AddressError::Value {
                name: name.clone(),
                value: value.to_owned(),
            }),
        };
        match name.as_str() {
            "keep-git-dir" => self.keep_git_dir = Some(truth(&value)?),
            "fetch-by-commit" => self.by_commit = truth(&value)?,
            "submodules" => self.submodules = truth(&value)?,
            "mtime" if value == "checkout" => {}
            "mtime" => return Err(AddressError::NotSupported { name, value }),
            "ref" | "tag" | "branch" | "subdir" | "checksum" | "commit" if value.is_empty() => {
                return Err(AddressError::Value { name, value });
            }
            "ref" => one(&mut self.reference, value, "reference")?,
            "tag" => one(&mut self.reference, full("refs/tags/", value), "reference")?,
            "branch" => one(&mut self.reference, full("refs/heads/", value), "reference")?,
            "subdir" => one(&mut self.directory, value, "directory")?,
            "checksum" | "commit" => one(&mut self.checksum, value, "checksum")?,
            _ => return Err(AddressError::Unknown { name }),
        }
        Ok(())
    }
}

fn full(prefix: &str, name: String) -> String {
    if name.starts_with(prefix) {
        return name;
    }
    format!("{prefix}{name}")
}

fn one(slot: &mut Option<String>, value: String, what: &'static str) -> Result<(), AddressError> {
    match slot.as_ref().filter(|first| **first != value) {
        None => {
            *slot = Some(value);
            Ok(())
        }
        Some(first) => Err(AddressError::Conflict {
            what,
            first: first.clone(),
            second: value,
        }),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A text without its `%41`; `None` where one of them is malformed, or no UTF-8 comes of it.
fn decoded(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> (String, Option<String>, Option<String>) {
        match Address::parse(text).unwrap() {
            Some(Address::Git { source, .. }) => (source.url, source.reference, source.directory),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories() {
        for (text, url, reference, directory) in [
            ("https://h/a.git", "https://h/a.git", "", ""),
            ("https://h/a.git#v1", "https://h/a.git", "v1", ""),
            (
                "https://h/a.git#b/c:d/../e/./f",
                "https://h/a.git",
                "b/c",
                "e/f",
            ),
            ("http://h:80/a.git#:/d/", "http://h:80/a.git", "", "d"),
            ("git@h:o/a.git#v1:d", "git@h:o/a.git", "v1", "d"),
            ("git@h:o/a", "git@h:o/a", "", ""),
            ("ssh://u@h:22/a", "ssh://u@h:22/a", "", ""),
            ("git://h/a#main", "git://h/a", "main", ""),
            ("HTTPS://h/a.git", "HTTPS://h/a.git", "", ""),
            (
                "https://h/a.git?ref=v1&subdir=x%2Fy",
                "https://h/a.git",
                "v1",
                "x/y",
            ),
            (
                "https://h/a.git?tag=v1",
                "https://h/a.git",
                "refs/tags/v1",
                "",
            ),
            (
                "https://h/a.git?branch=b#refs/heads/b",
                "https://h/a.git",
                "refs/heads/b",
                "",
            ),
            (
                "https://h/a.git?commit=abc&fetch-by-commit",
                "https://h/a.git",
                "abc",
                "",
            ),
            ("https://h/a.git#:../../etc", "https://h/a.git", "", "etc"),
        ] {
            let found = git(text);
            let some = |text| super::some(text);
            assert_eq!(
                found,
                (url.to_owned(), some(reference), some(directory)),
                "{text}"
            );
        }
        let parsed = Address::parse("https://h/a.git?keep-git-dir=1&checksum=abc").unwrap();
        let Some(Address::Git {
            keep_git_dir,
            checksum,
            ..
        }) = parsed
        else {
            panic!("{parsed:?}");
        };
        assert_eq!(
            (keep_git_dir, checksum.as_deref()),
            (Some(true), Some("abc"))
        );
    }

    #[test]
    fn files_and_paths() {
        for (text, name) in [
            ("https://h/a/b.tar.gz?x=1#y", "b.tar.gz"),
            ("http://h", ""),
            ("http://h/", ""),
            ("http://h/a/", "a"),
            ("http://h/a%20b", "a b"),
            ("http://h/a%2fb", "b"),
            ("http://h/a/..", ""),
            ("http://h/%zz", "%zz"),
            ("https://h/x?y=a.git", "x"),
        ] {
            let url = text.to_owned();
            let name = name.to_owned();
            let expected = Some(Address::Http { url, name });
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
        for path in [
            "a",
            "./git@h:x",
            "a/b.git",
            "ftp://h/a",
            "HTTP://h/a",
            "github.com/a/b",
            "@h:x",
            "u@h",
            "://x",
            "a b@h:x",
        ] {
            assert_eq!(Address::parse(path), Ok(None), "{path}");
        }
    }

    #[test]
    fn queries_that_nobody_answers() {
        for query in [
            "x=1",
            "ref=",
            "ref=a&ref=b",
            "tag=a&branch=a",
            "submodules=perhaps",
            "mtime=commit",
            "keep-git-dir=perhaps",
            "fetch-by-commit",
        ] {
            let text = format!("https://h/a.git?{query}");
            assert!(Address::parse(&text).is_err(), "{query}");
        }
        assert!(Address::parse("https://h/a.git?ref=a#b").is_err());
    }
}
