//! What a build reads: its context, its Dockerfile and its named contexts, wherever they are.

mod archive;
mod dockerfile;
mod error;
mod named;
mod place;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use builder::cancel::Cancel;
use builder::check::CheckedContext;
use builder::progress::Progress;
use builder::remote::Remote as _;
use builder::request::{ContextSource, DockerfileText, NamedContext, PullPolicy};
use clap::Args;
use image_format::import::is_archive;
use image_format::layer::Timestamp;
use image_format::layout::{Store, TmpDir};
use remote::Network;
use remote::client::shown;
use remote::git::Dated;
use remote::git::head::commit_time;

pub use error::InputError;
pub use named::NamedArg;
use place::Place;

/// The name of a Dockerfile in its context.
const DOCKERFILE: &str = "Dockerfile";
/// Standard input.
const STDIN: &str = "-";

/// Flags of what a build reads.
#[derive(Args)]
pub struct ContextArgs {
    /// What COPY copies from: a directory, a tar (compressed or not), the URL of a git repository
    /// (URL#REF:DIR), of a tar or of a Dockerfile, or - for a Dockerfile or a tar on standard input
    #[arg(value_name = "CONTEXT")]
    context: PathBuf,
    /// The Dockerfile, or - for standard input; in a context that is no directory a path in it [default:
    /// Dockerfile in the context]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A further context, which comes before a stage or image of its name: a directory, oci-layout://DIR,
    /// docker-image://IMAGE, the URL of a git repository or of a file
    #[arg(long, value_name = "NAME=CONTEXT")]
    build_context: Vec<NamedArg>,
}

/// How a build reads.
pub struct Reader<'a> {
    /// Where archives go.
    pub store: &'a Store,
    /// Fetches what is elsewhere.
    pub remote: &'a Network,
    /// The time of all files of an archive, as of all that is copied from a directory.
    pub time: Timestamp,
    /// When images are asked for in their registries.
    pub pull: PullPolicy,
    /// Hears of images that come.
    pub progress: &'a dyn Progress,
    /// Ends it.
    pub cancel: &'a Cancel,
}

/// What was read.
pub struct Loaded {
    /// The context.
    pub source: ContextSource,
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// The named contexts.
    pub named: BTreeMap<String, NamedContext>,
    /// When the commit was made that a fetched context is at, in seconds since 1970.
    pub commit_time: Option<i64>,
    /// Directories that hold some of it.
    _held: Vec<TmpDir>,
}

/// Arguments that could be what they are to be; nothing has been read.
pub struct Checked<'a> {
    place: Place,
    file: Option<&'a Path>,
    named: &'a [NamedArg],
}

impl ContextArgs {
    /// As [`for_check`], of these arguments.
    pub fn for_check(&self) -> Result<(Option<PathBuf>, DockerfileText), InputError> {
        for_check(&self.context, self.file.as_deref())
    }

    /// As [`named_for_check`], of these arguments.
    pub fn named_for_check(
        &self,
        store: Option<&Store>,
    ) -> Result<BTreeMap<String, CheckedContext>, InputError> {
        named_for_check(&self.build_context, store)
    }

    /// Finds out what the arguments name.
    pub fn check(&self) -> Result<Checked<'_>, InputError> {
        let place = Place::of(&self.context)?;
        let file = self.file.as_deref();
        if matches!(place, Place::Stdin) && file == Some(Path::new(STDIN)) {
            return Err(InputError::StdinTwice);
        }
        self.build_context.iter().try_for_each(NamedArg::check)?;
        Ok(Checked {
            place,
            file,
            named: &self.build_context,
        })
    }
}

/// What is checked and not built: a directory and its Dockerfile, or a Dockerfile alone on standard input.
pub fn for_check(
    context: &Path,
    file: Option<&Path>,
) -> Result<(Option<PathBuf>, DockerfileText), InputError> {
    match Place::of(context)? {
        Place::Directory(path) => {
            let dockerfile = dockerfile::of_directory(&path, file)?;
            Ok((Some(path), dockerfile))
        }
        Place::Stdin if file == Some(Path::new(STDIN)) => Err(InputError::StdinTwice),
        Place::Stdin if file.is_some() => Err(InputError::TwoDockerfiles),
        Place::Stdin => match dockerfile::stdin()? {
            bytes if is_archive(&bytes) => Err(InputError::NotChecked("standard input".into())),
            bytes => Ok((None, dockerfile::of_stdin(bytes)?)),
        },
        Place::Archive(_) | Place::Git(_) | Place::Http(_) => {
            Err(InputError::NotChecked(context.to_owned()))
        }
    }
}

