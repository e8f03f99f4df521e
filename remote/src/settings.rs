//! What a user has set for registries: where they are and who they are spoken to as, in the files of
//! docker and of podman and its kin.
//!
//! | | where | what is said there |
//! |---|---|---|
//! | logins | docker's `config.json`, `auth.json` of containers-auth.json(5), `docker-credential-NAME` | [`auth_file`], [`helper`] |
//! | registries | `registries.conf` of containers-registries.conf(5) | [`registries`] |
//! | certificates | `certs.d` of both | [`certificates`] |
//!
//! Docker's `/etc/docker/daemon.json` is its daemon's, and is not read. Logins are looked for in docker's
//! file before podman's: what `login` writes there is then what counts. Nothing is read before it is
//! needed.

pub mod auth_file;
pub mod certificates;
mod error;
mod file;
pub mod helper;
mod key;
mod login;
pub mod places;
pub mod registries;
mod toml;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use image_format::reference::Reference;

use crate::registry::credentials::Credentials;
use crate::registry::endpoint::{Endpoint, Tls, Transport};
use crate::registry::{Access, RegistryError, Settings, is_loopback};
use auth_file::AuthFile;
pub use error::SettingsError;
use helper::Helper;
pub use login::{Forgotten, Keeper, LoginTarget};
use places::Places;
use registries::RegistriesConf;

/// What a user has set for registries. It is read once.
#[derive(Debug, Default)]
pub struct UserSettings {
    places: Places,
    tls_verify: Option<bool>,
    conf: OnceLock<RegistriesConf>,
    /// By hosts.
    tls: Mutex<BTreeMap<String, Arc<Tls>>>,
    /// What programs said of their logins, by program and name: one may have to ask the user.
    asked: Mutex<BTreeMap<(String, String), Option<Credentials>>>,
}

impl UserSettings {
    /// What is set in these places.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self {
            places,
            ..Self::default()
        }
    }

    /// Overrides what is set for all registries: `true` demands TLS with certificates that are trusted,
    /// `false` takes any certificate, and no TLS where there is none.
    #[must_use]
    pub fn with_tls_verify(mut self, tls_verify: Option<bool>) -> Self {
        self.tls_verify = tls_verify;
        self
    }

    /// Looks for logins in this file alone.
    #[must_use]
    pub fn with_auth_file(mut self, file: Option<&Path>) -> Self {
        if let Some(file) = file {
            self.places.auth_file = Some(file.to_owned());
        }
        self
    }

    fn conf(&self) -> Result<&RegistriesConf, SettingsError> {
        if let Some(conf) = self.conf.get() {
            return Ok(conf);
        }
        // Two threads may both read it: they read the same.
        let conf = RegistriesConf::read(&self.places.registries)?;
        Ok(self.conf.get_or_init(|| conf))
    }

    /// A server of which nothing is known yet but its name.
    fn endpoint(
        &self,
        host: &str,
        repository: &str,
        insecure: bool,
    ) -> Result<Endpoint, SettingsError> {
        let insecure = !self.tls_verify.unwrap_or(!insecure);
        let may_do_without = insecure || (self.tls_verify.is_none() && is_loopback(host));
        let mut endpoint = Endpoint::new(host, repository);
        if may_do_without {
            endpoint.transport = Transport::HttpsElseHttp;
        }
        endpoint.tls = self.tls(host)?;
        if insecure {
            Arc::make_mut(&mut endpoint.tls).accepts_any = true;
        }
        Ok(endpoint)
    }

    fn tls(&self, host: &str) -> Result<Arc<Tls>, SettingsError> {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = known.get(host) {
            return Ok(Arc::clone(tls));
        }
        let tls = Arc::new(certificates::read(&self.places.certificates, host)?);
        known.insert(host.to_owned(), Arc::clone(&tls));
        Ok(tls)
    }

    /// The files with logins, in the order in which they count.
    fn auth_files(&self) -> impl Iterator<Item = &Path> {
        let places = &self.places;
        let chosen = places.auth_file.iter();
        let podmans = places.auth_files.iter().filter(|path| is_in_sight(path));
        let others = places.docker_config.iter().chain(podmans);
        let others = others.filter(|_| places.auth_file.is_none());
        chosen.chain(others).map(|path| path.as_path())
    }

    /// The login for a repository.
    ///
    /// # Errors
    /// When a file cannot be read, or a program fails.
    pub fn login(&self, host: &str, repository: &str) -> Result<Credentials, SettingsError> {
        let conf = self.conf()?;
        let files = [registries::AUTH_FILES.to_owned()];
        let (programs, by) = conf.helpers().unwrap_or((&files, Path::new("")));
        for program in programs {
            let found = match program.as_str() {
                registries::AUTH_FILES => self.filed(host, repository)?,
                program => self.ask(program, host, by)?,
            };
            if let Some(login) = found {
                return Ok(login);
            }
        }
        Ok(Credentials::Anonymous)
    }

    fn filed(&self, host: &str, repository: &str) -> Result<Option<Credentials>, SettingsError> {
        for path in self.auth_files() {
            let file = AuthFile::read(path)?;
            if let Some(named) = file.helper(host)
                && let Some(login) = self.ask(&named.program, &named.key, path)?
            {
                return Ok(Some(login));
            }
            if let Some(login) = file.login(host, repository)? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    /// Asks a program, once for each name.
    fn ask(
        &self,
        program: &str,
        name: &str,
        by: &Path,
    ) -> Result<Option<Credentials>, SettingsError> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let what = (program.to_owned(), name.to_owned());
        if let Some(login) = asked.get(&what) {
            return Ok(login.clone());
        }
        let login = Helper::new(program).and_then(|helper| helper.get(name));
        let login = login.map_err(|source| SettingsError::Helper {
            action: "get",
            name: name.to_owned(),
            by: by.to_owned(),
            source,
        })?;
        asked.insert(what, login.clone());
        Ok(login)
    }

    /// # Errors
    /// When the registry is blocked.
    fn unless_blocked(conf: &RegistriesConf, name: &str) -> Result<(), RegistryError> {
        match conf.registry(name) {
            Some(registry) if registry.blocked => Err(RegistryError::Blocked {
                registry: registry.prefix.clone(),
                by: registry.by.display().to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl Settings for UserSettings {
    fn endpoints(
        &self,
        reference: &Reference,
        access: Access,
    ) -> Result<Vec<Endpoint>, RegistryError> {
        let conf = self.conf()?;
        Self::unless_blocked(conf, &reference.to_string())?;
        let places = conf.places(reference, access)?;
        let mut endpoints = Vec::new();
        for place in places {
            let name = format!("{}/{}", place.host, place.repository);
            Self::unless_blocked(conf, &name)?;
            let mut endpoint = self.endpoint(&place.host, &place.repository, place.insecure)?;
            endpoint.serves = place.serves;
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }

    fn credentials(&self, host: &str, repository: &str) -> Result<Credentials, RegistryError> {
        Ok(self.login(host, repository)?)
    }

    fn alias(&self, name: &str) -> Result<Option<String>, RegistryError> {
        Ok(self.conf()?.alias(name))
    }
}

impl From<SettingsError> for RegistryError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(Box::new(error))
    }
}

/// Whether this user may look into the file's directory: `/run/containers` is root's alone where its podman
/// made it first, and what is in there is nobody else's.
fn is_in_sight(path: &Path) -> bool {
    let status = path.symlink_metadata();
    !status.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests;
