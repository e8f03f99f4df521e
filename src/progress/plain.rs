//! Lines, as docker's plain progress has them: `#5 [build 2/4] RUN make`, `#5 0.512 output`, `#5 DONE 0.6s`.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use builder::progress::{Event, Outcome, StepId};

use super::layers::Coming;
use super::lines::Streams;
use super::{checked, imported, missed, title};

/// Prints lines.
#[derive(Default)]
pub struct Plain(Mutex<State>);

#[derive(Default)]
struct State {
    titles: Vec<String>,
    running: HashMap<StepId, Running>,
    coming: Coming,
}

struct Running {
    start: Instant,
    streams: Streams,
}

impl Plain {
    /// Prints a line that belongs to no step.
    pub fn note(&self, text: &str) {
        // Between the lines of steps, not within one.
        let _state = self.0.lock();
        print(&format!("{text}\n"));
    }

    /// Takes an event.
    pub fn event(&self, event: &Event<'_>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        print(&state.lines(event));
    }
}

/// In one piece, so that nothing comes between.
fn print(text: &str) {
    // Nobody is left to hear that standard error is closed, and the build goes on.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

impl State {
    fn lines(&mut self, event: &Event<'_>) -> String {
        match event {
            Event::Planned { steps } => {
                self.titles = steps.iter().map(title).collect();
                String::new()
            }
            Event::Started { step } => {
                let title = self.titles.get(*step).map_or("", String::as_str);
                let text = format!("#{} {title}\n", step + 1);
                let start = Instant::now();
                let streams = Streams::default();
                self.running.insert(*step, Running { start, streams });
                text
            }
            Event::Output {
                step,
                stream,
                bytes,
            } => {
                let mut text = String::new();
                if let Some(Running { start, streams }) = self.running.get_mut(step) {
                    let time = start.elapsed().as_secs_f64();
                    streams.of(*stream).push(bytes, |line| {
                        text.push_str(&format!("#{} {time:.3} {line}\n", step + 1));
                    });
                }
                text
            }
            Event::Finished {
                step,
                outcome: Outcome::Cached(_),
            } => {
                self.running.remove(step);
                format!("#{} CACHED\n", step + 1)
            }
            Event::Finished { step, .. } => self.end(*step, "DONE"),
            Event::Failed { step, .. } => self.end(*step, "FAILED"),
            Event::Resolved { name, digest } => format!("{name} is {digest}\n"),
            Event::Pulling { name, what } => match self.coming.hear(*what, None) {
                Some(line) => format!("{name}: {line}\n"),
                None => String::new(),
            },
            Event::Warning { message, span } => {
                let line = span.map(|span| format!(" (line {})", span.line));
                let message = crate::output::plain(message);
                format!("warning: {message}{}\n", line.unwrap_or_default())
            }
            Event::Check { warning } => format!("{}\n", checked(warning)),
            Event::Missed { step, reasons } => format!("#{} {}\n", step + 1, missed(reasons)),
            Event::Import { name, read } => format!("{}\n", imported(name, read)),
            Event::Writing => "writing the image\n".to_owned(),
            _ => String::new(),
        }
    }

    /// The last lines of a step.
    fn end(&mut self, step: StepId, word: &str) -> String {
        let Some(Running { start, streams }) = self.running.remove(&step) else {
            return String::new();
        };
        let (number, time) = (step + 1, start.elapsed().as_secs_f64());
        let mut text = String::new();
        for line in streams.rest() {
            text.push_str(&format!("#{number} {time:.3} {line}\n"));
        }
        text + &format!("#{number} {word} {time:.1}s\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use builder::dockerfile::Span;
    use builder::progress::{Output, StepInfo, StepKind};

    /// The lines with their times taken out.
    fn lines(events: &[Event<'_>]) -> String {
        let mut state = State::default();
        let text: String = events.iter().map(|event| state.lines(event)).collect();
        let timeless = |word: &str| match word.trim_end_matches('s').parse::<f64>() {
            Ok(_) if word.contains('.') => "T".to_owned(),
            _ => word.to_owned(),
        };
        let line = |line: &str| line.split(' ').map(timeless).collect::<Vec<_>>().join(" ");
        text.lines().map(|text| line(text) + "\n").collect()
    }

    #[test]
    fn steps_side_by_side_keep_their_lines() {
        let step = |id, stage: &str, text: &str| StepInfo {
            id,
            stage: stage.to_owned(),
            number: 1,
            of: 1,
            text: text.to_owned(),
            span: Span::default(),
            kind: StepKind::Run,
        };
        let steps = [step(0, "a", "RUN a"), step(1, "", "RUN b")];
        let output = |step, stream, bytes: &'static [u8]| Event::Output {
            step,
            stream,
            bytes,
        };
        let events = [
            Event::Planned { steps: &steps },
            Event::Started { step: 0 },
            Event::Started { step: 1 },
            output(0, Output::Stdout, b"one "),
            output(1, Output::Stdout, b"\x1b[1mtwo\n"),
            output(0, Output::Stderr, b"err\n"),
            output(0, Output::Stdout, b"line\nrest"),
            Event::Finished {
                step: 1,
                outcome: Outcome::Cached(None),
            },
            Event::Failed { step: 0, log: None },
        ];
        assert_eq!(
            lines(&events),
            "#1 [a 1/1] RUN a\n#2 [1/1] RUN b\n#2 T two\n#1 T err\n#1 T one line\n#2 CACHED\n#1 T rest\n#1 FAILED T\n"
        );
    }
}
