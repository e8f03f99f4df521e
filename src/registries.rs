//! The flags that all commands take which speak to registries.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use image_format::layout::Store;
use remote::Network;
use remote::settings::UserSettings;

use crate::cli::Globals;

/// How registries are spoken to.
#[derive(Args)]
pub struct RegistryArgs {
    /// Demand TLS with a trusted certificate of every registry; =false takes any certificate, and no TLS
    /// where there is none [default: TLS, but where registries.conf says otherwise and on loopback]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    tls_verify: Option<bool>,
    #[command(flatten)]
    authfile: AuthFileArg,
}

/// Where logins are.
#[derive(Args)]
pub struct AuthFileArg {
    /// The file with logins [default: $REGISTRY_AUTH_FILE, else docker's config.json, and podman's
    /// auth.json to read]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl RegistryArgs {
    /// What is set for registries, by these flags and in files.
    pub fn settings(&self, globals: &Globals) -> Arc<UserSettings> {
        let settings = self.authfile.settings(globals);
        Arc::new(settings.with_tls_verify(self.tls_verify))
    }

    /// The way to registries, and to all else.
    pub fn network(&self, store: &Store, globals: &Globals) -> Network {
        Network::new(store).with_settings(self.settings(globals))
    }
}

impl AuthFileArg {
    /// What is set for registries, by this flag and in files.
    pub fn settings(&self, globals: &Globals) -> UserSettings {
        let settings = UserSettings::new(globals.registry_places().clone());
        settings.with_auth_file(self.authfile.as_deref())
    }
}
