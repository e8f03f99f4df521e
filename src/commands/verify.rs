//! `mkimg verify`.

use std::process::ExitCode;

use clap::Args;

use crate::cli::Globals;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg verify`.
#[derive(Args)]
pub struct VerifyArgs {}

/// Reads all that the images in the store consist of, and tells what is wrong with it.
pub fn run(_: &VerifyArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let store = globals.open_store()?;
    let problems = store.verify()?;
    if problems.is_empty() {
        let images = store.index()?.manifests.len();
        output::line(match images {
            1 => "1 image, sound".to_owned(),
            images => format!("{images} images, all sound"),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::Many(problems.into_iter().map(Error::from).collect()))
}
