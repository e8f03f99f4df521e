//! `mkimg run`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args};
use image_format::layout::Store;
use image_format::snapshot::{self, LayerSource};
use runner::container::{
    Console, Container, ContainerOptions, Name, NetworkMode, ProcessOptions, Signals, Variable,
    Volume, attach, environment,
};
use runner::network::{Listeners, Outbound, Proxy, PublishedPorts};
use runner::sandbox::{SandboxSpec, Stage};
use runner::terminal::is_terminal;
use runner::{Exit, Sandbox, userns};

use super::pull::{self, AskArgs, Asks};
use crate::cli::Globals;
use crate::diagnostic;
use crate::error::Error;

/// Flags of `mkimg run`.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct RunArgs {
    /// The image, the program to run in place of the image's, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [COMMAND [ARG…]]", num_args = 1..)]
    image_and_command: Vec<String>,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// The container's name
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Ports to publish
    #[arg(
        help = "Publish a port: [[IP:]HOST:]CONTAINER[/tcp|udp], ranges too; may be given several times",
        short,
        long,
        value_name = "PORT"
    )]
    publish: Vec<PublishedPorts>,
    /// The network: private (also called bridge), host or none
    #[arg(long, visible_alias = "net", default_value_t, value_name = "NETWORK")]
    network: NetworkMode,
    /// Files and directories to mount
    #[arg(
        help = "Mount a file or directory: HOST:CONTAINER[:ro]; may be given several times",
        short,
        long,
        value_name = "VOLUME"
    )]
    volume: Vec<Volume>,
    /// Set a variable: NAME=VALUE, or NAME for the value it has here; may be given several times
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<Variable>,
    /// Read variables from a file, one a line; may be given several times
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Run this in place of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The user, and the group: NAME or number, as in 1000:1000
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The host name
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// Make the root file system read-only
    #[arg(long)]
    read_only: bool,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    asks: AskArgs,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// Runs a program in a new container, until it ends, and exits as it did.
pub fn run(args: RunArgs, globals: &Globals) -> Result<ExitCode, Error> {
    if args.tty && args.interactive && !is_terminal(std::io::stdin()) {
        return Err(Error::NotATerminal);
    }
    let asks = args.asks.settle(globals);
    let (image_name, options, listeners) = options(args)?;
    // While there is one thread only. After the ports are bound: to root of a namespace, processes
    // outside of it that hold a port would be invisible.
    userns::enter()?;
    // It starts while the container is made.
    let stage = Stage::start(options.network != NetworkMode::Host)?;
    let store = globals.open_store()?;
    let (container, spec, signals) = create(store, &image_name, &asks, &options)?;
    for port in options.ports.iter().filter(|port| port.chosen) {
        diagnostic::note(&format!("published {port}"));
    }
    match live(&container, stage, &spec, listeners, &signals) {
        Ok(exit) => {
            if let Err(error) = container.finish(exit) {
                diagnostic::warn(&error);
            }
            Ok(ExitCode::from(exit.code()))
        }
        Err(error) => {
            if let Err(error) = container.discard() {
                diagnostic::warn(&error);
            }
            Err(error)
        }
    }
}

/// The image's name, what the user wants, and the ports, which are bound before anything is made.
fn options(args: RunArgs) -> Result<(String, ContainerOptions, Listeners), Error> {
    let mut words = args.image_and_command.into_iter();
    let image = words.next().unwrap_or_default();
    let mut variables = Vec::new();
    for file in &args.env_file {
        variables.extend(environment::read_file(file)?);
    }
    variables.extend(args.env);
    let published: Vec<_> = args.publish.into_iter().flat_map(|ports| ports.0).collect();
    if !published.is_empty() && args.network != NetworkMode::Private {
        return Err(Error::NothingToPublish(args.network));
    }
    let listeners = Listeners::bind(&published)?;
    let options = ContainerOptions {
        name: args.name,
        remove: args.rm,
        process: ProcessOptions {
            entrypoint: args.entrypoint,
            command: words.collect(),
            environment: variables,
            working_dir: args.workdir,
            user: args.user,
            terminal: args.tty,
        },
        hostname: args.hostname,
        volumes: args.volume,
        read_only: args.read_only,
        interactive: args.interactive,
        window: args.tty.then(Console::size),
        network: args.network,
        ports: listeners.ports(),
    };
    Ok((image, options, listeners))
}

/// Makes the container. The store is not held any longer than that, so that garbage can be collected
/// while the container runs.
fn create(
    store: Store,
    image_name: &str,
    asks: &Asks,
    options: &ContainerOptions,
) -> Result<(Container, SandboxSpec, Signals), Error> {
    let image = pull::needed(&store, image_name, asks)?;
    let snapshotter = snapshot::detect(&store, None)?;
    let layers = LayerSource::of_image(&image);
    pull::rest(&store, &layers, &*snapshotter, asks)?;
    snapshotter.ensure(&layers)?;
    // From here on a signal is for the container, and ends nothing half-way.
    let signals = Signals::block(options.window.is_some())?;
    let made = Container::create(&store, &*snapshotter, &image, image_name, options);
    let (container, spec) = made?;
    Ok((container, spec, signals))
}

/// Runs the sandbox from its start to its end, with its network and its terminal.
fn live(
    container: &Container,
    stage: Stage,
    spec: &SandboxSpec,
    listeners: Listeners,
    signals: &Signals,
) -> Result<Exit, Error> {
    let sandbox = Sandbox::create_in(stage, spec)?;
    let (mut outbound, mut proxy) = (None, None);
    if let Some(netns) = sandbox.netns()
        && spec.network == runner::sandbox::Network::Private
    {
        match Outbound::prepare(netns) {
            Ok(prepared) => outbound = Some(prepared),
            Err(error) => without_way_out(&error),
        }
        if !listeners.is_empty() {
            proxy = Some(Proxy::start(listeners, netns)?);
        }
    }
    let console = match spec.terminal {
        Some(_) => Some(Console::open(
            spec.stdio.stdin == runner::sandbox::Stream::Pipe,
        )?),
        None => None,
    };
    let mut running = sandbox.start()?;
    let exit = attach::attend(
        container,
        &mut running,
        signals,
        outbound,
        console,
        without_way_out,
    )?;
    // Its last answers may still be on their way.
    drop(proxy);
    Ok(exit)
}

/// The container goes on with its own loopback and its published ports.
fn without_way_out(error: &runner::network::OutboundError) {
    diagnostic::warn(error);
    diagnostic::note(&format!(
        "the container has no way out to other machines: {}",
        error.hint()
    ));
}
