//! The output of a command, which may be anything, as lines that are safe to show.

use builder::progress::Output;

/// A line that is longer is shown in pieces, so that no output takes memory without end.
const LONGEST: usize = 16 << 10;

/// Cuts bytes into lines.
#[derive(Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// Whether the line was ended by a carriage return alone: what follows takes its place.
    returned: bool,
}

impl Lines {
    /// Takes bytes, and hands on each line that they end.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    each(&clean(&self.partial));
                    self.partial.clear();
                    self.returned = false;
                }
                b'\r' => self.returned = true,
                _ => {
                    if std::mem::take(&mut self.returned) {
                        self.partial.clear();
                    }
                    self.partial.push(byte);
                    if self.partial.len() >= LONGEST {
                        each(&clean(&self.partial));
                        self.partial.clear();
                    }
                }
            }
        }
    }

    /// The line that has not ended; empty where the last one has.
    pub fn partial(&self) -> String {
        clean(&self.partial)
    }
}

/// The lines of both outputs of a command.
#[derive(Default)]
pub struct Streams {
    stdout: Lines,
    stderr: Lines,
}

impl Streams {
    /// The lines of one of them.
    pub fn of(&mut self, stream: Output) -> &mut Lines {
        match stream {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        }
    }

    /// What either of them left without a line end.
    pub fn rest(&self) -> impl Iterator<Item = String> {
        let rest = [self.stdout.partial(), self.stderr.partial()];
        rest.into_iter().filter(|line| !line.is_empty())
    }
}

fn clean(bytes: &[u8]) -> String {
    shown(&String::from_utf8_lossy(bytes))
}

/// As it is shown: without anything that could steer a terminal, that is colours and all other control
/// sequences, control characters, and marks that turn the direction of the text.
pub fn shown(text: &str) -> String {
    let visible = |letter: &char| {
        let turns = matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        *letter == '\t' || !letter.is_control() && !turns
    };
    let stripped = anstream::adapter::strip_str(text).to_string();
    stripped.chars().filter(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| all.push(line.to_owned()));
        }
        (all, lines.partial())
    }

    #[test]
    fn pieces_are_put_together() {
        let (all, rest) = lines(&[b"a", b"b\r", b"\nc\n\n", b"d"]);
        assert_eq!(all, ["ab", "c", ""]);
        assert_eq!(rest, "d");
    }

    #[test]
    fn a_line_that_is_written_over_counts_once() {
        let (all, rest) = lines(&[b"10%\r20%\r", b"30%\n40%\r"]);
        assert_eq!(all, ["30%"]);
        assert_eq!(rest, "40%");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let hostile =
            "\x1b[31mred\x1b[0m \x1b]0;title\x07a\x1b[2J\x1b[Hb\x08\x07\u{9b}2Jc\u{202e}d\te";
        let (all, _) = lines(&[hostile.as_bytes(), b"\xff\n"]);
        assert_eq!(all.len(), 1);
        assert!(
            !all[0].chars().any(|c| c.is_control() && c != '\t'),
            "{all:?}"
        );
        assert!(all[0].starts_with("red a"), "{all:?}");
        assert!(!all[0].contains('\u{202e}'), "{all:?}");
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut lines = Lines::default();
        let mut count = 0;
        for _ in 0..100 {
            lines.push(&[b'x'; 4096], |line| count += line.len());
        }
        assert!(lines.partial.len() < LONGEST);
        assert_eq!(count + lines.partial.len(), 100 * 4096);
    }
}
