//! Whom the client trusts, against Debian's registry with a certificate of its own CA.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use builder::cancel::Cancel;
use image_format::reference::Reference;
use remote::registry::credentials::Credentials;
use remote::registry::endpoint::{ClientCertificate, Endpoint, Tls, Transport};
use remote::registry::{Access, Registries, RegistryError, Settings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::registry::{tag, told};
use support::servers::registry::{Config, Registry};

/// The registry at localhost, with this trust.
struct Trust(Transport, Tls);

impl Settings for Trust {
    fn endpoints(&self, of: &Reference, _: Access) -> Result<Vec<Endpoint>, RegistryError> {
        let mut endpoint = Endpoint::new(of.registry(), of.repository());
        endpoint.transport = self.0;
        endpoint.tls = Arc::new(self.1.clone());
        Ok(vec![endpoint])
    }

    fn credentials(&self, _: &str, _: &str) -> Result<Credentials, RegistryError> {
        Ok(Credentials::Anonymous)
    }
}

/// Certificates of a CA: `ca.crt`, and `NAME.crt` with `NAME.key` for the server and a client.
fn certificates(dir: &Path) {
    let script = "set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt \
  -subj /CN=test-ca -days 2 -addext basicConstraints=critical,CA:TRUE
for name in server client; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
  printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' > $name.ext
  openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $name.crt -days 2 -extfile $name.ext
done";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn registry(dir: &Path, wants_client: bool) -> Registry {
    certificates(dir);
    let at = |name: &str| dir.join(name).display().to_string();
    let mut http = format!(
        "tls:\n  certificate: {}\n  key: {}\n",
        at("server.crt"),
        at("server.key")
    );
    if wants_client {
        http.push_str(&format!("  clientcas:\n    - {}\n", at("ca.crt")));
    }
    Registry::configured(|_| Config {
        http,
        ..Config::default()
    })
}

fn asks(registry: &Registry, trust: Trust) -> Result<(), RegistryError> {
    let registries = Registries::patient(trust, Duration::from_secs(20)).unwrap();
    let reference = format!("{}/app", registry.host()).parse().unwrap();
    let repository = registries
        .repository(&reference, Access::Pull, &Cancel::new())
        .unwrap();
    match registries.wait(repository.manifest(&tag("1"))) {
        // So far it came.
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => panic!("the registry is empty"),
    }
}

fn root(dir: &Path) -> Tls {
    Tls {
        roots: vec![CertificateDer::from_pem_file(dir.join("ca.crt")).unwrap()],
        ..Tls::default()
    }
}

#[test]
fn a_ca_that_is_not_trusted_is_not_got_around() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), false);
    for transport in [Transport::Https, Transport::HttpsElseHttp] {
        let error = asks(&registry, Trust(transport, Tls::default())).unwrap_err();
        assert!(
            told(&error).contains(&format!("certs.d/{}/ca.crt", registry.host())),
            "{}",
            told(&error)
        );
        asks(&registry, Trust(transport, root(dir.path()))).unwrap();
        let any = Tls {
            accepts_any: true,
            ..Tls::default()
        };
        asks(&registry, Trust(transport, any)).unwrap();
    }
    // One that does not speak TLS is spoken to without it where that may be, and only there.
    let plain = Registry::start();
    asks(&plain, Trust(Transport::HttpsElseHttp, Tls::default())).unwrap();
    asks(&plain, Trust(Transport::Http, Tls::default())).unwrap();
    let error = asks(&plain, Trust(Transport::Https, Tls::default())).unwrap_err();
    assert!(told(&error).contains("insecure = true"), "{}", told(&error));
}

#[test]
fn a_client_has_a_certificate_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path(), true);
    let without = asks(&registry, Trust(Transport::Https, root(dir.path())));
    assert!(
        matches!(without, Err(RegistryError::Connection { .. })),
        "{without:?}"
    );
    let client = ClientCertificate {
        chain: vec![CertificateDer::from_pem_file(dir.path().join("client.crt")).unwrap()],
        key: PrivateKeyDer::from_pem_file(dir.path().join("client.key")).unwrap(),
    };
    let tls = Tls {
        client: Some(client),
        ..root(dir.path())
    };
    asks(&registry, Trust(Transport::Https, tls)).unwrap();
}
