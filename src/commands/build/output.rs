//! What a build leaves: an image in the store, or files.

mod metadata;
mod push;
mod spec;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use builder::Built;
use builder::cancel::Cancel;
use clap::Args;
use image_format::layout::Store;
use image_format::reference::Reference;
use remote::push::Packing;

use super::annotation::{Annotation, Label};
use crate::error::Error;
use crate::output;
use crate::output::file;
pub use push::Pusher;
use spec::{Dest, Kind, Output};
pub use write::WriteError;

/// Flags of what a build leaves.
#[derive(Args)]
pub struct OutputArgs {
    /// A name the image gets; may be given several times
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// A label of the image's config, over what the Dockerfile says
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<Label>,
    /// An annotation of the image's manifest
    #[arg(long, value_name = "[manifest:]NAME=VALUE")]
    annotation: Vec<Annotation>,
    /// What is written: a directory for the files of the image, - for a tar of them on standard output, or
    /// type=local|tar|oci|docker|image|registry,dest=PATH. With none of type image or registry, the store has no
    /// image afterwards; type=registry and type=image,push=true push it [default: type=image]
    #[arg(short, long, value_name = "DIR|-|type=TYPE,dest=PATH")]
    output: Vec<Output>,
    /// As --output type=image
    #[arg(long)]
    load: bool,
    /// Push the image to where its names say, as `mkimg push` does; the right to do so is tried before the build
    #[arg(long)]
    push: bool,
    /// Write the image's ID to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write what was built to a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
}

/// A use of the flags that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Nothing says where to push.
    #[error("an image without a name is to be pushed (--push, type=registry)")]
    PushNameless,
    /// A push needs a network.
    #[error("--offline pushes nothing")]
    PushOffline,
    /// Two outputs would be one.
    #[error("two outputs go to standard output")]
    TwoToStdout,
    /// Two outputs would be one.
    #[error("two outputs go to {}", .0.display())]
    TwoToOne(PathBuf),
    /// An image's own, where there is no image.
    #[error("{flag} is of an image, and no output is one")]
    NoImage {
        /// The flag.
        flag: &'static str,
    },
    /// A file would be where a directory is, or the other way round.
    #[error("the output {} is {is}", path.display())]
    Place {
        /// Where to.
        path: PathBuf,
        /// What is there.
        is: &'static str,
    },
    /// A file could not be made.
    #[error("{flag} {}: there is no directory {}", path.display(), file::parent(path).display())]
    NoParent {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The platform is another.
    #[error("--platform {asked}: this machine runs {host}, and mkimg builds for that alone")]
    Platform {
        /// What was asked for.
        asked: String,
        /// What there is.
        host: String,
    },
}

impl UsageError {
    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::PushNameless => "give it one with -t [HOST[:PORT]/]NAME[:TAG]",
            Self::PushOffline => "leave one of both out; mkimg push does it later",
            Self::TwoToStdout | Self::TwoToOne(_) => "give each a dest= of its own",
            Self::NoImage { .. } => "add --load, or leave it out",
            Self::Place { .. } | Self::NoParent { .. } => return None,
            Self::Platform { .. } => "leave --platform out, and build on such a machine",
        })
    }
}

/// What is to be left, checked as far as that goes before there is anything.
pub struct Outputs {
    outputs: Vec<Output>,
    names: Vec<Reference>,
    /// Names of the image in the store.
    pub tags: Vec<Reference>,
    /// Whether the store has the image afterwards.
    pub keep: bool,
    /// The image's labels.
    pub labels: BTreeMap<String, String>,
    /// The image's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Where it is pushed to, and how.
    pub pushes: Vec<(Reference, Packing)>,
    iidfile: Option<PathBuf>,
    metadata_file: Option<PathBuf>,
}

impl OutputArgs {
    /// Checks all that can be checked before the build.
    pub fn check(&self) -> Result<Outputs, Error> {
        let names = self.tag.iter().map(|name| crate::commands::tag(name));
        let names = names.collect::<Result<Vec<Reference>, Error>>()?;
        let is_image = |output: &&Output| output.kind == Kind::Image;
        let images = self.output.iter().filter(is_image);
        let keep =
            self.load || self.push || self.output.is_empty() || images.clone().next().is_some();
        let own = images.clone().flat_map(|output| output.names.iter());
        let mut tags = names.clone();
        tags.extend(own.cloned());
        let pushes = self.pushes(&names)?;
        let labels = self.label.iter().cloned();
        let annotations = self.annotation.iter().cloned();
        let mut annotations: BTreeMap<_, _> = annotations
            .map(|Annotation { name, value }| (name, value))
            .collect();
        let own = images.flat_map(|output| output.annotations.clone());
        let outputs = Outputs {
            outputs: self.output.clone(),
            names,
            tags: if keep { tags } else { Vec::new() },
            keep,
            pushes,
            labels: labels.map(|Label { name, value }| (name, value)).collect(),
            annotations: {
                annotations.extend(own);
                annotations
            },
            iidfile: self.iidfile.clone(),
            metadata_file: self.metadata_file.clone(),
        };
        outputs.check()?;
        Ok(outputs)
    }

