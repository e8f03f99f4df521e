//! `mkimg build`.

mod annotation;
pub(super) mod arguments;
pub(super) mod context;
mod given;
mod nowhere;
mod on_demand;
mod output;
mod shared_cache;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;

use builder::cancel::Cancel;
use builder::check::CheckRequest;
use builder::executor::{Executor, SandboxExecutor};
use builder::remote::{Remote, Unreached};
use builder::request::{DEFAULT_EPOCH, PullPolicy, RunNetwork};
use builder::{Backend, BuildError, BuildRequest, Built};
use clap::{Args, ValueEnum};
use image_format::descriptor::Platform;
use image_format::layer::Timestamp;
use remote::git::login::Logins;
use runner::userns::{self, Rung, UsernsError};

use super::check;
use crate::cli::Globals;
use crate::diagnostic;
use crate::error::{BuildFailure, Error};
use crate::progress::{Display, Mode};
use crate::registries::RegistryArgs;
use crate::signals::{self, Interrupt};
use arguments::{BuildArg, Epoch};
use context::{ContextArgs, Reader};
pub use given::GivenError;
use nowhere::Nowhere;
use on_demand::{Coming, OnDemand};
use output::{OutputArgs, Outputs, Pusher};
use shared_cache::SharedCacheArgs;

pub use context::InputError;
pub use output::{UsageError, WriteError};

/// Flags of `mkimg build`.
#[derive(Args)]
pub struct BuildArgs {
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    shared_cache: SharedCacheArgs,
    /// The value of an ARG; without =VALUE what the environment has under that name
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<BuildArg>,
    /// The stage to build, by name or number [default: the last]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Do every step, whatever the cache holds
    #[arg(long, conflicts_with = "no_cache_filter")]
    no_cache: bool,
    /// Do every step of a stage, by name or number, whatever the cache holds
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// The platform of the image: this machine's is the only one
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// The network that RUN sees
    #[arg(long, value_enum, default_value_t, value_name = "NETWORK")]
    network: Network,
    /// A secret for RUN --mount=type=secret, from a file or a variable; may be given several times. Git
    /// repositories are fetched with GIT_AUTH_TOKEN or GIT_AUTH_HEADER, or either with .HOST for that host
    #[arg(long, value_name = "id=NAME[,src=FILE|,env=VARIABLE]")]
    secret: Vec<String>,
    /// The agent for RUN --mount=type=ssh, by its socket [of default: $SSH_AUTH_SOCK]
    #[arg(long, value_name = "default|NAME=SOCKET")]
    ssh: Vec<String>,
    /// A name that RUN finds in /etc/hosts; may be given several times
    #[arg(long, value_name = "NAME=ADDRESS")]
    add_host: Vec<String>,
    /// The size of /dev/shm that RUN sees, as in 64m
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// A limit of the processes of RUN, as in nofile=1024:2048; -1 is no limit
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Check the Dockerfile, as `mkimg check` does, and build nothing
    #[arg(long)]
    check: bool,
    /// How to show what happens
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    progress: Mode,
    /// Print nothing but the image's ID
    #[arg(short, long)]
    quiet: bool,
    /// When registries are asked for images: missing, always or never; alone it is always [default: missing]
    #[arg(long, num_args = 0..=1, default_missing_value = "always", require_equals = true, value_name = "WHEN")]
    pull: Option<PullWhen>,
    /// Pull and fetch nothing
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// What never is left: containers of steps
    #[arg(long, hide = true)]
    rm: bool,
    /// What never is left: containers of steps
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Nothing to compress: the context is read where it is
    #[arg(long, hide = true)]
    compress: bool,
}

/// The network that `RUN` sees.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Network {
    /// This machine's
    #[default]
    Host,
    /// None but its own loopback
    None,
}

