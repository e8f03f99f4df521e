//! The last lines of each running step, for the case that it fails.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use builder::progress::{Event, StepId};

use super::lines::Streams;
use super::title;

/// The step that failed.
#[derive(Debug)]
pub struct FailedStep {
    /// What it is called.
    pub title: String,
    /// The last lines of its output; none where all of it was shown.
    pub tail: Vec<String>,
    /// How many lines came before those.
    pub left_out: usize,
    /// The file with all of its output.
    pub log: Option<PathBuf>,
}

/// Keeps so many lines of each running step.
pub struct Tail {
    keep: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    titles: Vec<String>,
    running: HashMap<StepId, Last>,
    failed: Option<FailedStep>,
}

#[derive(Default)]
struct Last {
    streams: Streams,
    lines: VecDeque<String>,
    left_out: usize,
}

impl Last {
    fn add(&mut self, line: String, keep: usize) {
        self.lines.push_back(line);
        if self.lines.len() > keep {
            self.lines.pop_front();
            self.left_out += 1;
        }
    }
}

impl Tail {
    /// Keeps `keep` lines a step.
    pub fn new(keep: usize) -> Self {
        Self {
            keep,
            state: Mutex::default(),
        }
    }

    /// Takes an event.
    pub fn event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { steps } => state.titles = steps.iter().map(title).collect(),
            Event::Output {
                step,
                stream,
                bytes,
            } if self.keep > 0 => {
                let last = state.running.entry(*step).or_default();
                let mut ended = Vec::new();
                let lines = last.streams.of(*stream);
                lines.push(bytes, |line| ended.push(line.to_owned()));
                ended.into_iter().for_each(|line| last.add(line, self.keep));
            }
            Event::Finished { step, .. } => {
                state.running.remove(step);
            }
            Event::Failed { step, log } => {
                let mut last = state.running.remove(step).unwrap_or_default();
                let rest: Vec<String> = last.streams.rest().collect();
                rest.into_iter().for_each(|line| last.add(line, self.keep));
                let title = state.titles.get(*step).cloned().unwrap_or_default();
                // Others fail because this one did.
                state.failed.get_or_insert(FailedStep {
                    title,
                    tail: last.lines.into(),
                    left_out: last.left_out,
                    log: log.map(ToOwned::to_owned),
                });
            }
            _ => {}
        }
    }

    /// The step that failed first.
    pub fn failed(self) -> Option<FailedStep> {
        let state = self.state.into_inner();
        state.unwrap_or_else(PoisonError::into_inner).failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use builder::progress::Output;

    #[test]
    fn the_last_lines_of_the_step_that_failed_first() {
        let tail = Tail::new(2);
        let output = |step, bytes: &[u8]| {
            let stream = Output::Stdout;
            tail.event(&Event::Output {
                step,
                stream,
                bytes,
            });
        };
        output(0, b"other\n");
        output(1, b"1\n2\n3\n4");
        for step in [1, 0] {
            tail.event(&Event::Failed { step, log: None });
        }
        let failed = tail.failed().unwrap();
        assert_eq!(failed.tail, ["3", "4"]);
        assert_eq!(failed.left_out, 2);
    }
}
