//! `certs.d`: whom to trust for a host, and as whom to come to it.
//!
//! Source: containers-certs.d(5), and docker's page on certificates of registries: `*.crt` are CAs,
//! `NAME.cert` with `NAME.key` is the client's certificate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::SettingsError;
use super::file::is_absent;
use crate::registry::endpoint::{ClientCertificate, Tls};

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is none in the file.
    #[error("there is no {0} in it, in PEM form")]
    None(&'static str),
    /// It is not PEM.
    #[error("it is not PEM: {0}")]
    Pem(#[source] pem::Error),
    /// The other half is missing.
    #[error("{0} is missing beside it")]
    Alone(String),
    /// There are several for the client.
    #[error("there is {} too, and a client comes with one certificate", .0.display())]
    Several(PathBuf),
}

impl CertificateError {
    /// What to do, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Alone(name) if name.ends_with(".key") => {
                "a CA's certificate ends in .crt, a client's in .cert with its key in .key"
            }
            Self::None("private key") => "a key that is encrypted cannot be used: decrypt it",
            Self::Several(_) => "remove one of both",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// What directories say of a host. CAs are taken from all of them, the client's certificate from the first
/// that has one.
///
/// # Errors
/// When a file cannot be read or used.
pub fn read(directories: &[PathBuf], host: &str) -> Result<Tls, SettingsError> {
    let mut tls = Tls::default();
    for directory in directories {
        let files = files(&directory.join(host))?;
        let mut client = None;
        for file in &files {
            let extension = file.extension().and_then(|extension| extension.to_str());
            match extension {
                Some("crt") => tls.roots.extend(certificates(file)?),
                Some("cert") => {
                    let key = beside(&files, file, "key")?;
                    if let Some((first, _)) = client {
                        return Err(unusable(file, CertificateError::Several(first)));
                    }
                    client = Some((file.clone(), key));
                }
                Some("key") => {
                    beside(&files, file, "cert")?;
                }
                _ => {}
            }
        }
        if let (Some((chain, key)), None) = (client, &tls.client) {
            tls.client = Some(ClientCertificate {
                chain: certificates(&chain)?,
                key: private_key(&key)?,
            });
        }
    }
    Ok(tls)
}

/// The files of a directory by their names. None where there is no directory, or one that is not for this
/// user.
fn files(directory: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let failed = |source| SettingsError::Read {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let paths = entries.map(|entry| Ok(entry.map_err(failed)?.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn beside(files: &[PathBuf], file: &Path, extension: &str) -> Result<PathBuf, SettingsError> {
    let other = file.with_extension(extension);
    if files.contains(&other) {
        return Ok(other);
    }
    let name = other.file_name().unwrap_or_default().to_string_lossy();
    Err(unusable(file, CertificateError::Alone(name.into_owned())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let text = read_file(path)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unusable(path, CertificateError::Pem(error)))?;
    match found.is_empty() {
        true => Err(unusable(path, CertificateError::None("certificate"))),
        false => Ok(found),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SettingsError> {
    PrivateKeyDer::from_pem_slice(&read_file(path)?).map_err(|error| {
        let error = match error {
            pem::Error::NoItemsFound => CertificateError::None("private key"),
            error => CertificateError::Pem(error),
        };
        unusable(path, error)
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, SettingsError> {
    fs::read(path).map_err(|source| SettingsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn unusable(path: &Path, source: CertificateError) -> SettingsError {
    SettingsError::Certificate {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PEM of anything: what it says is TLS's matter.
    fn pem(label: &str) -> String {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    }

    fn tree(files: &[(&str, String)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let places = vec![dir.path().join("own"), dir.path().join("machine")];
        (dir, places)
    }

    #[test]
    fn a_host_has_cas_of_all_places_and_one_certificate() {
        let (certificate, key) = (pem("CERTIFICATE"), pem("PRIVATE KEY"));
        let (_dir, places) = tree(&[
            ("own/h:1/a.crt", certificate.repeat(2)),
            ("own/h:1/me.cert", certificate.clone()),
            ("own/h:1/me.key", key.clone()),
            ("own/h:1/README", "nonsense".to_owned()),
            ("machine/h:1/b.crt", certificate.clone()),
            ("machine/h:1/x.cert", certificate.clone()),
            ("machine/h:1/x.key", pem("EC PRIVATE KEY")),
            ("own/h/c.crt", certificate),
        ]);
        let tls = read(&places, "h:1").unwrap();
        assert_eq!(tls.roots.len(), 3);
        let client = tls.client.unwrap();
        assert!(matches!(client.key, PrivateKeyDer::Pkcs8(_)));
        let tls = read(&places, "other").unwrap();
        assert!(tls.roots.is_empty() && tls.client.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_told_by_its_file() {
        let (certificate, key) = (pem("CERTIFICATE"), pem("RSA PRIVATE KEY"));
        let cases = [
            (
                vec![("a.crt", "nonsense".to_owned())],
                "a.crt: there is no certificate",
            ),
            (
                vec![("a.crt", "-----BEGIN CERTIFICATE-----\n%\n".to_owned())],
                "a.crt: it is not PEM",
            ),
            (
                vec![("a.cert", certificate.clone())],
                "a.cert: a.key is missing",
            ),
            (vec![("a.key", key.clone())], "a.key: a.cert is missing"),
            (
                vec![
                    ("a.cert", certificate.clone()),
                    ("a.key", pem("ENCRYPTED PRIVATE KEY")),
                ],
                "a.key: there is no private key",
            ),
            (
                vec![
                    ("a.cert", certificate.clone()),
                    ("a.key", key.clone()),
                    ("b.cert", certificate.clone()),
                    ("b.key", key.clone()),
                ],
                "a.cert too",
            ),
        ];
        for (files, expected) in cases {
            let names: Vec<_> = files
                .iter()
                .map(|(name, text)| (format!("own/h/{name}"), text.clone()))
                .collect();
            let files: Vec<_> = names
                .iter()
                .map(|(name, text)| (name.as_str(), text.clone()))
                .collect();
            let (_dir, places) = tree(&files);
            let error = read(&places, "h").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
