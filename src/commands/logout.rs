//! `mkimg logout`.

use std::process::ExitCode;

use clap::Args;

use super::login;
use crate::cli::Globals;
use crate::error::Error;
use crate::registries::AuthFileArg;
use crate::{diagnostic, output};

/// Flags of `mkimg logout`.
#[derive(Args)]
pub struct LogoutArgs {
    /// The registry, as it was logged in to [default: docker.io]
    #[arg(
        value_name = "SERVER",
        default_value = "docker.io",
        hide_default_value = true
    )]
    server: String,
    #[command(flatten)]
    authfile: AuthFileArg,
}

/// Forgets a login.
pub fn run(args: &LogoutArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let target = login::target(&args.server)?;
    let settings = args.authfile.settings(globals);
    let forgotten = settings.forget(&target)?;
    match forgotten.was_there {
        true => output::line(format_args!("Removing login credentials for {target}"))?,
        false => output::line(format_args!("Not logged in to {target}"))?,
    }
    if let Some(path) = forgotten.left {
        let path = path.display();
        diagnostic::note(&format!(
            "{path} has a login for {target}, and still has it"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
