//! Instructions for the config of an image that is not built: `import --change`.

use image_format::config::ImageConfig;

use crate::dockerfile::{self, Command, ParseError};
use crate::plan::Globals;
use crate::stage::StageState;
use crate::step::config;

/// Stands before the instruction, which is no Dockerfile by itself.
const BASE: &str = "FROM scratch\n";

/// Why a config cannot be changed like that.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A change is malformed.
    #[error("{source}")]
    Malformed {
        /// The change.
        text: String,
        /// What is wrong; its span points into `text`.
        source: Box<ParseError>,
    },
    /// An instruction that changes no config.
    #[error("{name} cannot be a change: it does not set the image's config")]
    NoChange {
        /// The instruction.
        name: &'static str,
    },
}

/// Applies changes, in the syntax of a Dockerfile, one after the other.
///
/// # Errors
/// When one is malformed, or does something else than to set the config.
pub fn change(config: ImageConfig, changes: &[String]) -> Result<ImageConfig, ChangeError> {
    let args_escaped = config.config.args_escaped;
    let mut state = StageState::bare(config, Vec::new());
    for text in changes {
        apply(&mut state, text)?;
    }
    // Docker sets it in what it builds alone.
    state.config.config.args_escaped = args_escaped;
    Ok(state.config)
}

fn apply(state: &mut StageState, text: &str) -> Result<(), ChangeError> {
    let malformed = |mut source: ParseError| {
        source.span.start = source.span.start.saturating_sub(BASE.len());
        source.span.end = source.span.end.saturating_sub(BASE.len());
        source.span.line = source.span.line.saturating_sub(1).max(1);
        ChangeError::Malformed {
            text: text.to_owned(),
            source: Box::new(source),
        }
    };
    let parsed = dockerfile::parse(&format!("{BASE}{text}")).map_err(malformed)?;
    let [stage] = parsed.stages.as_slice() else {
        return Err(ChangeError::NoChange { name: "FROM" });
    };
    for instruction in &stage.instructions {
        let lookup = |name: &str| state.lookup(name);
        let (instruction, _) = instruction
            .expand(parsed.escape, &lookup)
            .map_err(malformed)?;
        match &instruction.command {
            Command::Workdir(dir) => {
                let dir = config::join(&state.config.config.working_dir, &dir.text);
                config::workdir(state, dir);
            }
            command @ (Command::Add(_)
            | Command::Arg(_)
            | Command::Copy(_)
            | Command::Maintainer(_)
            | Command::Run(_)) => {
                let name = command.name();
                return Err(ChangeError::NoChange { name });
            }
            command => {
                let applied = config::apply(state, command, &Globals::default(), parsed.escape);
                applied.map_err(malformed)?;
            }
        }
    }
    Ok(())
}
