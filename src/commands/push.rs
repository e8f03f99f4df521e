//! `mkimg push`.

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use builder::cancel::Cancel;
use clap::Args;
use image_format::archive::Compression;
use image_format::descriptor::Descriptor;
use image_format::layout::{Store, StoreError, name_of};
use image_format::reference::Reference;
use remote::push::{Packing, Push, PushError, Pushed};
use remote::supply::Way;

use crate::cli::Globals;
use crate::error::Error;
use crate::output;
use crate::progress::Pushes;
use crate::registries::RegistryArgs;

/// The highest level of gzip.
const MOST_GZIP: i32 = 9;
/// Readers give more no memory.
const MOST_ZSTD: i32 = 19;

/// Flags of `mkimg push`.
#[derive(Args)]
pub struct PushArgs {
    /// Names of images, which say where they go: HOST:PORT/NAME:TAG, without a host docker.io's
    #[arg(required = true, value_name = "NAME[:TAG]")]
    names: Vec<String>,
    /// Push all tags that the store has of a repository
    #[arg(short, long)]
    all_tags: bool,
    /// Print nothing but the digest
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    packing: PackingArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// How layers are compressed on their way.
#[derive(Args)]
pub struct PackingArgs {
    /// The compression of layers that were built here: gzip, zstd or none, and a level, as in zstd:10
    /// [default: gzip]
    #[arg(long, value_name = "HOW[:LEVEL]")]
    compression: Option<CompressionArg>,
    /// The level of the compression: 0 to 9 for gzip, 1 to 19 for zstd
    #[arg(long, value_name = "LEVEL", requires = "compression")]
    compression_level: Option<i32>,
    /// Compress layers anew that are in another compression
    #[arg(long, requires = "compression")]
    force_compression: bool,
}

/// `--compression`.
#[derive(Clone, Copy, Debug)]
struct CompressionArg(Compression);

/// Why a compression is none.
#[derive(Debug, thiserror::Error)]
enum CompressionError {
    #[error("it takes gzip, zstd or none")]
    Unknown,
    #[error("its level is from {0} to {1}")]
    Level(i32, i32),
    #[error("what is not compressed has no level")]
    NoLevel,
}

impl FromStr for CompressionArg {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let plain = Self(match name {
            "gzip" => Compression::Gzip(None),
            "zstd" => Compression::Zstd(None),
            "none" | "uncompressed" => Compression::None,
            _ => return Err(CompressionError::Unknown),
        });
        // What is no number is no level either.
        let number = |level: &str| level.parse().unwrap_or(i32::MIN);
        level.map_or(Ok(plain), |level| plain.at(number(level)))
    }
}

impl CompressionArg {
    fn at(self, level: i32) -> Result<Self, CompressionError> {
        let within = |least, most| match (least..=most).contains(&level) {
            true => Ok(level),
            false => Err(CompressionError::Level(least, most)),
        };
        Ok(Self(match self.0 {
            Compression::Gzip(_) => Compression::Gzip(Some(within(0, MOST_GZIP)?.unsigned_abs())),
            Compression::Zstd(_) => Compression::Zstd(Some(within(1, MOST_ZSTD)?)),
            Compression::None => return Err(CompressionError::NoLevel),
        }))
    }
}

impl PackingArgs {
    /// How layers are compressed.
    pub fn packing(&self) -> Result<Packing, Error> {
        let Some(mut compression) = self.compression else {
            return Ok(Packing::default());
        };
        if let Some(level) = self.compression_level {
            let at = compression.at(level);
            compression = at.map_err(|error| Error::CompressionLevel(error.to_string()))?;
        }
        Ok(Packing {
            compression: compression.0,
            force: self.force_compression,
        })
    }
}

