//! `mkimg check`.

mod json;
mod sarif;

use std::path::PathBuf;
use std::process::ExitCode;

use builder::check::{CheckRequest, Checked};
use clap::{Args, ValueEnum};
use image_format::descriptor::Platform;

use super::build::arguments::{self, BuildArg};
use super::build::context::{self, NamedArg};
use crate::cli::Globals;
use crate::diagnostic;
use crate::error::{BuildFailure, Error};
use crate::output;

/// Flags of `mkimg check`.
#[derive(Args)]
#[command(after_long_help = help())]
pub struct CheckArgs {
    /// The directory that COPY copies from, or - for a Dockerfile alone on standard input
    #[arg(value_name = "CONTEXT", default_value = ".")]
    context: PathBuf,
    /// The Dockerfile, or - for standard input [default: Dockerfile in the context]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A further context, as the build has it; nothing of it is read but an image of the store
    #[arg(long, value_name = "NAME=CONTEXT")]
    build_context: Vec<NamedArg>,
    /// The value of an ARG; without =VALUE what the environment has under that name
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<BuildArg>,
    /// The stage that would be built, by name or number [default: all]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How what is found is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The lines underlined, and what to do
    #[default]
    Text,
    /// A JSON object, as docker's checks give it
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
}

/// The rules, for the long help.
fn help() -> String {
    let rules = builder::dockerfile::check::RULES.iter().map(|rule| {
        let experimental = if rule.experimental {
            " (experimental)"
        } else {
            ""
        };
        format!(
            "  {}{experimental}\n      {}\n",
            rule.name, rule.description
        )
    });
    format!(
        "Exits with 1 where anything is found. A Dockerfile chooses rules by its first line, and an \
         instruction by the comment before it:\n\n  # check=skip=RULE,RULE;error=true;experimental=RULE\n\n\
         `all` stands for all of them; error=true makes a build fail. Rules:\n{}",
        rules.collect::<String>()
    )
}

/// Checks a Dockerfile.
pub fn run(args: &CheckArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let store = globals.existing_store();
    let (context, dockerfile) = context::for_check(&args.context, args.file.as_deref())?;
    let request = CheckRequest {
        named_contexts: context::named_for_check(&args.build_context, store.as_ref())?,
        store,
        context,
        dockerfile,
        build_args: arguments::values(&args.build_arg),
        target: args.target.clone(),
        platform: Platform::host(),
    };
    report(&request, args.format)
}

/// Checks, and prints what is found.
pub fn report(request: &CheckRequest, format: Format) -> Result<ExitCode, Error> {
    let checked = builder::check::check(request);
    let found = !checked.warnings.is_empty() || checked.error.is_some();
    match format {
        Format::Text => text(request, checked)?,
        Format::Json => output::json(&json::document(&request.dockerfile, &checked))?,
        Format::Sarif => output::json(&sarif::document(&request.dockerfile, &checked))?,
    }
    Ok(ExitCode::from(u8::from(found)))
}

fn text(request: &CheckRequest, checked: Checked) -> Result<(), Error> {
    let dockerfile = &request.dockerfile;
    for warning in &checked.warnings {
        let text = diagnostic::checked(warning, &dockerfile.name, &dockerfile.text);
        output::styled(&format!("{text}\n"))?;
    }
    if let Some(source) = checked.error {
        return Err(Error::Build(Box::new(BuildFailure {
            source,
            name: dockerfile.name.clone(),
            text: dockerfile.text.clone(),
            shown: true,
        })));
    }
    output::line(match checked.warnings.len() {
        0 => "no warnings".to_owned(),
        1 => "1 warning".to_owned(),
        count => format!("{count} warnings"),
    })
}
