//! A file with logins: docker's `config.json`, and the `auth.json` of containers-auth.json(5).

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::SettingsError;
use super::{file, key};
use crate::registry::credentials::{Credentials, Secret};

/// Base64 as others write it, with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file says.
#[derive(Debug, Default)]
pub struct AuthFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

/// A login as it is kept. It has what must not be shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(rename = "registrytoken")]
    registry_token: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A program that keeps the logins of a registry, as a file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What follows `docker-credential-`.
    pub program: String,
    /// What the program keeps the login under.
    pub key: String,
}

impl AuthFile {
    /// Reads a file. One that is not there says nothing.
    ///
    /// # Errors
    /// When it cannot be read, or is not such a file.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let content = match text(path)? {
            Some(text) => parse(path, &text)?,
            None => Content::default(),
        };
        Ok(Self {
            path: path.to_owned(),
            content,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The program that keeps the logins of a registry, if there is one.
    #[must_use]
    pub fn helper(&self, host: &str) -> Option<Named> {
        let own = self.content.helpers.as_ref().and_then(|helpers| {
            let exact = helpers.get_key_value(host);
            exact.or_else(|| helpers.iter().find(|(name, _)| key::registry(name) == host))
        });
        if let Some((name, program)) = own.filter(|(_, program)| !program.is_empty()) {
            return Some(Named {
                program: program.clone(),
                key: name.clone(),
            });
        }
        let store = self.content.store.as_ref();
        store.filter(|store| !store.is_empty()).map(|store| Named {
            program: store.clone(),
            key: key::docker(host).to_owned(),
        })
    }

    /// The login for a repository that stands in the file itself: that of the repository, else of the
    /// closest part of the registry, else of the registry by any of its names.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn login(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, SettingsError> {
        let Some(auths) = &self.content.auths else {
            return Ok(None);
        };
        let exact = key::candidates(host, repository);
        let exact = exact.filter_map(|name| auths.get_key_value(&name));
        let others = auths.iter().filter(|(name, _)| key::registry(name) == host);
        for (name, entry) in exact.chain(others) {
            let login = entry.as_ref().map(|entry| self.credentials(name, entry));
            // Those that a program keeps stand here with nothing.
            if let Some(login) = login.transpose()?.flatten() {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    fn credentials(&self, name: &str, entry: &Entry) -> Result<Option<Credentials>, SettingsError> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = set(&entry.registry_token) {
            return Ok(Some(Credentials::RegistryToken(Secret::new(token))));
        }
        if let Some(token) = set(&entry.identity_token) {
            return Ok(Some(Credentials::IdentityToken(Secret::new(token))));
        }
        let (username, password) = match (set(&entry.auth), set(&entry.username)) {
            (Some(auth), _) => decoded(&auth).ok_or_else(|| SettingsError::Login {
                path: self.path.clone(),
                name: name.to_owned(),
            })?,
            (None, Some(username)) => (username, set(&entry.password).unwrap_or_default()),
            (None, None) => return Ok(None),
        };
        Ok(Some(Credentials::Basic {
            username,
            password: Secret::new(password),
        }))
    }
}

/// User and password of an `auth`.
fn decoded(auth: &str) -> Option<(String, String)> {
    let bytes = BASE64.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    // Old versions of docker padded it.
    let password = password.trim_matches('\0');
    Some((username.to_owned(), password.to_owned()))
}

/// What is written under a registry's name.
#[derive(Clone, Debug)]
pub enum Kept<'a> {
    /// User and password.
    Basic(&'a str, &'a Secret),
    /// The user, and the token that the registry gave for the password.
    IdentityToken(&'a str, &'a Secret),
    /// Nothing: a program keeps it.
    Elsewhere,
}

/// Writes a login into a file, which is made if need be; all else in it stays. The file is for its owner
/// alone, and is replaced at once. Others that write it the same way wait.
///
/// # Errors
/// When it cannot be read or written, or is not such a file.
pub fn write(path: &Path, name: &str, kept: &Kept<'_>) -> Result<(), SettingsError> {
    edit(path, |file| {
        let entry = match kept {
            Kept::Basic(user, secret) => json!({"auth": encoded(user, secret.reveal())}),
            Kept::IdentityToken(user, token) => {
                json!({"auth": encoded(user, ""), "identitytoken": token.reveal()})
            }
            Kept::Elsewhere => json!({}),
        };
        let auths = file.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        auths.as_object_mut()?.insert(name.to_owned(), entry);
        Some(true)
    })
    .map(drop)
}

/// Takes the logins of a registry, or of a part of it, out of a file. `false` says that there were none.
///
/// # Errors
/// The same.
pub fn remove(path: &Path, name: &str) -> Result<bool, SettingsError> {
    if text(path)?.is_none() {
        return Ok(false);
    }
    edit(path, |file| {
        let Some(auths) = file.get_mut("auths").filter(|auths| !auths.is_null()) else {
            return Some(false);
        };
        let auths = auths.as_object_mut()?;
        let before = auths.len();
        auths.retain(|key, _| key != name && key::registry(key) != name);
        Some(auths.len() < before)
    })
}

fn encoded(user: &str, password: &str) -> String {
    general_purpose::STANDARD.encode(format!("{user}:{password}"))
}

/// Changes a file, unless the change says that nothing has changed; `None` says that the file is not as
/// it should be.
fn edit(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> Option<bool>,
) -> Result<bool, SettingsError> {
    let failed = |source| SettingsError::Write {
        path: path.to_owned(),
        source,
    };
    // What is reached over a link stays where it is.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(failed)?;
    let lock = File::open(dir).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let old = text(path)?;
    let mut file: Map<String, Value> = match &old {
        Some(text) => {
            // That it is such a file at all.
            parse::<Content>(path, text)?;
            parse(path, text)?
        }
        None => Map::new(),
    };
    let unlike = || SettingsError::AuthFile {
        path: path.clone(),
        line: 1,
        column: 1,
    };
    if !change(&mut file).ok_or_else(unlike)? {
        return Ok(false);
    }
    replace(path, dir, &file).map_err(failed)?;
    Ok(true)
}

/// Puts a file in its place: whole, or not at all.
fn replace(path: &Path, dir: &Path, file: &Map<String, Value>) -> io::Result<()> {
    let mut new = tempfile::Builder::new()
        .prefix(".mkimg-login-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(dir)?;
    // As docker has it.
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut new, indent);
    serde::Serialize::serialize(file, &mut writer)?;
    new.write_all(b"\n")?;
    if let Ok(old) = fs::metadata(path) {
        // Root may log in for somebody; who may not give files away has his own there.
        let _ = fchown(new.as_file(), Some(old.uid()), Some(old.gid()));
    }
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(())
}

/// What a file has; `None` when it is not there or empty.
fn text(path: &Path) -> Result<Option<Vec<u8>>, SettingsError> {
    let text = file::read(path)?;
    Ok(text.filter(|text| !text.trim_ascii().is_empty()))
}

/// The words of the parser would tell what stands in the file.
fn parse<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, SettingsError> {
    serde_json::from_slice(text).map_err(|error| SettingsError::AuthFile {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic {
            username: username.to_owned(),
            password: Secret::new(password),
        }
    }

    fn file(text: &str) -> AuthFile {
        let path = Path::new("config.json");
        AuthFile {
            path: path.to_owned(),
            content: parse(path, text.as_bytes()).unwrap(),
        }
    }

    #[test]
    fn the_closest_login_is_taken() {
        let entry = |name: &str| json!({"auth": encoded(name, "p")});
        let file = file(
            &json!({"auths": {
                "h:1": entry("host"),
                "h:1/a": entry("part"),
                "h:1/a/b": entry("repository"),
                "h:1/empty": {},
                "https://old.example/v1/": entry("old"),
                "https://index.docker.io/v1/": entry("hub"),
                "docker.io/own": entry("own"),
                "null.example": null,
            }})
            .to_string(),
        );
        for (host, repository, expected) in [
            ("h:1", "a/b", Some("repository")),
            ("h:1", "a/b/c", Some("repository")),
            ("h:1", "a/bc", Some("part")),
            ("h:1", "ab", Some("host")),
            ("h:1", "empty/x", Some("host")),
            ("h:1", "", Some("host")),
            ("h:10", "a/b", None),
            ("h", "a/b", None),
            ("old.example", "x", Some("old")),
            ("docker.io", "library/x", Some("hub")),
            ("docker.io", "own/x", Some("own")),
            ("null.example", "x", None),
        ] {
            let found = file.login(host, repository).unwrap();
            let expected = expected.map(|name| basic(name, "p"));
            assert_eq!(found, expected, "{host}/{repository}");
        }
    }

    #[test]
    fn a_login_is_written_in_several_ways() {
        let login = |entry: Value| {
            let file = file(&json!({"auths": {"h": entry}}).to_string());
            file.login("h", "x")
        };
        let auth = |text: &str| general_purpose::STANDARD.encode(text);
        for (entry, expected) in [
            (json!({"auth": auth("u:p:q")}), Some(basic("u", "p:q"))),
            (
                json!({"auth": auth("u:p\0\0").trim_end_matches('=')}),
                Some(basic("u", "p")),
            ),
            (
                json!({"username": "u", "password": "p", "email": "e"}),
                Some(basic("u", "p")),
            ),
            (
                json!({"auth": auth("a:b"), "username": "u", "password": "p"}),
                Some(basic("a", "b")),
            ),
            (
                json!({"auth": auth("u:"), "identitytoken": "t"}),
                Some(Credentials::IdentityToken(Secret::new("t"))),
            ),
            (
                json!({"identitytoken": "t", "registrytoken": "r"}),
                Some(Credentials::RegistryToken(Secret::new("r"))),
            ),
            (json!({"email": "e"}), None),
        ] {
            assert_eq!(login(entry.clone()).unwrap(), expected, "{entry}");
        }
        for auth in ["%", &auth("hidden"), "gA=="] {
            let error = login(json!({"auth": auth})).unwrap_err().to_string();
            assert!(
                error.starts_with("the login for h in config.json"),
                "{error}"
            );
            assert!(!error.contains(auth) && !error.contains("hidden"));
        }
    }

    #[test]
    fn a_program_is_named_for_a_registry_or_for_all() {
        let both =
            file(r#"{"credsStore": "all", "credHelpers": {"h": "one", "docker.io": "hub"}}"#);
        let named = |program: &str, key: &str| {
            Some(Named {
                program: program.to_owned(),
                key: key.to_owned(),
            })
        };
        assert_eq!(both.helper("h"), named("one", "h"));
        assert_eq!(both.helper("docker.io"), named("hub", "docker.io"));
        assert_eq!(both.helper("other"), named("all", "other"));
        let address = file(r#"{"credHelpers": {"https://index.docker.io/v1/": "hub"}}"#);
        let expected = named("hub", "https://index.docker.io/v1/");
        assert_eq!(address.helper("docker.io"), expected);
        assert_eq!(address.helper("h"), None);
        let store = file(r#"{"credsStore": "all"}"#);
        let expected = named("all", "https://index.docker.io/v1/");
        assert_eq!(store.helper("docker.io"), expected);
    }

    #[test]
    fn what_is_written_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.json");
        let secret = Secret::new("p");
        write(&path, "h", &Kept::Basic("u", &secret)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let dir_mode = fs::metadata(path.parent().unwrap()).unwrap().mode();
        assert_eq!(dir_mode & 0o777, 0o700);
        let read = AuthFile::read(&path).unwrap();
        assert_eq!(read.login("h", "x").unwrap(), Some(basic("u", "p")));

        let before = r#"{"proxies": {"x": 1}, "auths": {"o": {"auth": "bzpw", "email": "e"}}}"#;
        fs::write(&path, before).unwrap();
        write(&path, "h", &Kept::IdentityToken("u", &secret)).unwrap();
        let now: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let expected = json!({
            "proxies": {"x": 1},
            "auths": {
                "o": {"auth": "bzpw", "email": "e"},
                "h": {"auth": "dTo=", "identitytoken": "p"}
            }
        });
        assert_eq!(now, expected);
        assert!(remove(&path, "h").unwrap());
        assert!(!remove(&path, "h").unwrap());
        let now: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(now, serde_json::from_str::<Value>(before).unwrap());
    }

    #[test]
    fn what_is_no_such_file_is_left_alone_and_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        for text in [
            "[7]",
            "{\"auths\": \"hidden\"}",
            "{\"auths\": {\"h\": \"hidden\"}}",
            "hidden",
        ] {
            fs::write(&path, text).unwrap();
            let read = AuthFile::read(&path).unwrap_err();
            let written = write(&path, "h", &Kept::Elsewhere).unwrap_err();
            for error in [read, written] {
                assert!(!error.to_string().contains("hidden"), "{error}");
                assert!(error.to_string().contains("config.json:1:"), "{error}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        for text in ["", " \n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                AuthFile::read(&path).unwrap().login("h", "x").unwrap(),
                None
            );
        }
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, "h", &Kept::Elsewhere).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains("\"h\": {}"));
    }
}
