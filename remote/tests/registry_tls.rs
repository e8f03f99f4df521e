//! Whom the client trusts, against Debian's registry with a certificate of its own CA.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

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
use support::servers::authority::Authority;
use support::servers::registry::{Registry, with_tls};

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

fn root(authority: &Authority) -> Tls {
    Tls {
        roots: vec![CertificateDer::from_pem_file(authority.certificate()).unwrap()],
        ..Tls::default()
    }
}

#[test]
fn a_ca_that_is_not_trusted_is_not_got_around() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let registry = Registry::configured(|_| with_tls(&authority, false));
    for transport in [Transport::Https, Transport::HttpsElseHttp] {
        let error = asks(&registry, Trust(transport, Tls::default())).unwrap_err();
        assert!(
            told(&error).contains(&format!("certs.d/{}/ca.crt", registry.host())),
            "{}",
            told(&error)
        );
        asks(&registry, Trust(transport, root(&authority))).unwrap();
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
    let authority = Authority::new(dir.path());
    let registry = Registry::configured(|_| with_tls(&authority, true));
    let without = asks(&registry, Trust(Transport::Https, root(&authority)));
    assert!(
        matches!(without, Err(RegistryError::Connection { .. })),
        "{without:?}"
    );
    let own = authority.issue("client");
    let client = ClientCertificate {
        chain: vec![CertificateDer::from_pem_file(own.certificate).unwrap()],
        key: PrivateKeyDer::from_pem_file(own.key).unwrap(),
    };
    let tls = Tls {
        client: Some(client),
        ..root(&authority)
    };
    asks(&registry, Trust(Transport::Https, tls)).unwrap();
}
