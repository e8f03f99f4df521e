//! `RUN`: a command, run on the stage's root file system, whose changes are the layer.

mod mount;
mod redact;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use image_format::descriptor::Platform;
use image_format::digest::Digest;
use image_format::layout::{Layer, Store};
use image_format::snapshot::{SnapshotError, Snapshotter};

use super::config::command_args;
use super::log::Log;
pub(crate) use mount::{Mounted, RunMountError};
use redact::Redactor;

use crate::cache::key::{MountPart, Reads, Surroundings};
use crate::cancel::Cancel;
use crate::dockerfile::Span;
use crate::dockerfile::ast::Run;
use crate::dockerfile::{CommandLine, Word, is_heredoc};
use crate::executor::{Executor, ExecutorError, RunStep, Script};
use crate::lexical;
use crate::plan::Globals;
use crate::progress::Output;
use crate::request::{BuildRequest, RunNetwork};
use crate::stage::StageState;

/// The build argument, and the variable of commands, that says how new a file may be.
pub(crate) const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Where a heredoc that is a program is mounted.
const SCRIPTS: &str = "/dev/pipes";
/// The variable that says where an agent's socket is.
const AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// Arguments that need no `ARG`, in either case of their letters, and that change neither key nor
/// history: they say where the network is, not what is got from it.
const PROXIES: [&str; 5] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
];

