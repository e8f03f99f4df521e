//! Connections to hosts, which are kept open for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::endpoint::Tls;
use crate::client::{ClientError, builder, machine_roots, provider, tls};

/// The clients, one for each way to trust.
#[derive(Default)]
pub struct Connections {
    clients: Mutex<Vec<Kept>>,
    /// Whether hosts that may go without TLS speak it.
    speaks_tls: Mutex<HashMap<String, bool>>,
}

struct Kept {
    tls: Option<Arc<Tls>>,
    proxied: bool,
    client: Client,
}

impl Connections {
    /// The client that trusts so; without TLS it trusts nobody, for which nothing has to be read.
    /// Loopback is not reached by a proxy, as with docker.
    pub fn client(&self, tls: Option<&Arc<Tls>>, is_loopback: bool) -> Result<Client, ClientError> {
        let mut clients = lock(&self.clients);
        let proxied = !is_loopback;
        let found = clients
            .iter()
            .find(|kept| kept.proxied == proxied && kept.tls.as_ref() == tls);
        if let Some(found) = found {
            return Ok(found.client.clone());
        }
        // Silence is measured by who waits: a client's own measure would end uploads that move.
        let mut builder = builder(config(tls)?).redirect(Policy::none());
        if is_loopback {
            builder = builder.no_proxy();
        }
        let client = builder.build()?;
        clients.push(Kept {
            tls: tls.cloned(),
            proxied,
            client: client.clone(),
        });
        Ok(client)
    }

    /// Whether a host speaks TLS, if that was tried.
    pub fn speaks_tls(&self, host: &str) -> Option<bool> {
        lock(&self.speaks_tls).get(host).copied()
    }

    pub fn note_tls(&self, host: &str, speaks: bool) {
        lock(&self.speaks_tls).insert(host.to_owned(), speaks);
    }
}

/// What is kept is whole whoever died with it in hand.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(trust: Option<&Arc<Tls>>) -> Result<ClientConfig, ClientError> {
    let Some(trust) = trust else {
        let nobody = tls()?.with_root_certificates(RootCertStore::empty());
        return Ok(nobody.with_no_client_auth());
    };
    let config = if trust.accepts_any {
        let any = Arc::new(AcceptsAny(provider()));
        tls()?.dangerous().with_custom_certificate_verifier(any)
    } else {
        let mut roots = machine_roots()?;
        for root in &trust.roots {
            roots.add(root.clone())?;
        }
        tls()?.with_root_certificates(roots)
    };
    Ok(match &trust.client {
        Some(own) => config.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
        None => config.with_no_client_auth(),
    })
}

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct AcceptsAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptsAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
