//! Logging in and out: where a login is kept, and what a registry is called there.

use std::path::{Path, PathBuf};

use super::auth_file::{self, AuthFile, Kept};
use super::error::SettingsError;
use super::helper::{Helper, HelperError};
use super::{UserSettings, key};
use crate::registry::RegistryError;
use crate::registry::credentials::{Credentials, Secret};
use crate::registry::endpoint::Endpoint;

/// What one logs in to: a registry, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginTarget {
    /// The registry.
    pub host: String,
    /// The part of it, or nothing.
    pub repository: String,
}

/// Who keeps a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The file, readable for who can read the file.
    File(PathBuf),
    /// The program, named by a file.
    Program(String),
}

/// What logging out came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Whether there was a login.
    pub was_there: bool,
    /// Another file that has one as well, and still has it.
    pub left: Option<PathBuf>,
}

impl LoginTarget {
    /// Reads it: a registry's name, an address, or a name with a path. Of an address the path does not
    /// count, as docker has it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let name = key::registry(text.trim_end_matches('/'));
        let (host, repository) = name.split_once('/').unwrap_or((name, ""));
        Self {
            host: key::registry(host).to_owned(),
            repository: repository.to_owned(),
        }
    }

    /// The name that podman keeps the login under.
    fn name(&self) -> String {
        match self.repository.as_str() {
            "" => self.host.clone(),
            repository => format!("{}/{repository}", self.host),
        }
    }
}

impl std::fmt::Display for LoginTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl UserSettings {
    /// The registry itself, to try a login at.
    ///
    /// # Errors
    /// When the registry is blocked, what is set for it cannot be read, or nobody could keep the login.
    pub fn login_endpoint(&self, target: &LoginTarget) -> Result<Endpoint, RegistryError> {
        self.keeping(target)?;
        let conf = self.conf()?;
        let name = target.name();
        Self::unless_blocked(conf, &name)?;
        let said = conf.registry(&name);
        let insecure = said.is_some_and(|registry| registry.location.insecure);
        Ok(self.endpoint(&target.host, &target.repository, insecure)?)
    }

    /// The login that is kept for exactly this, of those that `login` and `logout` are about.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn kept(&self, target: &LoginTarget) -> Result<Option<Credentials>, SettingsError> {
        let (path, _) = self.keeping(target)?;
        let file = AuthFile::read(path)?;
        match file.helper(&target.host) {
            Some(named) => self.ask(&named.program, &named.key, path),
            None => file.login(&target.host, &target.repository),
        }
    }

    /// Keeps a login that was tried. With a token in the password's place that is kept, and the password
    /// is not.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn keep(
        &self,
        target: &LoginTarget,
        username: &str,
        password: &Secret,
        token: Option<&Secret>,
    ) -> Result<Keeper, SettingsError> {
        let (path, name) = self.keeping(target)?;
        let file = AuthFile::read(path)?;
        let Some(named) = file.helper(&target.host) else {
            let kept = match token {
                Some(token) => Kept::IdentityToken(username, token),
                None => Kept::Basic(username, password),
            };
            auth_file::write(path, &name, &kept)?;
            return Ok(Keeper::File(path.to_owned()));
        };
        let helper = self.program(target, &named.program, path)?;
        let stored = match token {
            Some(token) => helper.store_token(&named.key, token),
            None => helper.store(&named.key, username, password),
        };
        stored.map_err(failed("store", &named.key, path))?;
        // As docker has it: the file tells for which registries there are logins.
        auth_file::write(path, &name, &Kept::Elsewhere)?;
        Ok(Keeper::Program(helper.program().to_owned()))
    }

    /// Forgets a login.
    ///
    /// # Errors
    /// When it cannot be forgotten.
    pub fn forget(&self, target: &LoginTarget) -> Result<Forgotten, SettingsError> {
        let (path, _) = self.keeping(target)?;
        let file = AuthFile::read(path)?;
        let mut was_there = false;
        if let Some(named) = file
            .helper(&target.host)
            .filter(|_| target.repository.is_empty())
        {
            let helper = self.program(target, &named.program, path)?;
            let has = helper.get(&named.key);
            // Most programs erase what is not there without a word.
            if has.map_err(failed("get", &named.key, path))?.is_some() {
                was_there = helper
                    .erase(&named.key)
                    .map_err(failed("erase", &named.key, path))?;
            }
        }
        was_there |= auth_file::remove(path, &target.name())?;
        let others = self.auth_files().filter(|other| *other != path);
        let mut left = None;
        for other in others {
            // One that cannot be read is not ours to complain of here.
            let found =
                AuthFile::read(other).and_then(|file| file.login(&target.host, &target.repository));
            if let Ok(Some(_)) = found {
                left = Some(other.to_owned());
                break;
            }
        }
        Ok(Forgotten { was_there, left })
    }

    /// The file that logins are kept in, and what this one is kept under there.
    fn keeping(&self, target: &LoginTarget) -> Result<(&Path, String), SettingsError> {
        if let Some(path) = &self.places.auth_file {
            return Ok((path, target.name()));
        }
        let path = self.places.docker_config.as_deref();
        let path = path.ok_or(SettingsError::NoPlace)?;
        if !target.repository.is_empty() {
            return Err(SettingsError::PartOfRegistry {
                name: target.name(),
                keeper: path.display().to_string(),
            });
        }
        Ok((path, key::docker(&target.host).to_owned()))
    }

    fn program(
        &self,
        target: &LoginTarget,
        name: &str,
        by: &Path,
    ) -> Result<Helper, SettingsError> {
        let helper = Helper::new(name).map_err(failed("store", &target.host, by))?;
        match target.repository.as_str() {
            "" => Ok(helper),
            _ => Err(SettingsError::PartOfRegistry {
                name: target.name(),
                keeper: helper.program().to_owned(),
            }),
        }
    }
}

fn failed(
    action: &'static str,
    name: &str,
    by: &Path,
) -> impl FnOnce(HelperError) -> SettingsError {
    let (name, by) = (name.to_owned(), by.to_owned());
    move |source| SettingsError::Helper {
        action,
        name,
        by,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_in_several_ways() {
        for (text, host, repository) in [
            ("docker.io", "docker.io", ""),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("index.docker.io", "docker.io", ""),
            ("https://h:5000/v2/", "h:5000", ""),
            ("http://h:5000", "h:5000", ""),
            ("h:5000/", "h:5000", ""),
            ("h:5000/a/b", "h:5000", "a/b"),
            ("index.docker.io/a", "docker.io", "a"),
            ("[::1]:5000", "[::1]:5000", ""),
        ] {
            let target = LoginTarget::new(text);
            let found = (target.host.as_str(), target.repository.as_str());
            assert_eq!(found, (host, repository), "{text}");
        }
    }
}