/// The named contexts of a check. Nothing is fetched or loaded.
pub fn named_for_check(
    args: &[NamedArg],
    store: Option<&Store>,
) -> Result<BTreeMap<String, CheckedContext>, InputError> {
    let named = args.iter().map(|arg| {
        arg.check()?;
        Ok((arg.name.clone(), arg.for_check(store)))
    });
    named.collect()
}

impl Checked<'_> {
    /// When the commit was made that the context is at, in seconds since 1970; `None` where that is known
    /// once it is fetched.
    pub fn commit_time(&self) -> Result<Option<i64>, InputError> {
        let none = |context: String| Err(InputError::NoCommit(context));
        match &self.place {
            Place::Directory(path) => Ok(Some(commit_time(path)?)),
            Place::Git(_) => Ok(None),
            Place::Archive(path) => none(path.display().to_string()),
            Place::Stdin => none("standard input".to_owned()),
            Place::Http(url) => none(shown(url)),
        }
    }

    /// Reads all of it: a fetched or packed context goes into the store.
    pub fn load(&self, reader: &Reader<'_>) -> Result<Loaded, InputError> {
        let (mut held, mut commit_time) = (Vec::new(), None);
        let (source, dockerfile) = match &self.place {
            Place::Directory(path) => {
                let dockerfile = dockerfile::of_directory(path, self.file)?;
                (ContextSource::from(path.clone()), dockerfile)
            }
            Place::Stdin => self.stdin(reader, &mut held)?,
            Place::Archive(path) => {
                let file = open(path)?;
                self.archive(reader, file, &path.display().to_string())?
            }
            Place::Git(repository) => {
                let Dated { checkout, seconds } = repository.check_out(reader)?;
                commit_time = Some(seconds);
                let dockerfile = dockerfile::of_fetched(&checkout.path, self.file)?;
                let path = checkout.path;
                let ignores = false;
                (ContextSource::Directory { path, ignores }, dockerfile)
            }
            Place::Http(url) => self.http(reader, url, &mut held)?,
        };
        let mut named = BTreeMap::new();
        for arg in self.named {
            named.insert(arg.name.clone(), arg.load(reader, &mut held)?);
        }
        Ok(Loaded {
            source,
            dockerfile,
            named,
            commit_time,
            _held: held,
        })
    }

    /// Standard input is a Dockerfile with an empty context, or a tar.
    fn stdin(
        &self,
        reader: &Reader<'_>,
        held: &mut Vec<TmpDir>,
    ) -> Result<(ContextSource, DockerfileText), InputError> {
        let stdin = standard_input()?;
        match archive::of_stream(reader.store, stdin)? {
            archive::Stream::Archive(file) => self.archive(reader, file, "standard input"),
            archive::Stream::Text(_) if self.file.is_some() => Err(InputError::TwoDockerfiles),
            archive::Stream::Text(bytes) => {
                let empty = reader.store.tmp_dir()?;
                let path = empty.path().to_owned();
                held.push(empty);
                let ignores = false;
                let source = ContextSource::Directory { path, ignores };
                Ok((source, dockerfile::of_stdin(bytes)?))
            }
        }
    }

    fn archive(
        &self,
        reader: &Reader<'_>,
        file: File,
        name: &str,
    ) -> Result<(ContextSource, DockerfileText), InputError> {
        let layers = archive::layers(reader, file, name)?;
        let dockerfile = dockerfile::of_layers(reader.store, &layers, self.file, name)?;
        Ok((ContextSource::Layers(layers), dockerfile))
    }

    /// An address is a tar's, or a Dockerfile's: then the context is that file, by the name `context`.
    fn http(
        &self,
        reader: &Reader<'_>,
        url: &str,
        held: &mut Vec<TmpDir>,
    ) -> Result<(ContextSource, DockerfileText), InputError> {
        let fetched = reader.remote.http(url, &mut |_, _| {}, reader.cancel)?.path;
        if archive::is_archive(&fetched)? {
            let file = open(&fetched)?;
            return self.archive(reader, file, url);
        }
        let dir = archive::alone(reader.store, &fetched, "context")?;
        let path = dir.path().to_owned();
        held.push(dir);
        let dockerfile = match self.file {
            None => dockerfile::of_download(&fetched, url)?,
            Some(_) => dockerfile::of_fetched(&path, self.file)?,
        };
        let ignores = false;
        Ok((ContextSource::Directory { path, ignores }, dockerfile))
    }
}

fn open(path: &Path) -> Result<File, InputError> {
    File::open(path).map_err(InputError::io("open", path))
}

/// Standard input as a file, in which nothing has been read ahead.
fn standard_input() -> Result<File, InputError> {
    let owned = std::io::stdin().as_fd().try_clone_to_owned();
    let owned = owned.map_err(InputError::io("open", Path::new("standard input")))?;
    if rustix::termios::isatty(&owned) {
        return Err(InputError::Terminal);
    }
    Ok(File::from(owned))
}
