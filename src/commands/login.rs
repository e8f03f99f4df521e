//! `mkimg login`.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use builder::cancel::Cancel;
use clap::Args;
use remote::registry::credentials::{Credentials, Secret};
use remote::registry::endpoint::Endpoint;
use remote::registry::{Registries, RegistryError};
use remote::settings::{Keeper, LoginTarget, UserSettings};
use runner::terminal::is_terminal;

use crate::cli::Globals;
use crate::error::Error;
use crate::registries::RegistryArgs;
use crate::{diagnostic, output, prompt};

/// The longest password, in bytes; tokens are a few KiB.
const LONGEST: u64 = 1 << 20;

/// Flags of `mkimg login`.
#[derive(Args)]
pub struct LoginArgs {
    /// The registry, HOST or HOST:PORT, or with --authfile a part of it, HOST/NAMESPACE [default: docker.io]
    #[arg(
        value_name = "SERVER",
        default_value = "docker.io",
        hide_default_value = true
    )]
    server: String,
    /// The user
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// The password, for all on this machine to see: --password-stdin hides it
    #[arg(
        short,
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// What is no error, and should be known.
#[derive(Debug, thiserror::Error)]
enum Caution {
    #[error(
        "a password in the command line can be seen by all on this machine: use --password-stdin"
    )]
    Visible,
    #[error(
        "the password is stored unencrypted in {}; a credential helper (credsStore, credHelpers) keeps it elsewhere", .0.display()
    )]
    Unencrypted(PathBuf),
}

/// Tries a login at a registry, and keeps it.
pub fn run(args: &LoginArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let target = target(&args.server)?;
    let settings = args.registry.settings(globals);
    if args.password.is_some() {
        diagnostic::warn(&Caution::Visible);
    }
    let endpoint = settings.login_endpoint(&target)?;
    if args.username.is_none()
        && args.password.is_none()
        && let Some(kept) = settings.kept(&target)?
    {
        diagnostic::note(&format!("trying the login that is kept{}", of(&kept)));
        match attempt(&settings, &endpoint, &kept) {
            Ok(_) => return succeeded(),
            Err(error) if is_terminal(io::stdin()) => diagnostic::warn(&error),
            Err(error) => return Err(error),
        }
    }
    let username = username(args)?;
    let password = Secret::new(password(args)?);
    let login = Credentials::Basic {
        username: username.clone(),
        password: password.clone(),
    };
    let token = attempt(&settings, &endpoint, &login)?;
    keep(&settings, &target, &username, &password, token.as_ref())?;
    succeeded()
}

/// What is logged in to, by its name.
pub fn target(server: &str) -> Result<LoginTarget, Error> {
    let target = LoginTarget::new(server);
    // What an image can be named by.
    let repository = match target.repository.as_str() {
        "" => "x",
        repository => repository,
    };
    let reference = super::reference(&format!("{}/{repository}", target.host))?;
    match reference.registry() == target.host && reference.tag().is_none() {
        true => Ok(target),
        false => Err(Error::NoRegistry(server.to_owned())),
    }
}

fn of(login: &Credentials) -> String {
    match login {
        Credentials::Basic { username, .. } => format!(" for {username}"),
        _ => String::new(),
    }
}

/// The token that the registry wants to be kept in the password's place, if it does.
fn attempt(
    settings: &Arc<UserSettings>,
    endpoint: &Endpoint,
    login: &Credentials,
) -> Result<Option<Secret>, Error> {
    let registries = Registries::new(Arc::clone(settings))?;
    let cancel = Cancel::new();
    let tried = registries.wait(registries.log_in(endpoint, login, &cancel));
    tried.map_err(|error| match error {
        RegistryError::Unauthorized { host, said, .. } => Error::LoginRefused { host, said },
        error => error.into(),
    })
}

fn keep(
    settings: &UserSettings,
    target: &LoginTarget,
    username: &str,
    password: &Secret,
    token: Option<&Secret>,
) -> Result<(), Error> {
    if let Keeper::File(path) = settings.keep(target, username, password, token)? {
        diagnostic::warn(&Caution::Unencrypted(path));
    }
    Ok(())
}

fn succeeded() -> Result<ExitCode, Error> {
    output::line("Login Succeeded")?;
    Ok(ExitCode::SUCCESS)
}

fn username(args: &LoginArgs) -> Result<String, Error> {
    let username = match &args.username {
        Some(username) => Some(username.clone()),
        None => prompted(prompt::line, "Username: ")?,
    };
    let username = username.filter(|username| !username.is_empty());
    username.ok_or(Error::NothingGiven("user"))
}

fn password(args: &LoginArgs) -> Result<String, Error> {
    let password = match &args.password {
        _ if args.password_stdin => Some(piped()?),
        Some(password) => Some(password.clone()),
        None => prompted(prompt::secret, "Password: ")?,
    };
    let password = password.filter(|password| !password.is_empty());
    password.ok_or(Error::NothingGiven("password"))
}

fn prompted(
    ask: fn(&str) -> Result<Option<String>, Error>,
    question: &str,
) -> Result<Option<String>, Error> {
    match is_terminal(io::stdin()) {
        true => ask(question),
        false => Err(Error::NobodyToAsk),
    }
}

/// Standard input without the line's end.
fn piped() -> Result<String, Error> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    read.map_err(|source| Error::File {
        action: "read",
        path: "standard input".into(),
        source,
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
