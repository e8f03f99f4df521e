//! The layers of an image while they come, in docker's words.

use builder::remote::Pulling;
use image_format::descriptor::Descriptor;
use indicatif::{MultiProgress, ProgressBar};

use super::bars::{Bars, bar, short};

/// Shows the layers of one image after the other.
pub type Pulls = Bars<Coming>;

impl Pulls {
    /// Takes an event.
    pub fn hear(&self, what: Pulling<'_>) {
        self.tell(|coming, multi| coming.hear(what, multi));
    }
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
            short: short(descriptor),
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
                    let bar = bar(multi, &self.short, self.size);
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
