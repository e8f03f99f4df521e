//! `mkimg import`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use image_format::closure::Closure;
use image_format::config::{History, ImageConfig};
use image_format::descriptor::Platform;
use image_format::import::{Times, import};
use image_format::layer::Timestamp;
use image_format::layer::pack::pack_tree;
use image_format::layout::{Layer, Store, write_image};
use image_format::reference::Reference;

use crate::cli::Globals;
use crate::environment::source_date_epoch;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg import`.
#[derive(Args)]
pub struct ImportArgs {
    /// The root file system: a tar (plain, gzip, bzip2, xz or zstd), a directory, or - for a tar on standard input
    #[arg(value_name = "FILE|DIR|-", required_unless_present = "binary")]
    source: Option<PathBuf>,
    /// The name the image gets
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
    /// In place of a root file system: a program, by name or path, with the interpreter and the shared
    /// libraries it needs. Given several times, several programs
    #[arg(long, value_name = "PROGRAM", conflicts_with = "source")]
    binary: Vec<String>,
    /// The tree that the programs are taken from
    #[arg(long, value_name = "DIR", default_value = "/", requires = "binary")]
    tree: PathBuf,
    /// Another name the image gets
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// An instruction that sets the image's config: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL,
    /// ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// The comment in the image's history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

/// Makes an image out of a root file system.
pub fn run(args: &ImportArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let names = args.name.iter().chain(&args.tag);
    let names = names
        .map(|name| super::tag(name))
        .collect::<Result<Vec<Reference>, Error>>()?;
    let epoch = source_date_epoch()?.map_or(Timestamp::DEFAULT_EPOCH, Timestamp::from_secs);
    let config = builder::change(ImageConfig::scratch(&Platform::host()), &args.change)?;
    let directory = args.source.as_deref().filter(|source| source.is_dir());
    if directory.is_some() {
        // To whom the files belong in the image: the user's own to root, as everywhere.
        runner::userns::enter()?;
    }
    let (store, _unfinished) = globals.open_store_tidily()?;
    let layer = match (directory, &args.source) {
        (Some(dir), _) => pack(&store, dir, epoch)?,
        (None, Some(source)) => unpacked(&store, source, epoch)?,
        (None, None) => by_hand(&store, &args.tree, &args.binary, epoch)?,
    };
    let id = publish(
        &store,
        config,
        layer,
        args.message.as_deref(),
        epoch,
        &names,
    )?;
    output::line(id)?;
    Ok(ExitCode::SUCCESS)
}

fn unpacked(store: &Store, source: &Path, epoch: Timestamp) -> Result<Layer, Error> {
    let archive = match source {
        path if path == Path::new("-") => super::stdin()?,
        path => super::open(path)?,
    };
    if rustix::termios::isatty(&archive) {
        return Err(Error::TerminalInput);
    }
    import(store, archive, Times::UpTo(epoch)).map_err(|error| Error::Import {
        source_name: source.to_owned(),
        source: Box::new(error),
    })
}

fn pack(store: &Store, dir: &Path, epoch: Timestamp) -> Result<Layer, Error> {
    let packed = pack_tree(dir, store.blob_writer()?, epoch).map_err(|source| Error::Pack {
        dir: dir.to_owned(),
        source: Box::new(source),
    })?;
    let (diff_id, size) = packed.finish()?;
    Ok(Layer { diff_id, size })
}

/// Packs programs and what they need.
fn by_hand(
    store: &Store,
    tree: &Path,
    programs: &[String],
    epoch: Timestamp,
) -> Result<Layer, Error> {
    let mut closure = Closure::new(tree)?;
    for program in programs {
        closure.add_program(program)?;
    }
    let packed = closure.pack(store.blob_writer()?, epoch);
    let packed = packed.map_err(|source| Error::Pack {
        dir: tree.to_owned(),
        source: Box::new(source),
    })?;
    let (diff_id, size) = packed.finish()?;
    Ok(Layer { diff_id, size })
}

/// Writes the image of one layer, makes it durable and names it.
fn publish(
    store: &Store,
    mut config: ImageConfig,
    layer: Layer,
    message: Option<&str>,
    epoch: Timestamp,
    names: &[Reference],
) -> Result<image_format::digest::Digest, Error> {
    let created = jiff::Timestamp::from_second(epoch.secs).map_err(|_| Error::Epoch {
        value: epoch.secs.to_string(),
    })?;
    config.created = Some(created.to_string());
    config.rootfs.diff_ids.push(layer.diff_id);
    let comment = message.unwrap_or("imported");
    config.history.push(History {
        created: config.created.clone(),
        extra: BTreeMap::from([("comment".to_owned(), comment.into())]),
        ..History::default()
    });
    let image = write_image(store, &config, vec![layer.descriptor()])?;
    let id = store.image(&image)?.id();
    store.sync(&[layer.diff_id, id, image.digest])?;
    if names.is_empty() {
        store.keep(&image)?;
    }
    for name in names {
        store.tag(name, &image)?;
    }
    Ok(id)
}
