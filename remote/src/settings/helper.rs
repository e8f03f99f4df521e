//! Programs that keep logins: `docker-credential-NAME`, the user's own.
//!
//! Source: docker's credential helper protocol: the action is the argument, what is asked for comes on
//! standard input, and the answer or the reason on standard output.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::registry::credentials::{Credentials, Secret};

/// How long a program may take, which may have to ask the user.
const LONGEST: Duration = Duration::from_secs(120);
/// The longest answer, in bytes; tokens are a few KiB.
const LARGEST: u64 = 1 << 20;
/// As much of what a program says is told on, in letters.
const TOLD: usize = 500;
/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(5);
/// The user of an identity token.
const TOKEN: &str = "<token>";
/// What programs say of a login that they do not have.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Why a program that keeps logins failed.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It has a name that no program of `$PATH` has.
    #[error("{0:?} is no name of a program")]
    Name(String),
    /// It is not there.
    #[error("there is no program {0}")]
    Missing(String),
    /// It cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// It took too long and was ended.
    #[error("{program} did not end within {} seconds", LONGEST.as_secs())]
    Slow {
        /// The program.
        program: String,
    },
    /// It failed.
    #[error("{program} failed ({status}){}", told(said))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// Its answer makes no sense. What it says may be a secret, and is not told.
    #[error("{program} does not answer as programs that keep logins do")]
    Answer {
        /// The program.
        program: String,
    },
}

impl HelperError {
    /// What to do; the program is named by a file.
    #[must_use]
    pub fn hint(&self, by: &Path) -> Option<String> {
        match self {
            Self::Missing(program) => Some(format!(
                "install {program}, or take it out of {}",
                by.display()
            )),
            Self::Name(_) => Some(format!("correct it in {}", by.display())),
            _ => None,
        }
    }
}

fn told(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

/// A program that keeps logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// `docker-credential-NAME`.
    program: String,
}

/// A login, as the programs take and give it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(default)]
    username: String,
    secret: String,
}

impl Helper {
    /// The one that files call `name`.
    ///
    /// # Errors
    /// When no program can have that name.
    pub fn new(name: &str) -> Result<Self, HelperError> {
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(HelperError::Name(name.to_owned()));
        }
        Ok(Self {
            program: format!("docker-credential-{name}"),
        })
    }

    /// The program's name.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The login that is kept under a name, if there is one.
    ///
    /// # Errors
    /// When the program fails.
    pub fn get(&self, name: &str) -> Result<Option<Credentials>, HelperError> {
        let Some(answer) = self.run("get", name.as_bytes(), "")? else {
            return Ok(None);
        };
        let login: Login = serde_json::from_slice(&answer).map_err(|_| HelperError::Answer {
            program: self.program.clone(),
        })?;
        let secret = Secret::new(login.secret);
        Ok(match login.username.as_str() {
            "" if secret.reveal().is_empty() => None,
            TOKEN => Some(Credentials::IdentityToken(secret)),
            _ => Some(Credentials::Basic {
                username: login.username,
                password: secret,
            }),
        })
    }

    /// Keeps a login under a name.
    ///
    /// # Errors
    /// When the program fails.
    pub fn store(&self, name: &str, username: &str, secret: &Secret) -> Result<(), HelperError> {
        let login = Login {
            server: name.to_owned(),
            username: username.to_owned(),
            secret: secret.reveal().to_owned(),
        };
        let text = serde_json::to_vec(&login).unwrap_or_default();
        self.run("store", &text, secret.reveal()).map(drop)
    }

    /// Keeps an identity token under a name.
    ///
    /// # Errors
    /// When the program fails.
    pub fn store_token(&self, name: &str, token: &Secret) -> Result<(), HelperError> {
        self.store(name, TOKEN, token)
    }

    /// Forgets the login that is kept under a name. `false` says that there was none.
    ///
    /// # Errors
    /// When the program fails.
    pub fn erase(&self, name: &str) -> Result<bool, HelperError> {
        Ok(self.run("erase", name.as_bytes(), "")?.is_some())
    }

    /// Its answer; `None` when there is no such login. `secret` is in no error.
    fn run(
        &self,
        action: &str,
        input: &[u8],
        secret: &str,
    ) -> Result<Option<Vec<u8>>, HelperError> {
        let program = || self.program.clone();
        let started = Command::new(&self.program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => HelperError::Missing(program()),
            _ => HelperError::Run {
                program: program(),
                source,
            },
        })?;
        let until = Instant::now() + LONGEST;
        let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            // A program that does not read it all has its reasons.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let status = wait(&mut child, until).map_err(|source| HelperError::Run {
            program: program(),
            source,
        })?;
        let Some(status) = status else {
            return Err(HelperError::Slow { program: program() });
        };
        let answer = received(&out, until);
        if status.success() {
            return match answer {
                Some(answer) => Ok(Some(answer)),
                None => Err(HelperError::Answer { program: program() }),
            };
        }
        let answer = answer.unwrap_or_default();
        let mut said = String::from_utf8_lossy(&answer).trim().to_owned();
        if said.contains(NOT_FOUND) {
            return Ok(None);
        }
        if said.is_empty() {
            let error = received(&err, until).unwrap_or_default();
            said = String::from_utf8_lossy(&error).trim().to_owned();
        }
        if !secret.is_empty() {
            said = said.replace(secret, "***");
        }
        Err(HelperError::Failed {
            program: program(),
            status,
            said: said.chars().take(TOLD).collect(),
        })
    }
}

/// What comes out of a pipe, up to a bound; nothing if it is more.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Option<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let read = pipe.take(LARGEST + 1).read_to_end(&mut bytes);
            let whole = read.is_ok() && bytes.len() as u64 <= LARGEST;
            // Nobody waits any more when the program took too long.
            let _ = sender.send(whole.then_some(bytes));
        }
    });
    receiver
}

/// What was collected. A program that leaves others behind with the pipe is not waited for longer than
/// for the program.
fn received(pipe: &Receiver<Option<Vec<u8>>>, until: Instant) -> Option<Vec<u8>> {
    let rest = until.saturating_duration_since(Instant::now());
    pipe.recv_timeout(rest).ok().flatten()
}

/// How a program ended; `None` when it did not and was killed.
fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}
