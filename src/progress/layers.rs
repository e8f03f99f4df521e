//! The layers of an image while they come: bars on a terminal, docker's lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use builder::remote::Pulling;
use image_format::descriptor::Descriptor;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The digits of a digest that are shown.
const SHORT: usize = 12;

/// Shows one image after the other on standard error.
pub enum Pulls {
    /// With bars.
    Drawn(MultiProgress, Mutex<Coming>),
    /// In lines.
    Plain(Mutex<Coming>),
    /// Not at all.
    Nothing,
}

impl Pulls {
    /// Bars on a terminal, else lines.
    pub fn new(quiet: bool) -> Self {
        match std::io::stderr().is_terminal() {
            _ if quiet => Self::Nothing,
            true => Self::Drawn(MultiProgress::new(), Mutex::default()),
            false => Self::Plain(Mutex::default()),
        }
    }

    /// Prints a line.
    pub fn note(&self, text: &str) {
        let text = crate::output::plain(text);
        match self {
            Self::Drawn(multi, _) => print(multi, &text),
            // Nobody is left to hear that standard error is closed.
            Self::Plain(_) => drop(writeln!(std::io::stderr().lock(), "{text}")),
            Self::Nothing => {}
        }
    }

    /// Takes an event.
    pub fn hear(&self, what: Pulling<'_>) {
        let (coming, multi) = match self {
            Self::Drawn(multi, coming) => (coming, Some(multi)),
            Self::Plain(coming) => (coming, None),
            Self::Nothing => return,
        };
        let mut coming = coming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = coming.hear(what, multi) {
            self.note(&line);
        }
    }

    /// Removes what is drawn.
    pub fn finish(&self) {
        if let Self::Drawn(multi, coming) = self {
            *coming.lock().unwrap_or_else(PoisonError::into_inner) = Coming::default();
            let _ = multi.clear();
        }
    }
}

/// A line above the bars. Not by the library's own means, which fill it with blanks in place of ending it.
fn print(multi: &MultiProgress, line: &str) {
    // What a terminal that is gone does not take, nobody sees.
    let _ = multi.suspend(|| writeln!(std::io::stderr().lock(), "{line}"));
}

/// The layers of one image.
#[derive(Default)]
pub struct Coming(Vec<Layer>);

struct Layer {
    short: String,
    size: u64,
    state: State,
    bar: Option<ProgressBar>,
}

#[derive(PartialEq)]
enum State {
    Waiting,
    Present,
    Coming,
}

impl Coming {
    /// Takes an event; gives the line to show. Bars are drawn where there is a place for them.
    pub fn hear(&mut self, what: Pulling<'_>, multi: Option<&MultiProgress>) -> Option<String> {
        let (number, word) = match what {
            Pulling::Layers(layers) => {
                self.0 = layers.iter().map(Layer::new).collect();
                return None;
            }
            Pulling::Present { layer } => (layer, "Already exists"),
            Pulling::Bytes { layer, .. } => (layer, "Pulling fs layer"),
            Pulling::Fetched { layer } => (layer, "Download complete"),
            Pulling::Done { layer } => (layer, "Pull complete"),
        };
        let layer = self.0.get_mut(number)?;
        let is_shown = layer.take(what, multi);
        is_shown.then(|| format!("{}: {word}", layer.short))
    }
}

impl Layer {
    fn new(descriptor: &Descriptor) -> Self {
        Self {
            short: descriptor.digest.hex()[..SHORT].to_owned(),
            size: descriptor.size,
            state: State::Waiting,
            bar: None,
        }
    }

    /// Takes an event, and says whether it is worth a line.
    fn take(&mut self, what: Pulling<'_>, multi: Option<&MultiProgress>) -> bool {
        match what {
            Pulling::Bytes { bytes, .. } => {
                let begins = self.state == State::Waiting;
                self.state = State::Coming;
                if begins && let Some(multi) = multi {
                    let bar = multi.add(ProgressBar::new(self.size));
                    bar.set_style(style());
                    bar.set_prefix(self.short.clone());
                    bar.set_message("Downloading");
                    self.bar = Some(bar);
                }
                if let Some(bar) = &self.bar {
                    bar.inc(bytes);
                }
                begins && multi.is_none()
            }
            Pulling::Present { .. } => {
                self.state = State::Present;
                true
            }
            Pulling::Fetched { .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_message("Extracting");
                }
                multi.is_none()
            }
            Pulling::Done { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                self.state == State::Coming
            }
            Pulling::Layers(_) => false,
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix}: {msg} [{bar:20}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_format::digest::Digest;

    #[test]
    fn what_comes_is_told_in_docker_words_and_once() {
        let layer = |text: &[u8]| Descriptor::new("", Digest::of(text), 9);
        let layers = [layer(b"a"), layer(b"b")];
        let events = [
            Pulling::Layers(&layers),
            Pulling::Present { layer: 0 },
            Pulling::Bytes { layer: 1, bytes: 4 },
            Pulling::Done { layer: 0 },
            Pulling::Bytes { layer: 1, bytes: 5 },
            Pulling::Fetched { layer: 1 },
            Pulling::Done { layer: 1 },
        ];
        let mut coming = Coming::default();
        let lines: Vec<_> = events
            .into_iter()
            .filter_map(|event| coming.hear(event, None))
            .collect();
        let (a, b) = (Digest::of(b"a").hex(), Digest::of(b"b").hex());
        let (a, b) = (&a[..12], &b[..12]);
        let expected = [
            format!("{a}: Already exists"),
            format!("{b}: Pulling fs layer"),
            format!("{b}: Download complete"),
            format!("{b}: Pull complete"),
        ];
        assert_eq!(lines, expected);
    }
}