/// Why a command's layer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The command says that it failed, or a signal killed it.
    #[error("the command ended with exit code {code}")]
    Exit {
        /// Its exit code; 128 and the signal's number where a signal killed it.
        code: u8,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
        /// The file that has all of them; none where it wrote nothing.
        log: Option<PathBuf>,
    },
    /// The layers it was to run on cannot be unpacked.
    #[error("cannot unpack the layers below")]
    Unpack(#[source] Box<SnapshotError>),
    /// It wants the host's network, which the build was not given.
    #[error("this RUN asks for the host's network, and the build has none")]
    NoNetwork,
    /// What it wants to have mounted cannot be had.
    #[error(transparent)]
    Mount(#[from] RunMountError),
    /// It could not be run.
    #[error(transparent)]
    Executor(ExecutorError),
    /// The image is for another machine, and nothing runs its programs here.
    #[error("the programs of the image are for {platform}, and this machine is {host}")]
    Foreign {
        /// The image's platform.
        platform: String,
        /// This machine's.
        host: String,
        /// How it showed.
        source: Box<ExecutorError>,
    },
    /// What it changed cannot become a layer.
    #[error("cannot make a layer of what the command wrote")]
    Layer(#[source] Box<SnapshotError>),
}

impl RunError {
    /// Where in the Dockerfile, where that is narrower than the instruction.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Mount(error) => error.span(),
            _ => None,
        }
    }

    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Mount(error) => return error.hint(),
            Self::NoNetwork => {
                "leave `--network none` out of the command, or `--network=host` of the RUN"
            }
            Self::Executor(ExecutorError::NoNamespace(error)) => return error.hint(),
            Self::Foreign { .. } => {
                "run it on FROM --platform=$BUILDPLATFORM and copy what it makes, or register an emulator with binfmt_misc"
            }
            Self::Exit { code: 127, .. } => {
                "127 is a shell's word for a program that is not there: install it in a step before"
            }
            Self::Exit { code: 126, .. } => {
                "126 is a shell's word for a file that cannot be executed: look at its mode and its first line"
            }
            Self::Exit { code: 137, .. } => {
                "137 is SIGKILL: most often the machine, or its control group, is out of memory"
            }
            Self::Executor(ExecutorError::Program {
                code: 127, program, ..
            }) if program == "/bin/sh" => {
                "the image has no shell: use the exec form, RUN [\"program\", \"argument\"], or another base"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// A command, ready for key and work.
pub(crate) struct PlannedRun {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    proxies: BTreeMap<String, String>,
    user: String,
    workdir: String,
    network: RunNetwork,
    script: Option<Script>,
}

impl PlannedRun {
    /// What `RUN` means on this stage.
    pub(crate) fn new(
        state: &StageState,
        run: &Run,
        globals: &Globals,
        epoch: i64,
        network: RunNetwork,
    ) -> Self {
        let mut env = state.env().clone();
        env.entry(EPOCH.to_owned())
            .or_insert_with(|| epoch.to_string());
        let (command, script) = with_heredocs(run);
        Self {
            args: command_args(state, &command),
            script,
            proxies: proxies(globals),
            env,
            user: state.config.config.user.clone(),
            workdir: lexical::absolute(state.workdir()),
            network,
        }
    }

    /// Whether this build argument is taken without `ARG`.
    pub(crate) fn is_predefined(name: &str) -> bool {
        name == EPOCH || PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
    }

    /// As the image's history has it.
    pub(crate) fn created_by(&self, state: &StageState) -> String {
        let args = state.args();
        let mut words = vec!["RUN".to_owned()];
        if args.len() > 0 {
            words.push(format!("|{}", args.len()));
            words.extend(args.map(|(name, value)| format!("{name}={value}")));
        }
        words.extend(self.args.iter().cloned());
        words.push("# buildkit".to_owned());
        words.join(" ")
    }

    /// What it depends on.
    pub(crate) fn reads(&self, mounts: Vec<MountPart>, surroundings: Surroundings) -> Reads {
        Reads::Run {
            args: self.args.clone(),
            env: self.env.clone(),
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            network: self.network,
            script: self.script.as_ref().map(|script| script.text.clone()),
            mounts,
            surroundings,
        }
    }

    /// Runs it, and makes its layer; `None` where it changed nothing. What is left of a command
    /// that failed is its log, under the name of the step's key.
    pub(crate) fn run(
        self,
        on: &Place<'_>,
        state: &StageState,
        mounted: Mounted,
        key: &Digest,
        output: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<Option<Layer>, RunError> {
        let unpack = |error| RunError::Unpack(Box::new(error));
        on.snapshotter.ensure(&state.stack()).map_err(unpack)?;
        let prepared = on.snapshotter.prepare(state.diff_ids()).map_err(unpack)?;
        if on.cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let mut env = self.env;
        env.extend(self.proxies);
        for (name, _) in &mounted.secret_env {
            env.remove(name);
        }
        if let Some(socket) = &mounted.auth_sock {
            env.entry(AUTH_SOCK.to_owned())
                .or_insert_with(|| socket.clone());
        }
        let step = RunStep {
            root: prepared.mount().clone(),
            args: self.args,
            env: env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            cwd: self.workdir,
            user: self.user,
            network: self.network,
            script: self.script,
            secret_env: mounted.secret_env,
            mounts: mounted.mounts,
            hosts: on.request.add_hosts.clone(),
            shm_size: on.request.shm_size,
            ulimits: on.request.ulimits.clone(),
        };
        let mut log = Log::new(prepared.dir());
        let mut redactor = Redactor::new(on.request.secrets.values());
        let mut tell = |stream, bytes: &[u8]| {
            if !bytes.is_empty() {
                log.write(bytes);
                output(stream, bytes);
            }
        };
        let ran = on.executor.run(&step, on.cancel, &mut |stream, bytes| {
            redactor.take(stream, bytes, &mut tell);
        });
        redactor.finish(&mut tell);
        let ran = ran.map_err(|error| match error {
            ExecutorError::Cancelled => RunError::Cancelled,
            error => foreign(error, state.platform()),
        })?;
        // Nothing is mounted any more.
        drop(mounted.held);
        if ran.code != 0 {
            return Err(RunError::Exit {
                code: ran.code,
                last_lines: log.last_lines(),
                log: log.keep(on.store, key),
            });
        }
        let committed = on
            .snapshotter
            .commit(prepared, on.epoch, &ran.mount_targets);
        let committed = committed.map_err(|error| RunError::Layer(Box::new(error)))?;
        Ok(committed.layer)
    }
}

/// Of a program that cannot be executed on this machine, that it is for another one.
fn foreign(error: ExecutorError, platform: Platform) -> RunError {
    let host = Platform::host();
    match error {
        ExecutorError::Program { code: 126, .. } if !platform.runs(&host) => RunError::Foreign {
            platform: platform.to_string(),
            host: host.to_string(),
            source: Box::new(error),
        },
        error => RunError::Executor(error),
    }
}

/// The proxies that the build was given, as the variables that programs look at: each in both cases.
fn proxies(globals: &Globals) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in PROXIES {
        let given = globals.given_names();
        // Where both cases are given, the lower one comes later, and counts.
        let value = given
            .filter(|given| name.eq_ignore_ascii_case(given))
            .last()
            .and_then(|given| globals.given(given));
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            found.insert(name.to_owned(), value.to_owned());
            found.insert(name.to_lowercase(), value.to_owned());
        }
    }
    found
}

/// The command with its heredocs. A heredoc alone is the text for the shell, or the program itself where it
/// begins with `#!`; with others or beside a command the shell reads them.
fn with_heredocs(run: &Run) -> (Cow<'_, CommandLine>, Option<Script>) {
    let (CommandLine::Shell(text), Some(first)) = (&run.command, run.heredocs.first()) else {
        return (Cow::Borrowed(&run.command), None);
    };
    let shell = |text| {
        Cow::Owned(CommandLine::Shell(Word {
            text,
            span: first.span,
        }))
    };
    if !is_heredoc(&text.text) {
        let mut whole = text.text.clone();
        for heredoc in &run.heredocs {
            whole.push('\n');
            whole.push_str(&heredoc.text);
            whole.push_str(&heredoc.name);
        }
        return (shell(whole), None);
    }
    let content = first.content();
    if !content.starts_with("#!") {
        return (shell(content), None);
    }
    let path = format!("{SCRIPTS}/{}", first.name);
    let script = Script {
        path: path.clone(),
        text: content,
    };
    (shell(path), Some(script))
}

/// Where commands run.
pub(crate) struct Place<'a> {
    pub(crate) store: &'a Store,
    pub(crate) snapshotter: &'a dyn Snapshotter,
    pub(crate) executor: &'a dyn Executor,
    /// The newest time a file may have, in seconds since 1970.
    pub(crate) epoch: i64,
    pub(crate) cancel: &'a Cancel,
    pub(crate) request: &'a BuildRequest,
}