/// Pushes images.
pub fn run(args: &PushArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let packing = args.packing.packing()?;
    let names = args.names.iter().map(|name| named(name, args.all_tags));
    let names = names.collect::<Result<Vec<Reference>, Error>>()?;
    let (store, _unfinished) = globals.open_store_tidily()?;
    let settings = args.registry.settings(globals);
    let way = Arc::new(Way::new(settings));
    // Layers that were not fetched yet may have to be.
    store.set_supplier(way.clone());
    let registries = way.registries()?;
    let display = Pushes::new(args.quiet);
    let cancel = Cancel::new();
    let push = Push {
        store: &store,
        registries,
        packing,
        hear: &|what| display.hear(what),
        cancel: &cancel,
    };
    let mut errors = Vec::new();
    for name in &names {
        let pushed = all_of(&store, name, args.all_tags)
            .and_then(|images| told(&push, name, &images, &display, args.quiet));
        errors.extend(pushed.err());
    }
    display.finish();
    Error::all(errors)?;
    Ok(ExitCode::SUCCESS)
}

/// The name that is pushed to: with a tag, unless all of the repository's are.
fn named(name: &str, all_tags: bool) -> Result<Reference, Error> {
    if !all_tags {
        return super::tag(name);
    }
    let reference = super::reference(name)?;
    match reference.tag().is_some() || reference.digest().is_some() {
        true => Err(Error::TagOfAll(name.to_owned())),
        false => Ok(reference),
    }
}

/// The images of a name, or of all names in its repository.
fn all_of(
    store: &Store,
    name: &Reference,
    all_tags: bool,
) -> Result<Vec<(Reference, Descriptor)>, Error> {
    let entries = store.index()?.manifests.into_iter();
    let named = entries.filter_map(|entry| Some((name_of(&entry)?, entry)));
    let wanted = named.filter(|(found, _)| match all_tags {
        true => (found.registry(), found.repository()) == (name.registry(), name.repository()),
        false => found == name,
    });
    let images: Vec<_> = wanted.collect();
    if !images.is_empty() {
        return Ok(images);
    }
    // It knows what is nearest.
    Err(match store.resolve(&name.familiar()) {
        Err(error) => error.into(),
        Ok(_) => StoreError::NoImage {
            name: name.familiar(),
            nearest: None,
        }
        .into(),
    })
}

/// Pushes images of one repository, and says so in docker's words.
fn told(
    push: &Push<'_>,
    name: &Reference,
    images: &[(Reference, Descriptor)],
    display: &Pushes,
    quiet: bool,
) -> Result<(), Error> {
    let (registry, repository) = (name.registry(), name.repository());
    display.note(&format!(
        "The push refers to repository [{registry}/{repository}]"
    ));
    for (name, image) in images {
        let pushed = push.push(image, name);
        let pushed = pushed.map_err(|source| failed(name, source))?;
        if let Some(note) = part(&pushed) {
            display.note(&note);
        }
        let Descriptor { digest, size, .. } = &pushed.descriptor;
        match quiet {
            true => output::line(digest)?,
            false => {
                let tag = name.tag().unwrap_or_default();
                output::line(format_args!("{tag}: digest: {digest} size: {size}"))?;
            }
        }
    }
    Ok(())
}

/// What is to be said where not all of an index was pushed.
pub fn part(pushed: &Pushed) -> Option<String> {
    let platform = pushed.part.as_ref()?;
    Some(format!(
        "only {platform} was pushed: the store has not all platforms of the image"
    ))
}

/// A push to a name that failed.
pub fn failed(name: &Reference, source: PushError) -> Error {
    Error::Push {
        name: name.familiar(),
        source: Box::new(source),
        built: false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_and_its_level() {
        let read = |text: &str| text.parse::<CompressionArg>().map(|CompressionArg(is)| is);
        assert_eq!(read("gzip").unwrap(), Compression::Gzip(None));
        assert_eq!(read("gzip:0").unwrap(), Compression::Gzip(Some(0)));
        assert_eq!(read("zstd:19").unwrap(), Compression::Zstd(Some(19)));
        assert_eq!(read("none").unwrap(), Compression::None);
        for wrong in [
            "", "xz", "gzip:", "gzip:10", "gzip:-1", "zstd:0", "zstd:20", "none:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
