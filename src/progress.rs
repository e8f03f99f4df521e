//! What a build tells while it runs, for people: the only place that draws. All of it goes to standard error.

mod drawn;
mod lines;
mod plain;
mod tail;

use std::io::IsTerminal;

use builder::progress::{Event, Progress, StepInfo};
use clap::ValueEnum;

use crate::error::Error;
use crate::output;
use drawn::Drawn;
use plain::Plain;
pub use tail::FailedStep;
use tail::Tail;

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

/// Shows a build's progress, and remembers the step that failed.
pub struct Display {
    shown: Shown,
    tail: Tail,
}

enum Shown {
    Drawn(Drawn),
    Plain(Plain),
    Nothing,
}

impl Display {
    /// A display for one build.
    pub fn new(mode: Mode) -> Result<Self, Error> {
        let terminal = std::io::stderr().is_terminal();
        let shown = match mode {
            Mode::Tty if !terminal => return Err(Error::NoTerminal),
            Mode::Tty => Shown::Drawn(Drawn::new()),
            Mode::Auto if terminal => Shown::Drawn(Drawn::new()),
            Mode::Auto | Mode::Plain => Shown::Plain(Plain::default()),
            Mode::Quiet => Shown::Nothing,
        };
        // Lines have all been on the screen already when a step fails.
        let lines = match shown {
            Shown::Plain(_) => 0,
            Shown::Drawn(_) | Shown::Nothing => 20,
        };
        let tail = Tail::new(lines);
        Ok(Self { shown, tail })
    }

    /// Shows a line that belongs to no step.
    pub fn note(&self, text: &str) {
        let text = output::plain(text);
        match &self.shown {
            Shown::Drawn(drawn) => drawn.note(&text),
            Shown::Plain(plain) => plain.note(&text),
            Shown::Nothing => {}
        }
    }

    /// Removes what is drawn, and gives the step that failed, if one did.
    pub fn finish(self) -> Option<FailedStep> {
        if let Shown::Drawn(drawn) = self.shown {
            drawn.finish();
        }
        self.tail.failed()
    }
}

impl Progress for Display {
    fn event(&self, event: Event<'_>) {
        match &self.shown {
            Shown::Drawn(drawn) => drawn.event(&event),
            Shown::Plain(plain) => plain.event(&event),
            Shown::Nothing => {}
        }
        self.tail.event(&event);
    }
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