/// Builds an image.
pub fn run(args: &BuildArgs, globals: &Globals) -> Result<ExitCode, Error> {
    args.refuse()?;
    let outputs = args.output.check()?;
    let mut build_args = arguments::values(&args.build_arg);
    let secrets = given::secrets(&args.secret)?;
    let ssh = given::agents(&args.ssh)?;
    let add_hosts = given::hosts(&args.add_host)?;
    let shm_size = given::shm_size(args.shm_size.as_deref())?;
    let ulimits = given::ulimits(&args.ulimit)?;
    let asked = arguments::epoch(&build_args)?;
    if args.check {
        let store = globals.existing_store();
        let (context, dockerfile) = args.context.for_check()?;
        let request = CheckRequest {
            named_contexts: args.context.named_for_check(store.as_ref())?,
            store,
            context,
            dockerfile,
            build_args,
            target: args.target.clone(),
            platform: Platform::host(),
        };
        return check::report(&request, check::Format::Text);
    }
    let context = args.context.check()?;
    let mut epoch = match asked {
        Epoch::Default => None,
        Epoch::At(seconds) => Some(seconds),
        Epoch::Context => context.commit_time()?,
    };
    let display = Display::new(match args.quiet {
        true => Mode::Quiet,
        false => args.progress,
    })?;
    // While there is one thread only. Where there can be no namespace, a build without RUN needs none.
    let rung = userns::enter();
    let store = globals.open_store()?;
    let cancel = Cancel::new();
    let interrupt = signals::watch(&cancel)?;
    // What it fetched stays as long as it does.
    let network = args.registry.network(&store, globals);
    let network = network.with_logins(Logins::of(&secrets));
    let loaded = context.load(&Reader {
        store: &store,
        remote: &network,
        pull: args.pull_policy(),
        progress: &display,
        time: Timestamp::from_secs(epoch.unwrap_or(DEFAULT_EPOCH)),
        cancel: &cancel,
    })?;
    if asked == Epoch::Context {
        epoch = epoch.or(loaded.commit_time);
        arguments::settle(&mut build_args, epoch.unwrap_or(DEFAULT_EPOCH));
    }
    interrupt.begin();
    let reached = (!args.offline).then_some(&network);
    if let Some(network) = reached {
        store.set_supplier(network.way().clone());
    }
    let pusher = Pusher {
        network: reached,
        quiet: args.quiet,
    };
    match pusher.check(&store, &outputs.pushes, &cancel) {
        Err(Error::Output(WriteError::Cancelled)) => {
            return Err(ended(display, &interrupt, BuildError::Cancelled));
        }
        checked => checked?,
    }
    let request = BuildRequest {
        build_args,
        target: args.target.clone(),
        no_cache: args.no_cache,
        no_cache_filter: args.no_cache_filter.clone(),
        network: match args.network {
            Network::Host => RunNetwork::Host,
            Network::None => RunNetwork::None,
        },
        epoch,
        tags: outputs.tags.clone(),
        keep: outputs.keep,
        labels: outputs.labels.clone(),
        annotations: outputs.annotations.clone(),
        cache_from: args.shared_cache.imports(reached, &display),
        inline_cache: args.shared_cache.inline(),
        pull: args.pull_policy(),
        named_contexts: loaded.named.clone(),
        jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        cancel,
        secrets,
        ssh,
        add_hosts,
        shm_size,
        ulimits,
        ..BuildRequest::new(store, loaded.source.clone(), loaded.dockerfile.clone())
    };
    let built = match build(&request, rung, &display, &network, args.offline) {
        Ok(built) => built,
        Err(BuildError::Cancelled) => {
            return Err(ended(display, &interrupt, BuildError::Cancelled));
        }
        Err(source) => {
            if let BuildError::Leak { .. } = source {
                // The layer that holds the secret; whoever uses the store keeps it till the next rmi.
                super::rmi::collect_garbage(&request.store)?;
            }
            return Err(Error::Build(Box::new(BuildFailure {
                source,
                name: request.dockerfile.name,
                text: request.dockerfile.text,
                shown: display.finish(),
            })));
        }
    };
    tell(&display, &outputs, &built);
    let written = outputs.write(&request.store, &built, &pusher, &request.cancel);
    if written.is_ok() {
        let exports = args.shared_cache.exports(reached, &display);
        exports.run(&request.store, &built, &display, &request.cancel);
    }
    display.finish();
    match (written, interrupt.signal()) {
        (Err(Error::Output(WriteError::Cancelled)), Some(signal)) => {
            return Err(Error::Interrupted { signal });
        }
        (written, _) => written?,
    }
    if args.quiet {
        outputs.print_id(&built)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// When registries are asked for images; docker's flag takes a truth value too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PullWhen {
    /// When the store does not have them
    #[value(alias = "false")]
    Missing,
    /// Always: tags may have moved
    #[value(alias = "true")]
    Always,
    /// Never
    Never,
}

impl BuildArgs {
    fn pull_policy(&self) -> PullPolicy {
        match self.pull {
            _ if self.offline => PullPolicy::Never,
            None | Some(PullWhen::Missing) => PullPolicy::Missing,
            Some(PullWhen::Always) => PullPolicy::Always,
            Some(PullWhen::Never) => PullPolicy::Never,
        }
    }

    /// Refuses what cannot be followed, and says of what needs nothing done that it is so.
    fn refuse(&self) -> Result<(), Error> {
        let host = Platform::host().to_string();
        if let Some(asked) = self.platform.as_ref().filter(|asked| **asked != host) {
            let asked = asked.clone();
            return Err(UsageError::Platform { asked, host }.into());
        }
        for (flag, given, why) in [
            ("--rm", self.rm, "a step leaves no container"),
            ("--force-rm", self.force_rm, "a step leaves no container"),
            (
                "--compress",
                self.compress,
                "the context is read where it is",
            ),
        ] {
            if given && !self.quiet {
                diagnostic::note(&format!("{flag} changes nothing: {why}"));
            }
        }
        Ok(())
    }
}

/// The error of a build that was cancelled.
fn ended(display: Display, interrupt: &Interrupt, error: BuildError) -> Error {
    display.finish();
    match interrupt.signal() {
        Some(signal) => Error::Interrupted { signal },
        None => Error::Build(Box::new(BuildFailure {
            source: error,
            name: String::new(),
            text: String::new(),
            shown: true,
        })),
    }
}

fn tell(display: &Display, outputs: &Outputs, built: &Built) {
    display.note(&format!("image {}", built.id));
    for tag in &outputs.tags {
        display.note(&format!("naming to {}", tag.familiar()));
    }
}

fn build(
    request: &BuildRequest,
    rung: Result<Rung, UsernsError>,
    display: &Display,
    network: &remote::Network,
    offline: bool,
) -> Result<Built, BuildError> {
    let executor: Box<dyn Executor> = match rung {
        Ok(Rung::Root) => {
            display.note("sandbox: root");
            Box::new(SandboxExecutor)
        }
        Ok(Rung::Subordinate) => {
            display.note("sandbox: user namespace with subordinate ids");
            Box::new(SandboxExecutor)
        }
        Err(error) => {
            display.note("sandbox: none, no command can be run");
            Box::new(Nowhere(Arc::new(error)))
        }
    };
    let coming = Coming {
        way: network.way(),
        progress: display,
        cancel: &request.cancel,
    };
    let unreached = Unreached(network);
    let remote: &dyn Remote = match offline {
        true => &unreached,
        false => network,
    };
    let backend = Backend {
        snapshotter: &OnDemand::new(&request.store, (!offline).then_some(coming)),
        executor: executor.as_ref(),
        progress: display,
        remote,
    };
    builder::build(request, backend)
}
