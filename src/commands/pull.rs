//! `mkimg pull`, and the pulling of what other commands need.

use std::process::ExitCode;
use std::sync::Arc;

use builder::cancel::Cancel;
use builder::plan::parse_platform;
use builder::remote::{ImageSource, Pulling, RemoteError};
use builder::request::PullPolicy;
use clap::{Args, ValueEnum};
use image_format::descriptor::Platform;
use image_format::layout::{Image, Store, StoreError, name_of};
use image_format::nearest::nearest;
use image_format::reference::Reference;
use image_format::snapshot::{self, LayerSource, Snapshotter};
use remote::Network;
use remote::pull::{Layers, Pull, PullError, Pulled};
use remote::registry::Settings;
use remote::settings::UserSettings;

use crate::cli::Globals;
use crate::error::Error;
use crate::output;
use crate::progress::Pulls;
use crate::registries::RegistryArgs;

/// Flags of `mkimg pull`.
#[derive(Args)]
pub struct PullArgs {
    /// Images: NAME, NAME:TAG or NAME@DIGEST; without a registry docker.io's
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// All tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// The platform, where there are several, as in linux/arm64 [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Print nothing but the image's name
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// When `run` asks a registry for its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// When it is not in the store
    #[default]
    Missing,
    /// Always: its tag may have moved
    Always,
    /// Never
    Never,
}

/// Flags of what asks a registry for its image.
#[derive(Args)]
pub struct AskArgs {
    /// When its registry is asked for the image
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pull: Policy,
    /// Pull nothing
    #[arg(long)]
    offline: bool,
    /// Show no progress of a pull
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// How a registry is asked for an image.
pub struct Asks {
    policy: PullPolicy,
    offline: bool,
    quiet: bool,
    settings: Arc<UserSettings>,
}

impl AskArgs {
    /// With what the user has set, to be called while the process is still who started it.
    pub fn settle(&self, globals: &Globals) -> Asks {
        Asks {
            policy: match self.offline {
                true => PullPolicy::Never,
                false => self.pull.into(),
            },
            offline: self.offline,
            quiet: self.quiet,
            settings: self.registry.settings(globals),
        }
    }
}

impl Asks {
    fn network(&self, store: &Store) -> Network {
        Network::new(store).with_settings(Arc::clone(&self.settings) as _)
    }
}

impl From<Policy> for PullPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Missing => Self::Missing,
            Policy::Always => Self::Always,
            Policy::Never => Self::Never,
        }
    }
}

/// Pulls images.
pub fn run(args: &PullArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let settings = args.registry.settings(globals);
    let names = args.images.iter().map(|name| {
        let alias = settings.alias(name)?;
        super::reference(alias.as_ref().unwrap_or(name))
    });
    let names = names.collect::<Result<Vec<Reference>, Error>>()?;
    if args.all_tags
        && let Some(name) = names
            .iter()
            .find(|name| name.tag().is_some() || name.digest().is_some())
    {
        return Err(Error::TagOfAll(name.familiar()));
    }
    let platform = args.platform.as_deref().map(platform).transpose()?;
    // While there is one thread only. Where there is no namespace, images are unpacked when something is
    // to run in them.
    let unpacks = runner::userns::enter().is_ok();
    let (store, _unfinished) = globals.open_store_tidily()?;
    let network = Network::new(&store).with_settings(settings);
    let display = Pulls::new(args.quiet);
    let puller = Puller {
        store: &store,
        network: &network,
        display: &display,
        platform: platform.as_ref(),
        unpacks,
    };
    let mut errors = Vec::new();
    for name in &names {
        let pulled = match args.all_tags {
            true => puller.all_tags(name),
            false => puller.one(&name.clone().with_default_tag()),
        };
        errors.extend(pulled.err());
    }
    display.finish();
    Error::all(errors)?;
    Ok(ExitCode::SUCCESS)
}

/// The image that a command is to use: the store's or, as `policy` has it, the registry's.
pub fn needed(store: &Store, name: &str, asks: &Asks) -> Result<Image, Error> {
    let mut here = store.resolve(name);
    let mut reference = name.parse::<Reference>().ok();
    if let Err(StoreError::NoImage { .. }) = here
        && let Some(alias) = asks.settings.alias(name)?
    {
        here = store.resolve(&alias);
        reference = alias.parse().ok();
    }
    let ask = asks.policy.asks(&here);
    let Some(reference) = reference.filter(|_| ask) else {
        return Ok(here?);
    };
    let network = asks.network(store);
    let display = Pulls::new(asks.quiet);
    if here.is_err() {
        display.note(&format!("Unable to find image '{name}' locally"));
    }
    let puller = Puller {
        store,
        network: &network,
        display: &display,
        platform: None,
        unpacks: true,
    };
    let pulled = puller.pull(&reference.with_default_tag());
    display.finish();
    let pulled = pulled?;
    display.note(&format!("Digest: {}", pulled.descriptor.digest));
    Ok(pulled.image)
}

