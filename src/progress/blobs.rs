//! The blobs of an image while they go: bars on a terminal, docker's lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use image_format::descriptor::Descriptor;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use remote::push::{Arrival, Pushing};

/// The digits of a digest that are shown.
const SHORT: usize = 12;

/// Shows one image after the other on standard error.
pub enum Pushes {
    /// With bars.
    Drawn(MultiProgress, Mutex<Going>),
    /// In lines.
    Plain(Mutex<Going>),
    /// Not at all.
    Nothing,
}

impl Pushes {
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
        // What a terminal that is gone does not take, nobody sees.
        let write = || writeln!(std::io::stderr().lock(), "{text}");
        match self {
            // Not by the library's own means, which fill it with blanks in place of ending it.
            Self::Drawn(multi, _) => drop(multi.suspend(write)),
            Self::Plain(_) => drop(write()),
            Self::Nothing => {}
        }
    }

    /// Takes an event.
    pub fn hear(&self, what: Pushing<'_>) {
        let (going, multi) = match self {
            Self::Drawn(multi, going) => (going, Some(multi)),
            Self::Plain(going) => (going, None),
            Self::Nothing => return,
        };
        let mut going = going.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = going.hear(what, multi) {
            self.note(&line);
        }
    }

    /// Removes what is drawn.
    pub fn finish(&self) {
        if let Self::Drawn(multi, going) = self {
            *going.lock().unwrap_or_else(PoisonError::into_inner) = Going::default();
            let _ = multi.clear();
        }
    }
}

/// The blobs of one image.
#[derive(Default)]
pub struct Going(Vec<Blob>);

struct Blob {
    short: String,
    size: u64,
    bar: Option<ProgressBar>,
}

impl Going {
    /// Takes an event; gives the line to show. Bars are drawn where there is a place for them.
    fn hear(&mut self, what: Pushing<'_>, multi: Option<&MultiProgress>) -> Option<String> {
        match what {
            Pushing::Blobs(blobs) => {
                self.0 = blobs.iter().map(Blob::new).collect();
                None
            }
            Pushing::Packed { blob, bytes } => {
                let blob = self.0.get_mut(blob)?;
                blob.draw(multi?, "Compressing", bytes, blob.size);
                None
            }
            Pushing::Sent { blob, bytes, of } => {
                self.0.get_mut(blob)?.draw(multi?, "Pushing", bytes, of);
                None
            }
            Pushing::Done { blob, how } => {
                let blob = self.0.get_mut(blob)?;
                if let Some(bar) = blob.bar.take() {
                    bar.finish_and_clear();
                }
                let short = &blob.short;
                Some(match how {
                    Arrival::Present => format!("{short}: Layer already exists"),
                    Arrival::Mounted(from) => format!("{short}: Mounted from {from}"),
                    Arrival::Sent => format!("{short}: Pushed"),
                })
            }
        }
    }
}

impl Blob {
    fn new(descriptor: &Descriptor) -> Self {
        Self {
            short: descriptor.digest.hex()[..SHORT].to_owned(),
            size: descriptor.size,
            bar: None,
        }
    }

    fn draw(&mut self, multi: &MultiProgress, word: &'static str, bytes: u64, of: u64) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = multi.add(ProgressBar::new(of));
            bar.set_style(style());
            bar.set_prefix(self.short.clone());
            bar
        });
        if bar.message() != word {
            // Sending has a rate and a rest of its own.
            bar.reset();
            bar.set_length(of);
            bar.set_message(word);
        }
        bar.set_position(bytes);
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
    fn what_goes_is_told_in_docker_words() {
        let blob = |text: &[u8]| Descriptor::new("", Digest::of(text), 9);
        let blobs = [blob(b"a"), blob(b"b"), blob(b"c")];
        let done = |blob, how| Pushing::Done { blob, how };
        let events = [
            Pushing::Blobs(&blobs),
            Pushing::Packed { blob: 2, bytes: 4 },
            done(0, Arrival::Present),
            done(1, Arrival::Mounted("x/y")),
            Pushing::Sent {
                blob: 2,
                bytes: 5,
                of: 9,
            },
            done(2, Arrival::Sent),
            done(3, Arrival::Sent),
        ];
        let mut going = Going::default();
        let lines = events.into_iter();
        let lines: Vec<_> = lines.filter_map(|event| going.hear(event, None)).collect();
        let short = |text: &[u8]| Digest::of(text).hex()[..12].to_owned();
        let expected = [
            format!("{}: Layer already exists", short(b"a")),
            format!("{}: Mounted from x/y", short(b"b")),
            format!("{}: Pushed", short(b"c")),
        ];
        assert_eq!(lines, expected);
    }
}
