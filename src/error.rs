//! Everything a command can fail with, still typed. `diagnostic` words it.

use std::io;
use std::path::PathBuf;

use builder::cache::CacheError;
use builder::cache::mounts::{CacheArchiveError, CacheMountError};
use builder::remote::RemoteError;
use builder::{BuildError, ChangeError};
use image_format::archive::ArchiveError;
use image_format::closure::ClosureError;
use image_format::import::ImportError;
use image_format::layer::pack::PackError;
use image_format::layout::{Problem, StoreError};
use image_format::reference::ReferenceError;
use image_format::snapshot::SnapshotError;
use remote::push::PushError;
use remote::registry::RegistryError;
use remote::settings::SettingsError;
use runner::SandboxError;
use runner::container::{AttachError, ContainerError, NetworkMode, SignalsError, VariableError};
use runner::network::{ListenError, ProxyError};
use runner::terminal::TerminalError;
use runner::userns::UsernsError;

use crate::commands::build::{InputError, UsageError, WriteError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing says where the store is to be.
    #[error(
        "no place for the store: neither --root nor $MKIMG_ROOT, $XDG_DATA_HOME or $HOME is set"
    )]
    NoStoreRoot,
    /// A file that a command names could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was to be done: `read`, `write`, `open`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The reader of standard output went away.
    #[error("standard output was closed")]
    ReaderGone,
    /// An archive would be typed in.
    #[error("standard input is a terminal, and an archive is to be read from it")]
    TerminalInput,
    /// An archive would be shown.
    #[error("standard output is a terminal, and an archive is to be written to it")]
    TerminalOutput,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The build cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A cache mount could not be found, removed or used.
    #[error(transparent)]
    CacheMount(#[from] CacheMountError),
    /// Cache mounts could not be saved or loaded.
    #[error(transparent)]
    CacheArchive(#[from] CacheArchiveError),
    /// Images could not be loaded or saved.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An image could not be pulled.
    #[error("{source}")]
    Pull {
        /// Why.
        source: RemoteError,
        /// The name in the store that is nearest to one that is not in its registry.
        nearest: Option<String>,
    },
    /// A tag was named where all are meant.
    #[error("{0:?} names one image, and --all-tags is for all of a repository")]
    TagOfAll(String),
    /// A platform's name makes no sense.
    #[error("{0:?} is not a platform")]
    Platform(String),
    /// What a program needs could not be found.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// A root file system could not be imported.
    #[error("cannot import {}", source_name.display())]
    Import {
        /// The file.
        source_name: PathBuf,
        /// Why not.
        source: Box<ImportError>,
    },
    /// A directory could not be made a layer.
    #[error("cannot import {}", dir.display())]
    Pack {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        source: Box<PackError>,
    },
    /// An image's config cannot be changed like that.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// An image was not pushed.
    #[error("cannot push {name}")]
    Push {
        /// Its name.
        name: String,
        /// Why not.
        source: Box<PushError>,
        /// Whether it was built for that just now, and is in the store.
        built: bool,
    },
    /// A compression has no such level.
    #[error("--compression-level: {0}")]
    CompressionLevel(String),
    /// What should name an image does not.
    #[error("{name:?} cannot name an image")]
    Name {
        /// What was given.
        name: String,
        /// Why not.
        source: ReferenceError,
    },
    /// A name with a digest was to be given to an image.
    #[error("{0:?} has a digest, and that is not for anybody to choose")]
    DigestAsTag(String),
    /// An image with several names was to be removed by its ID.
    #[error("{id} has several names ({}), and would lose them all", names.join(", "))]
    SeveralNames {
        /// The ID as given.
        id: String,
        /// Its names.
        names: Vec<String>,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH is {value:?}, and takes seconds since 1970 up to the year 9999")]
    Epoch {
        /// Its value.
        value: String,
    },
    /// There is no user namespace to work in.
    #[error(transparent)]
    Userns(#[from] UsernsError),
    /// An image in the store is not as it should be.
    #[error("{image} is damaged")]
    Damaged {
        /// Its name, or the digest of its manifest.
        image: String,
        /// What is wrong.
        source: StoreError,
    },
    /// What a build is to read cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Flags that cannot be followed, or not together.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// What a build is to write cannot be written.
    #[error(transparent)]
    Output(#[from] WriteError),
    /// What commands of a build are to be given cannot be.
    #[error(transparent)]
    Given(#[from] crate::commands::build::GivenError),
    /// Drawing was asked for where that is impossible.
    #[error("--progress tty draws on a terminal, and standard error is none")]
    NoTerminal,
    /// Snapshots cannot be made in the store.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The signals that end a build cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// A build failed.
    #[error("{}", .0.source)]
    Build(Box<BuildFailure>),
    /// A signal asked for an end.
    #[error("cancelled")]
    Interrupted {
        /// The signal's number.
        signal: u8,
    },
    /// A container could not be made, found or removed.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A container's program did not run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A container that runs could not be attended to.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A port could not be published.
    #[error("cannot publish: {0}")]
    Listen(#[from] ListenError),
    /// Published ports could not be served.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A variable of a container could not be read.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// The signals for a container could not be taken.
    #[error(transparent)]
    ContainerSignals(#[from] SignalsError),
    /// mkimg's terminal could not be used.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// A terminal was asked for, and what would be typed comes from elsewhere.
    #[error("-i and -t together take a terminal, and standard input is none")]
    NotATerminal,
    /// Ports were to be published of a container without a network of its own.
    #[error("no port can be published with --network {0}")]
    NothingToPublish(NetworkMode),
    /// An image that containers were made from was to be removed.
    #[error("{name} is the image of {}", users.join(", "))]
    ImageInUse {
        /// The image as given.
        name: String,
        /// The containers.
        users: Vec<String>,
    },
    /// A registry did not do what it was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What is set for registries cannot be used, or a login not be kept.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What should be a registry's name is none.
    #[error("{0:?} is no registry: it takes HOST[:PORT]")]
    NoRegistry(String),
    /// A registry does not let somebody in.
    #[error("{host} refuses the login{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    LoginRefused {
        /// The registry.
        host: String,
        /// What it says.
        said: String,
    },
    /// Who logs in gave no user or no password.
    #[error("no {0} was given")]
    NothingGiven(&'static str),
    /// Something would have to be asked for, and standard input is no terminal.
    #[error("user and password cannot be asked for, as standard input is no terminal")]
    NobodyToAsk,
    /// Several things failed, each for itself.
    #[error("{} errors", .0.len())]
    Many(Vec<Error>),
}

impl Error {
    /// Fails with these errors, if there are any.
    pub fn all(mut errors: Vec<Error>) -> Result<(), Error> {
        match errors.pop() {
            None => Ok(()),
            Some(error) if errors.is_empty() => Err(error),
            Some(error) => {
                errors.push(error);
                Err(Error::Many(errors))
            }
        }
    }

    /// Whether the command line is wrong, and nothing was begun.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::TagOfAll(_) | Self::Platform(_) | Self::CompressionLevel(_) => {
                true
            }
            Self::Input(error) => error.is_usage(),
            _ => false,
        }
    }

    /// Whether an image was named that is not there.
    pub fn is_no_image(&self) -> bool {
        matches!(self, Error::Store(StoreError::NoImage { .. }))
    }
}

/// Why a build failed, and what is needed to show where.
#[derive(Debug)]
pub struct BuildFailure {
    /// Why.
    pub source: BuildError,
    /// What the Dockerfile is called.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Whether all that commands wrote has been shown.
    pub shown: bool,
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Damaged {
            image: match problem.name {
                Some(name) => name.familiar(),
                None => problem.image.to_string(),
            },
            source: problem.error,
        }
    }
}
