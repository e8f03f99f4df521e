//! The flags of an instruction: `--name=value` between its keyword and the rest.

use super::ast::Word;
use super::error::{ParseError, ParseErrorKind};
use super::words::Piece;

/// The values of the flags that were given, by name. An empty value counts as none, as docker has it.
#[derive(Debug, Default)]
pub(super) struct Flags {
    values: Vec<(&'static str, Word)>,
}

impl Flags {
    /// The values of these flags.
    pub(super) fn take<const N: usize>(mut self, names: [&str; N]) -> [Option<Word>; N] {
        names.map(|name| {
            let at = self.values.iter().position(|(flag, _)| *flag == name)?;
            let (_, value) = self.values.swap_remove(at);
            (!value.text.is_empty()).then_some(value)
        })
    }
}

/// The flags of an instruction that are built, and those that docker has besides.
fn known(instruction: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match instruction {
        "COPY" => (&["from", "chown", "chmod"], &["link", "parents", "exclude"]),
        "FROM" => (&[], &["platform"]),
        "RUN" => (&[], &["mount", "network", "security", "device"]),
        _ => (&[], &[]),
    }
}

/// Checks the flags of an instruction. `place` makes a word of a piece of its line, `rest` is what follows.
pub(super) fn check(
    instruction: &'static str,
    pieces: &[Piece],
    place: impl Fn(Piece) -> Word,
    rest: &str,
) -> Result<Flags, ParseError> {
    let (built, refused) = known(instruction);
    let mut flags = Flags::default();
    for piece in pieces {
        let error = |kind| ParseError::new(kind, place(piece.clone()).span);
        let text = piece.text.strip_prefix("--").unwrap_or(&piece.text);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let flag = name.to_owned();
        if refused.contains(&name) {
            return Err(error(ParseErrorKind::NotSupported {
                what: format!("the flag `--{flag}` of {instruction}"),
            }));
        }
        let Some(name) = built.iter().find(|known| **known == name) else {
            let nearest = image_format::nearest::nearest(name, built.iter().chain(refused));
            let error = error(ParseErrorKind::UnknownFlag { instruction, flag });
            return Err(match nearest {
                Some(nearest) => error.hint(format!("did you mean `--{nearest}`?")),
                None if built.is_empty() => error,
                None => error.hint(format!("there are --{}", built.join(", --"))),
            });
        };
        if flags.values.iter().any(|(given, _)| given == name) {
            return Err(error(ParseErrorKind::FlagTwice { flag }));
        }
        let Some(value) = value else {
            let value = rest.split_whitespace().next().unwrap_or("VALUE");
            return Err(error(ParseErrorKind::FlagWithoutValue { flag })
                .hint(format!("write `--{name}={value}`")));
        };
        // quotes and escapes in it make the place of the value a guess, so then it is the flag's
        let exact = piece.text.len() == piece.range.len();
        let start = if exact {
            piece.range.end - value.len()
        } else {
            piece.range.start
        };
        let value = Piece {
            text: value.to_owned(),
            range: start..piece.range.end,
        };
        flags.values.push((name, place(value)));
    }
    Ok(flags)
}
