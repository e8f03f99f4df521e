//! What comes or goes of an image side by side: bars on a terminal, lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use image_format::descriptor::Descriptor;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The digits of a digest that are shown.
const SHORT: usize = 12;

/// Shows one image after the other on standard error; `T` is what is known of the one that is shown.
pub enum Bars<T> {
    /// With bars.
    Drawn(MultiProgress, Mutex<T>),
    /// In lines.
    Plain(Mutex<T>),
    /// Not at all.
    Nothing,
}

impl<T: Default> Bars<T> {
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

    /// Has `take` take an event, with the place for bars where there is one, and prints the line that it
    /// gives.
    pub(super) fn tell(&self, take: impl FnOnce(&mut T, Option<&MultiProgress>) -> Option<String>) {
        let (shown, multi) = match self {
            Self::Drawn(multi, shown) => (shown, Some(multi)),
            Self::Plain(shown) => (shown, None),
            Self::Nothing => return,
        };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = take(&mut shown, multi) {
            self.note(&line);
        }
    }

    /// Removes what is drawn.
    pub fn finish(&self) {
        if let Self::Drawn(multi, shown) = self {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = T::default();
            let _ = multi.clear();
        }
    }
}

/// The beginning of its digest, which stands for a blob.
pub(super) fn short(descriptor: &Descriptor) -> String {
    descriptor.digest.hex()[..SHORT].to_owned()
}

/// A bar for what is `of` bytes long, named by `short`.
pub(super) fn bar(multi: &MultiProgress, short: &str, of: u64) -> ProgressBar {
    let template = "{prefix}: {msg} [{bar:20}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = multi.add(ProgressBar::new(of));
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(short.to_owned());
    bar
}
