//! `mkimg rmi`.

use std::process::ExitCode;

use builder::cache::record;
use clap::Args;
use image_format::layout::{Roots, Store, name_of};
use runner::container;

use crate::cli::Globals;
use crate::diagnostic;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg rmi`.
#[derive(Args)]
pub struct RmiArgs {
    /// Names or IDs of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Remove an image given by its ID with all its names; do not fail on one that is not there
    #[arg(short, long)]
    force: bool,
}

/// Removes names, and what nothing needs any more.
pub fn run(args: &RmiArgs, globals: &Globals) -> Result<ExitCode, Error> {
    // Unpacked layers belong to subordinate users where there could be a namespace; where there could
    // not, there are none.
    let _ = runner::userns::enter();
    let store = globals.open_store()?;
    let mut errors = Vec::new();
    for name in &args.images {
        match remove(&store, name, args.force) {
            Ok(()) => {}
            Err(error) if args.force && error.is_no_image() => diagnostic::warn(&error),
            Err(error) => errors.push(error),
        }
    }
    collect_garbage(&store)?;
    Error::all(errors)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes what nothing in the store needs any more, or says that it stays.
pub(super) fn collect_garbage(store: &Store) -> Result<(), Error> {
    if store.collect_garbage(|| roots(store))?.is_none() {
        diagnostic::note("the store is in use: what it no longer needs goes with the next rmi");
    }
    Ok(())
}

/// What others than the images need of the store: the build cache and the containers.
fn roots(store: &Store) -> Result<Roots, Error> {
    let mut roots = record::roots(store)?;
    let containers = container::roots(store)?;
    roots.blobs.extend(containers.blobs);
    roots.stacks.extend(containers.stacks);
    Ok(roots)
}

fn remove(store: &Store, name: &str, force: bool) -> Result<(), Error> {
    let image = store.resolve(name)?;
    if image.reference.is_none() && !force {
        let entries = store.index()?.manifests;
        let same = entries
            .iter()
            .filter(|e| e.digest == image.descriptor.digest);
        let names: Vec<String> = same.filter_map(name_of).map(|n| n.familiar()).collect();
        if names.len() > 1 {
            let id = name.to_owned();
            return Err(Error::SeveralNames { id, names });
        }
    }
    let last = store.index()?.manifests;
    let last = last.iter().filter(|e| e.digest == image.descriptor.digest);
    let users = container::used_by(store, image.id())?;
    if !force && !users.is_empty() && (image.reference.is_none() || last.count() == 1) {
        let name = name.to_owned();
        return Err(Error::ImageInUse { name, users });
    }
    let removed = store.remove(name)?;
    for name in &removed.untagged {
        output::line(format_args!("Untagged: {}", name.familiar()))?;
    }
    if removed.deleted.is_some() {
        output::line(format_args!("Deleted: {}", image.id()))?;
    }
    Ok(())
}
