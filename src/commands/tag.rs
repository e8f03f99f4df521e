//! `mkimg tag`.

use std::process::ExitCode;

use clap::Args;

use crate::cli::Globals;
use crate::error::Error;

/// Flags of `mkimg tag`.
#[derive(Args)]
pub struct TagArgs {
    /// Name or ID of an image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The name it gets, which it takes from the image that had it
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

/// Gives an image another name.
pub fn run(args: &TagArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let name = super::tag(&args.name)?;
    let store = globals.open_store()?;
    let image = store.resolve(&args.image)?;
    store.tag(&name, &image.descriptor)?;
    Ok(ExitCode::SUCCESS)
}
