//! The command line: which commands there are, and the flags that all of them take. A command's own flags
//! stand in its file under `commands`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use image_format::layout::Store;
use remote::settings::places::Places;

use crate::commands;
use crate::diagnostic::ExitCodes;
use crate::error::Error;
use crate::root;
use crate::signals::Unfinished;

/// Builds container images from a Dockerfile and runs them, with no daemon and no root.
#[derive(Parser)]
#[command(
    name = "mkimg",
    version,
    disable_help_subcommand = false,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Args)]
pub struct Globals {
    /// Directory of the store [default: $MKIMG_ROOT, else /var/lib/mkimg for root and
    /// $XDG_DATA_HOME/mkimg or ~/.local/share/mkimg for others]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    #[arg(skip)]
    registry_places: Places,
}

impl Globals {
    /// Chooses the directory of the store and the user's files, which has to happen while the process is
    /// still who started it: in a user namespace everybody is root.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.root = Some(root::choose(self.root.as_deref())?);
        let uid = rustix::process::geteuid().as_raw();
        self.registry_places = Places::new(|name| std::env::var_os(name), uid);
        Ok(())
    }

    /// Where the user has set something for registries.
    pub fn registry_places(&self) -> &Places {
        &self.registry_places
    }

    /// The directory of the store, absolute.
    pub fn store_root(&self) -> Result<&Path, Error> {
        self.root.as_deref().ok_or(Error::NoStoreRoot)
    }

    /// The store, made where there is none.
    pub fn open_store(&self) -> Result<Store, Error> {
        Ok(Store::open(self.store_root()?)?)
    }

    /// The store where there is one that can be used; nothing is made where there is none.
    pub fn existing_store(&self) -> Option<Store> {
        let root = self.store_root().ok()?;
        // Written last: what has it is a store.
        root.join("version")
            .exists()
            .then(|| Store::open(root).ok())?
    }

    /// The store, for something that a signal may end at any moment without leaving half of it.
    ///
    /// To be called before there is any other thread.
    pub fn open_store_tidily(&self) -> Result<(Store, Unfinished), Error> {
        let unfinished = Unfinished::watch()?;
        let store = self.open_store()?;
        unfinished.make(|| store.unfinished(), |path| path)?;
        Ok((store, unfinished))
    }
}

/// What mkimg can do.
#[derive(Subcommand)]
pub enum Command {
    /// Build an image from a Dockerfile
    Build(Box<commands::build::BuildArgs>),
    /// Check a Dockerfile for what should not be in it
    Check(commands::check::CheckArgs),
    /// Run a program in a new container
    Run(commands::run::RunArgs),
    /// Bring images from registries into the store
    Pull(commands::pull::PullArgs),
    /// List the containers
    Ps(commands::ps::PsArgs),
    /// Remove containers
    Rm(commands::rm::RmArgs),
    /// List the images
    #[command(visible_alias = "ls")]
    Images(commands::images::ImagesArgs),
    /// Show what is known of images, as JSON
    Inspect(commands::inspect::InspectArgs),
    /// Show what made an image
    History(commands::history::HistoryArgs),
    /// Give an image another name
    Tag(commands::tag::TagArgs),
    /// Remove images
    Rmi(commands::rmi::RmiArgs),
    /// Make an image out of a root file system
    Import(commands::import::ImportArgs),
    /// Load images from an archive or an OCI image layout
    Load(commands::load::LoadArgs),
    /// Push images to their registries
    Push(commands::push::PushArgs),
    /// Save images to an archive or an OCI image layout
    Save(commands::save::SaveArgs),
    /// Log in to a registry
    Login(commands::login::LoginArgs),
    /// Log out from a registry
    Logout(commands::logout::LogoutArgs),
    /// List, remove, save and load the cache mounts of RUN
    Cache(commands::cache::CacheArgs),
    /// Check every byte of the images in the store
    Verify(commands::verify::VerifyArgs),
    /// Show the version and where the store is
    Version(commands::version::VersionArgs),
}

impl Command {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Result<ExitCode, Error> {
        match self {
            Command::Build(args) => commands::build::run(&args, globals),
            Command::Check(args) => commands::check::run(&args, globals),
            Command::Run(args) => commands::run::run(args, globals),
            Command::Pull(args) => commands::pull::run(&args, globals),
            Command::Ps(args) => commands::ps::run(&args, globals),
            Command::Rm(args) => commands::rm::run(&args, globals),
            Command::Images(args) => commands::images::run(&args, globals),
            Command::Inspect(args) => commands::inspect::run(&args, globals),
            Command::History(args) => commands::history::run(&args, globals),
            Command::Tag(args) => commands::tag::run(&args, globals),
            Command::Rmi(args) => commands::rmi::run(&args, globals),
            Command::Import(args) => commands::import::run(&args, globals),
            Command::Load(args) => commands::load::run(&args, globals),
            Command::Push(args) => commands::push::run(&args, globals),
            Command::Save(args) => commands::save::run(&args, globals),
            Command::Login(args) => commands::login::run(&args, globals),
            Command::Logout(args) => commands::logout::run(&args, globals),
            Command::Cache(args) => commands::cache::run(&args, globals),
            Command::Verify(args) => commands::verify::run(&args, globals),
            Command::Version(args) => commands::version::run(&args, globals),
        }
    }

    /// What its failures exit with.
    pub fn exit_codes(&self) -> ExitCodes {
        match self {
            Command::Run(_) => ExitCodes::RUN,
            _ => ExitCodes::PLAIN,
        }
    }
}

/// Reads the command line. Help and version texts are printed here, and so is wrong usage: it exits with 2
/// (125 for `run`, where 2 would look like the container's own).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Command, Globals), ExitCode> {
    let args: Vec<OsString> = args.into_iter().collect();
    match Cli::try_parse_from(&args) {
        Ok(cli) => Ok((cli.command, cli.globals)),
        Err(error) => {
            // a closed stdout or stderr leaves nobody to tell
            let _ = error.print();
            Err(match error.use_stderr() {
                false => ExitCode::SUCCESS,
                true if names_run(&args) => ExitCode::from(125),
                true => ExitCode::from(2),
            })
        }
    }
}

/// Whether the command asked for is `run`: the first word that is neither a flag nor the value of `--root`.
fn names_run(args: &[OsString]) -> bool {
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--root" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return word == "run";
        }
    }
    false
}
