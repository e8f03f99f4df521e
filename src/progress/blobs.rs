//! The blobs of an image while they go, in docker's words.

use image_format::descriptor::Descriptor;
use indicatif::{MultiProgress, ProgressBar};
use remote::push::{Arrival, Pushing};

use super::bars::{Bars, bar, short};

/// Shows the blobs of one image after the other.
pub type Pushes = Bars<Going>;

impl Pushes {
    /// Takes an event.
    pub fn hear(&self, what: Pushing<'_>) {
        self.tell(|going, multi| going.hear(what, multi));
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
            short: short(descriptor),
            size: descriptor.size,
            bar: None,
        }
    }

    fn draw(&mut self, multi: &MultiProgress, word: &'static str, bytes: u64, of: u64) {
        let bar = self.bar.get_or_insert_with(|| bar(multi, &self.short, of));
        if bar.message() != word {
            // Sending has a rate and a rest of its own.
            bar.reset();
            bar.set_length(of);
            bar.set_message(word);
        }
        bar.set_position(bytes);
    }
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