/// Brings the layers that were not fetched with their image, and unpacks them all.
pub fn rest(
    store: &Store,
    layers: &[LayerSource],
    snapshotter: &dyn Snapshotter,
    asks: &Asks,
) -> Result<(), Error> {
    if asks.offline {
        return Ok(());
    }
    let network = asks.network(store);
    let display = Pulls::new(asks.quiet);
    let hear = |what: Pulling<'_>| display.hear(what);
    let cancel = Cancel::new();
    let way = network.way();
    let rest = way.layers(store, layers, Some(snapshotter), &hear, &cancel);
    display.finish();
    rest.map_err(|source| Error::Pull {
        source,
        nearest: None,
    })
}

/// Reads the name of a platform.
pub fn platform(text: &str) -> Result<Platform, Error> {
    parse_platform(text).ok_or_else(|| Error::Platform(text.to_owned()))
}

struct Puller<'a> {
    store: &'a Store,
    network: &'a Network,
    display: &'a Pulls,
    platform: Option<&'a Platform>,
    unpacks: bool,
}

impl Puller<'_> {
    /// Pulls one image; the last line is its whole name.
    fn one(&self, name: &Reference) -> Result<(), Error> {
        self.told(name)?;
        output::line(name)
    }

    /// Pulls what each tag of a repository names.
    fn all_tags(&self, name: &Reference) -> Result<(), Error> {
        let tags = self.with(|pull| pull.tags(name));
        let tags = tags.map_err(|error| self.failed(name, error))?;
        for tag in tags {
            let tagged = super::reference(&format!("{name}:{tag}"))?;
            self.told(&tagged)?;
        }
        output::line(name)
    }

    /// Pulls one image, and says so in docker's words.
    fn told(&self, name: &Reference) -> Result<(), Error> {
        let what = name.tag().map(str::to_owned);
        let what = what.or_else(|| name.digest().map(|digest| digest.to_string()));
        let what = what.unwrap_or_default();
        self.display
            .note(&format!("{what}: Pulling from {}", name.repository()));
        let pulled = self.pull(name)?;
        if let Pulls::Nothing = self.display {
            return Ok(());
        }
        let familiar = name.familiar();
        output::line(format_args!("Digest: {}", pulled.descriptor.digest))?;
        output::line(match pulled.is_new {
            true => format!("Status: Downloaded newer image for {familiar}"),
            false => format!("Status: Image is up to date for {familiar}"),
        })
    }

    fn pull(&self, name: &Reference) -> Result<Pulled, Error> {
        let wanted = ImageSource {
            reference: name,
            pinned: None,
            platform: self.platform,
        };
        let pulled = self.with(|pull| pull.image(&wanted));
        if let Err(PullError::DiffId { .. }) = pulled {
            // What came is not what its image says: nothing of it stays.
            super::rmi::collect_garbage(self.store)?;
        }
        pulled.map_err(|error| self.failed(name, error))
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Pull<'_>) -> Result<T, PullError>,
    ) -> Result<T, PullError> {
        let snapshotter = match self.unpacks {
            true => Some(snapshot::detect(self.store, None)?),
            false => None,
        };
        let layers = snapshotter.as_deref();
        work(&Pull {
            store: self.store,
            registries: self.network.way().registries()?,
            layers: layers.map_or(Layers::Stored, Layers::Unpacked),
            hear: &|what| self.display.hear(what),
            cancel: &Cancel::new(),
        })
    }

    fn failed(&self, name: &Reference, error: PullError) -> Error {
        let source = error.of(name);
        let nearest = match source {
            RemoteError::NoImage { .. } => nearest_here(self.store, name),
            _ => None,
        };
        Error::Pull { source, nearest }
    }
}

/// The name in the store that is nearest to one that no registry has.
fn nearest_here(store: &Store, name: &Reference) -> Option<String> {
    let index = store.index().ok()?;
    let names = index.manifests.iter().filter_map(name_of);
    nearest(&name.familiar(), names.map(|name| name.familiar()))
}
