//! What a build tells while it runs, for people: the only place that draws. All of it goes to standard error.

mod bars;
mod blobs;
mod drawn;
mod layers;
mod lines;
mod plain;

use std::io::IsTerminal;

use builder::cache::explain::Reason;
use builder::cache::shared::ImportError;
use builder::dockerfile::check::Warning;
use builder::progress::{Event, Progress, StepInfo};
use clap::ValueEnum;

use crate::diagnostic;
use crate::error::Error;
use crate::output;
pub use blobs::Pushes;
use drawn::Drawn;
pub use layers::Pulls;
pub use lines::shown;
use plain::Plain;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Drawn on a terminal, else lines
    #[default]
    Auto,
    /// Drawn
    Tty,
    /// A line for each thing that happens
    Plain,
    /// Not at all
    Quiet,
}

/// Shows a build's progress.
pub enum Display {
    /// On a terminal.
    Drawn(Drawn),
    /// In lines.
    Plain(Plain),
    /// Not at all.
    Nothing,
}

impl Display {
    /// A display for one build.
    pub fn new(mode: Mode) -> Result<Self, Error> {
        let terminal = std::io::stderr().is_terminal();
        Ok(match mode {
            Mode::Tty if !terminal => return Err(Error::NoTerminal),
            Mode::Tty => Self::Drawn(Drawn::new()),
            Mode::Auto if terminal => Self::Drawn(Drawn::new()),
            Mode::Auto | Mode::Plain => Self::Plain(Plain::default()),
            Mode::Quiet => Self::Nothing,
        })
    }

    /// Shows a line that belongs to no step.
    pub fn note(&self, text: &str) {
        let text = output::plain(text);
        match self {
            Self::Drawn(drawn) => drawn.note(&text),
            Self::Plain(plain) => plain.note(&text),
            Self::Nothing => {}
        }
    }

    /// Removes what is drawn, and says whether all that commands wrote has been shown.
    pub fn finish(self) -> bool {
        match self {
            Self::Drawn(drawn) => drawn.finish(),
            Self::Plain(_) => return true,
            Self::Nothing => {}
        }
        false
    }
}

impl Progress for Display {
    fn event(&self, event: Event<'_>) {
        match self {
            Self::Drawn(drawn) => drawn.event(&event),
            Self::Plain(plain) => plain.event(&event),
            Self::Nothing => {}
        }
    }
}

/// What a check found, on one line.
fn checked(warning: &Warning) -> String {
    let (rule, line) = (warning.rule.name, warning.lines.start());
    let message = output::plain(&warning.message);
    format!("warning[{rule}]: {message} (line {line})")
}

/// What became of a cache of others, on one line.
fn imported(name: &str, read: &Result<Option<usize>, &ImportError>) -> String {
    output::plain(&match read {
        Ok(Some(1)) => format!("cache {name}: 1 record"),
        Ok(Some(records)) => format!("cache {name}: {records} records"),
        Ok(None) => format!("cache {name}: there is none yet"),
        Err(error) => format!("warning: cache {name}: {}", diagnostic::chain(error)),
    })
}

/// As many reasons of one step are shown; a copy may have thousands.
const MOST_REASONS: usize = 4;

/// Why a step was not in the cache.
fn missed(reasons: &[Reason]) -> String {
    let shown = reasons.iter().take(MOST_REASONS);
    let mut words: Vec<String> = shown
        .map(|reason| output::plain(&reason.to_string()))
        .collect();
    if let Some(more) = reasons
        .len()
        .checked_sub(MOST_REASONS)
        .filter(|more| *more > 0)
    {
        words.push(format!("and {more} more"));
    }
    format!("not cached: {}", words.join(", "))
}

/// A step as it is called: `[build 2/4] RUN make`.
fn title(step: &StepInfo) -> String {
    let StepInfo {
        stage,
        number,
        of,
        text,
        ..
    } = step;
    let space = if stage.is_empty() { "" } else { " " };
    output::plain(&format!("[{stage}{space}{number}/{of}] {text}"))
}