    /// All names that the image is pushed to, each once.
    fn pushes(&self, names: &[Reference]) -> Result<Vec<(Reference, Packing)>, UsageError> {
        let mut pushes: Vec<(Reference, Packing)> = Vec::new();
        let own = self.output.iter();
        let own = own.filter_map(|output| Some((output.push?, output.names.as_slice())));
        let flag = self.push.then(|| (Packing::default(), [].as_slice()));
        for (packing, own) in own.chain(flag) {
            if names.is_empty() && own.is_empty() {
                return Err(UsageError::PushNameless);
            }
            for name in names.iter().chain(own) {
                if !pushes.iter().any(|(known, _)| known == name) {
                    pushes.push((name.clone(), packing));
                }
            }
        }
        Ok(pushes)
    }
}

impl Outputs {
    fn check(&self) -> Result<(), Error> {
        let has_image = self.keep || self.outputs.iter().any(Output::is_image);
        for (flag, given) in [
            ("--iidfile", self.iidfile.is_some()),
            ("--annotation", !self.annotations.is_empty()),
        ] {
            if given && !has_image {
                return Err(UsageError::NoImage { flag }.into());
            }
        }
        for (flag, path) in [
            ("--iidfile", &self.iidfile),
            ("--metadata-file", &self.metadata_file),
        ] {
            if let Some(path) = path {
                check_file(flag, path)?;
            }
        }
        for (at, output) in self.outputs.iter().enumerate() {
            let Some(dest) = output.dest() else {
                continue;
            };
            let mut others = self.outputs[..at].iter().filter_map(Output::dest);
            match dest {
                Dest::Stdout if rustix::termios::isatty(std::io::stdout()) => {
                    return Err(Error::TerminalOutput);
                }
                Dest::Stdout if others.any(|other| other == dest) => {
                    return Err(UsageError::TwoToStdout.into());
                }
                Dest::Path(path) if others.any(|other| other == dest) => {
                    return Err(UsageError::TwoToOne(path).into());
                }
                Dest::Stdout => {}
                Dest::Path(path) if output.is_directory() => check_directory(output, &path)?,
                Dest::Path(path) => check_file("--output", &path)?,
            }
        }
        Ok(())
    }

    /// Whether standard output is one of them, so that nothing else may go there.
    pub fn to_stdout(&self) -> bool {
        let mut all = self.outputs.iter().filter_map(Output::dest);
        all.any(|dest| dest == Dest::Stdout)
    }

    /// Writes them all, and pushes last: the image is in the store by then.
    pub fn write(
        &self,
        store: &Store,
        built: &Built,
        pusher: &Pusher<'_>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let image = store.image(&built.manifest)?;
        // What is told of is the store's image, else that of the first output.
        let mut written = self.keep.then(|| built.manifest.clone());
        for output in &self.outputs {
            let of_output = write::write(store, &image, output, &self.names, cancel)?;
            written = written.or(of_output);
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File {
                action: "write",
                path,
                source,
            }
        };
        if let Some(path) = &self.iidfile {
            file::write(path, built.id.to_string().as_bytes()).map_err(failed(path))?;
        }
        if let Some(pushed) = pusher.push(store, &built.manifest, &self.pushes, cancel)? {
            written = Some(pushed);
        }
        if let Some(path) = &self.metadata_file {
            let own = self.outputs.iter().flat_map(|output| &output.names);
            let names = self.names.iter().chain(&self.tags).chain(own);
            let text = metadata::of(written.map(|image| (image, built)), names)?;
            file::write(path, text.as_bytes()).map_err(failed(path))?;
        }
        Ok(())
    }

    /// Prints the image's ID, unless standard output is for something else.
    pub fn print_id(&self, built: &Built) -> Result<(), Error> {
        match self.to_stdout() {
            true => Ok(()),
            false => output::line(built.id),
        }
    }
}

fn check_file(flag: &'static str, path: &Path) -> Result<(), UsageError> {
    let path = path.to_owned();
    if path.is_dir() {
        let is = "a directory";
        return Err(UsageError::Place { path, is });
    }
    if !file::parent(&path).is_dir() {
        return Err(UsageError::NoParent { flag, path });
    }
    Ok(())
}

fn check_directory(output: &Output, path: &Path) -> Result<(), UsageError> {
    let path = path.to_owned();
    let is_layout = matches!(output.kind, Kind::Archive { .. });
    if path.exists() {
        let found = std::fs::read_dir(&path).map(|mut entries| entries.next().is_some());
        return match found {
            // What a layout takes the place of is empty.
            Ok(true) if is_layout => {
                let is = "a directory with something in it";
                Err(UsageError::Place { path, is })
            }
            Ok(_) => Ok(()),
            Err(_) => {
                let is = "not a directory that can be read";
                Err(UsageError::Place { path, is })
            }
        };
    }
    if is_layout && !file::parent(&path).is_dir() {
        let flag = "--output";
        return Err(UsageError::NoParent { flag, path });
    }
    Ok(())
}
