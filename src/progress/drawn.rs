//! Progress drawn on a terminal: a line for each running step with its time, its last output below it; a
//! step that has ended is one line above.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::Style;
use builder::progress::{Event, Outcome, StepId};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use runner::terminal::WindowSize;

use super::layers::Coming;
use super::lines::Streams;
use super::{checked, imported, missed, title};
use crate::output::units;

/// How often times are drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Draws on the terminal that standard error is.
pub struct Drawn {
    multi: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    titles: Vec<String>,
    running: HashMap<StepId, Running>,
    coming: Coming,
}

struct Running {
    start: Instant,
    streams: Streams,
    step: ProgressBar,
    /// Shown once there is something to show.
    detail: Option<ProgressBar>,
}

impl Drawn {
    /// Nothing is drawn yet.
    pub fn new() -> Self {
        Self {
            multi: MultiProgress::new(),
            state: Mutex::default(),
        }
    }

    /// Prints a dim line above what is drawn.
    pub fn note(&self, text: &str) {
        let dim = match console_colours() {
            true => Style::new().dimmed(),
            false => Style::new(),
        };
        self.print(&format!("{dim}{text}{dim:#}"));
    }

    /// Removes what is drawn.
    pub fn finish(self) {
        let state = self.state.into_inner();
        let running = state.unwrap_or_else(PoisonError::into_inner).running;
        running.into_values().for_each(Running::clear);
        let _ = self.multi.clear();
    }

    /// A line that stays. Not by the library's own means, which fill it with blanks in place of ending it.
    fn print(&self, line: &str) {
        // What a terminal that is gone does not take, nobody sees.
        let write = || writeln!(std::io::stderr().lock(), "{line}");
        let _ = self.multi.suspend(write);
    }

    /// Takes an event.
    pub fn event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { steps } => state.titles = steps.iter().map(title).collect(),
            Event::Started { step } => {
                let title = state.titles.get(*step).cloned().unwrap_or_default();
                let bar = self.multi.add(ProgressBar::new_spinner());
                bar.set_style(step_style());
                bar.set_message(title);
                bar.enable_steady_tick(TICK);
                state.running.insert(
                    *step,
                    Running {
                        start: Instant::now(),
                        streams: Streams::default(),
                        step: bar,
                        detail: None,
                    },
                );
            }
            Event::Output {
                step,
                stream,
                bytes,
            } => {
                let Some(running) = state.running.get_mut(step) else {
                    return;
                };
                let lines = running.streams.of(*stream);
                let mut last = String::new();
                lines.push(bytes, |line| line.clone_into(&mut last));
                let partial = lines.partial();
                if !partial.is_empty() {
                    last = partial;
                }
                if !last.trim().is_empty() {
                    running.show(&self.multi, last.replace('\t', " "));
                }
            }
            Event::Copied { step, bytes, total } => {
                if let Some(running) = state.running.get_mut(step) {
                    let (bytes, total) = (units::size(*bytes), units::size(*total));
                    running.show(&self.multi, format!("{bytes} of {total}"));
                }
            }
            Event::Finished { step, outcome } => self.end(&mut state, *step, Some(outcome)),
            Event::Failed { step, .. } => self.end(&mut state, *step, None),
            Event::Missed { step, reasons } => {
                let title = state.titles.get(*step).map_or("", String::as_str);
                self.print(&format!("   {title}: {}", missed(reasons)));
            }
            Event::Resolved { name, digest } => self.note(&format!("{name} is {digest}")),
            Event::Pulling { name, what } => {
                if let Some(line) = state.coming.hear(*what, Some(&self.multi)) {
                    self.print(&format!("   {name}: {line}"));
                }
            }
            Event::Warning { message, span } => {
                let line = span.map(|span| format!(" (line {})", span.line));
                let message = crate::output::plain(message);
                self.print(&format!("warning: {message}{}", line.unwrap_or_default()));
            }
            Event::Check { warning } => self.print(&checked(warning)),
            Event::Import { name, read } => self.print(&imported(name, read)),
            _ => {}
        }
    }

    /// A step has ended: one line is left of it.
    fn end(&self, state: &mut State, step: StepId, outcome: Option<&Outcome>) {
        let Some(running) = state.running.remove(&step) else {
            return;
        };
        let time = running.start.elapsed().as_secs_f64();
        running.clear();
        let title = state.titles.get(step).map_or("", String::as_str);
        let (mark, end) = match outcome {
            Some(Outcome::Cached(_)) => ("=>", "CACHED".to_owned()),
            Some(Outcome::Done(_)) => ("=>", format!("{time:.1}s")),
            None => ("=>", format!("FAILED {time:.1}s")),
        };
        self.print(&line(mark, title, &end, columns()));
    }
}

impl Running {
    fn show(&mut self, multi: &MultiProgress, text: String) {
        let detail = self.detail.get_or_insert_with(|| {
            let bar = multi.insert_after(&self.step, ProgressBar::new_spinner());
            bar.set_style(detail_style());
            bar
        });
        detail.set_message(text);
    }

    fn clear(self) {
        self.step.finish_and_clear();
        if let Some(detail) = self.detail {
            detail.finish_and_clear();
        }
    }
}

fn step_style() -> ProgressStyle {
    let seconds = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // Into a string: cannot fail.
        let _ = write!(out, "{:.1}s", state.elapsed().as_secs_f64());
    };
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {seconds}");
    style
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("seconds", seconds)
}

fn detail_style() -> ProgressStyle {
    ProgressStyle::with_template("     {wide_msg:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// `=> title … end`, the end at the right; the title is cut where it does not fit.
fn line(mark: &str, title: &str, end: &str, columns: usize) -> String {
    // One column stays free: some terminals wrap when the last is written.
    let room = columns.saturating_sub(mark.len() + end.len() + 3);
    let length = title.chars().count();
    let title = if length > room {
        let mut cut: String = title.chars().take(room.saturating_sub(1)).collect();
        cut.push('…');
        cut
    } else {
        format!("{title:room$}")
    };
    format!("{mark} {title} {end}")
}

fn columns() -> usize {
    let size = WindowSize::of(std::io::stderr()).unwrap_or_default();
    match size.columns {
        0 => usize::from(WindowSize::default().columns),
        columns => usize::from(columns),
    }
}

fn console_colours() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_terminal() {
        assert_eq!(
            line("=>", "[1/2] RUN x", "0.1s", 24),
            "=> [1/2] RUN x     0.1s"
        );
        let cut = line("=>", "[1/2] RUN a long command", "0.1s", 24);
        assert_eq!(cut, "=> [1/2] RUN a lo… 0.1s");
        assert!(cut.chars().count() < 24);
        line("=>", "x", "0.1s", 3);
    }
}
