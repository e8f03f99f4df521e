//! Secrets in what a command writes: `***` is shown and kept in place of each.

use std::collections::BTreeSet;

use crate::progress::Output;
use crate::request::Secret;

/// What is shorter is no secret, and would make every output unreadable. Bytes.
const SHORTEST: usize = 4;
const MASK: &[u8] = b"***";

/// Takes secrets out of the two streams of a command.
pub(super) struct Redactor {
    /// Longest first, so that of two that begin alike the longer is taken out whole.
    secrets: Vec<Vec<u8>>,
    /// What was written and may be the beginning of a secret: standard output, standard error.
    held: [Vec<u8>; 2],
}

impl Redactor {
    /// For these secrets; line ends behind them are not theirs.
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Self {
        let values = secrets.map(|Secret(value)| value.trim_ascii_end());
        let values = values.filter(|value| value.len() >= SHORTEST);
        let values: BTreeSet<&[u8]> = values.collect();
        let mut secrets: Vec<Vec<u8>> = values.into_iter().map(Into::into).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self {
            secrets,
            held: [Vec::new(), Vec::new()],
        }
    }

    /// Takes what was written to a stream, and hands on what is certain.
    pub(super) fn take(
        &mut self,
        stream: Output,
        bytes: &[u8],
        tell: &mut dyn FnMut(Output, &[u8]),
    ) {
        if self.secrets.is_empty() {
            return tell(stream, bytes);
        }
        let held = &mut self.held[place(stream)];
        held.extend_from_slice(bytes);
        let (told, rest) = redact(&self.secrets, held, false);
        *held = held.split_off(rest);
        tell(stream, &told);
    }

    /// Hands on what was held back: no more comes.
    pub(super) fn finish(&mut self, tell: &mut dyn FnMut(Output, &[u8])) {
        for stream in [Output::Stdout, Output::Stderr] {
            let held = std::mem::take(&mut self.held[place(stream)]);
            let (told, _) = redact(&self.secrets, &held, true);
            tell(stream, &told);
        }
    }
}

fn place(stream: Output) -> usize {
    match stream {
        Output::Stdout => 0,
        Output::Stderr => 1,
    }
}

/// What of `bytes` can be told, and where the rest begins, which may be a secret's beginning.
fn redact(secrets: &[Vec<u8>], bytes: &[u8], ended: bool) -> (Vec<u8>, usize) {
    let mut told = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        // A longer one that may still come decides before a shorter one that is there.
        let found = secrets
            .iter()
            .find(|secret| rest.starts_with(secret) || !ended && secret.starts_with(rest));
        match found {
            None => {
                told.push(bytes[at]);
                at += 1;
            }
            Some(secret) if rest.len() < secret.len() => return (told, at),
            Some(secret) => {
                told.extend_from_slice(MASK);
                at += secret.len();
            }
        }
    }
    (told, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret((*text).into())).collect();
        let mut redactor = Redactor::new(secrets.iter());
        let mut told = Vec::new();
        let mut tell = |stream, bytes: &[u8]| {
            if stream == Output::Stdout {
                told.extend_from_slice(bytes);
            }
        };
        for piece in pieces {
            redactor.take(Output::Stdout, piece.as_bytes(), &mut tell);
            // The other stream comes between, and changes nothing.
            redactor.take(Output::Stderr, b"hunt", &mut tell);
        }
        redactor.finish(&mut tell);
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn secrets_are_masked_however_they_are_cut() {
        let text = "a hunter2 bhunter2hunter2\n";
        let expected = "a *** b******\n";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(redacted(&["hunter2\n"], &pieces), expected);
            }
        }
    }

    #[test]
    fn the_longer_of_two_is_masked_whole() {
        let both = ["secret", "secret-and-more"];
        assert_eq!(redacted(&both, &["secret-and-", "more!"]), "***!");
        assert_eq!(redacted(&both, &["secret-and-", "less"]), "***-and-less");
        assert_eq!(redacted(&both, &["secret-an"]), "***-an");
        assert_eq!(redacted(&["aaab", "ab12"], &["aaab12"]), "***12");
    }

    #[test]
    fn what_is_no_secret_passes_at_once() {
        assert_eq!(redacted(&["abc", "\n", ""], &["abc"]), "abc");
        assert_eq!(redacted(&[], &["anything"]), "anything");
        assert_eq!(redacted(&["hunter2"], &["hunt"]), "hunt");
    }
}
