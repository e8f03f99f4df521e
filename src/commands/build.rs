//! `mkimg build`.

mod given;
pub(super) mod input;
mod nowhere;
mod on_demand;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use builder::cancel::Cancel;
use builder::check::CheckRequest;
use builder::executor::{Executor, SandboxExecutor};
use builder::request::RunNetwork;
use builder::{Backend, BuildError, BuildRequest, Built};
use clap::{Args, ValueEnum};
use image_format::descriptor::Platform;
use image_format::reference::Reference;
use runner::userns::{self, Rung, UsernsError};

use super::check;
use crate::cli::Globals;
use crate::environment::source_date_epoch;
use crate::error::{BuildFailure, Error};
use crate::output;
use crate::progress::{Display, Mode};
use crate::signals;
pub use given::GivenError;
use nowhere::Nowhere;
use on_demand::OnDemand;

/// Flags of `mkimg build`.
#[derive(Args)]
pub struct BuildArgs {
    /// The directory that COPY copies from
    #[arg(value_name = "CONTEXT")]
    context: PathBuf,
    /// A name the image gets; may be given several times
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// The Dockerfile [default: Dockerfile in the context]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The value of an ARG; without =VALUE what the environment has under that name
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// The stage to build, by name or number [default: the last]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Do every step, whatever the cache holds
    #[arg(long)]
    no_cache: bool,
    /// The network that RUN sees
    #[arg(long, value_enum, default_value_t, value_name = "NETWORK")]
    network: Network,
    /// A secret for RUN --mount=type=secret, from a file or a variable; may be given several times
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
    /// Write the image's ID to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
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
    let tags = args.tag.iter().map(|name| super::tag(name));
    let tags = tags.collect::<Result<Vec<Reference>, Error>>()?;
    let build_args = input::build_args(&args.build_arg)?;
    let secrets = given::secrets(&args.secret)?;
    let ssh = given::agents(&args.ssh)?;
    let add_hosts = given::hosts(&args.add_host)?;
    let shm_size = given::shm_size(args.shm_size.as_deref())?;
    let ulimits = given::ulimits(&args.ulimit)?;
    let epoch = source_date_epoch()?;
    input::check_context(&args.context)?;
    let dockerfile = input::dockerfile(&args.context, args.file.as_deref())?;
    if args.check {
        let request = CheckRequest {
            store: globals.existing_store(),
            context: Some(args.context.clone()),
            dockerfile,
            build_args,
            target: args.target.clone(),
            platform: Platform::host(),
        };
        return check::report(&request, check::Format::Text);
    }
    let display = Display::new(match args.quiet {
        true => Mode::Quiet,
        false => args.progress,
    })?;
    // While there is one thread only. Where there can be no namespace, a build without RUN needs none.
    let rung = userns::enter();
    let store = globals.open_store()?;
    let cancel = Cancel::new();
    let interrupt = signals::watch(&cancel)?;
    let request = BuildRequest {
        build_args,
        target: args.target.clone(),
        no_cache: args.no_cache,
        network: match args.network {
            Network::Host => RunNetwork::Host,
            Network::None => RunNetwork::None,
        },
        epoch,
        tags,
        jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        cancel,
        secrets,
        ssh,
        add_hosts,
        shm_size,
        ulimits,
        ..BuildRequest::new(store, args.context.clone(), dockerfile)
    };
    let built = match (build(&request, rung, &display), interrupt.signal()) {
        (Ok(built), _) => built,
        (Err(BuildError::Cancelled), Some(signal)) => {
            display.finish();
            return Err(Error::Interrupted { signal });
        }
        (Err(source), _) => {
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
    display.note(&format!("image {}", built.id));
    for tag in &request.tags {
        display.note(&format!("naming to {}", tag.familiar()));
    }
    display.finish();
    if let Some(path) = &args.iidfile {
        let written = std::fs::write(path, built.id.to_string());
        written.map_err(|source| Error::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    if args.quiet {
        output::line(built.id)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn build(
    request: &BuildRequest,
    rung: Result<Rung, UsernsError>,
    display: &Display,
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
    let backend = Backend {
        snapshotter: &OnDemand::new(&request.store),
        executor: executor.as_ref(),
        progress: display,
        remote: &remote::Network::new(&request.store),
    };
    builder::build(request, backend)
}
