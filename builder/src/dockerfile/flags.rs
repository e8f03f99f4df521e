//! The flags of an instruction: `--name=value` between its keyword and the rest.

use super::ast::Word;
use super::error::{ParseError, ParseErrorKind};
use super::words::Piece;

/// The values of the flags that were given, by name.
#[derive(Debug, Default)]
pub(super) struct Flags {
    values: Vec<(&'static str, Word)>,
}

impl Flags {
    /// The value of a flag. An empty one counts as none, as docker has it.
    pub(super) fn take(&mut self, name: &str) -> Option<Word> {
        self.take_all(name)
            .pop()
            .filter(|value| !value.text.is_empty())
    }

    /// The values of a flag that may be given several times, in that order.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<Word> {
        let taken = self.values.extract_if(.., |(flag, _)| *flag == name);
        taken.map(|(_, value)| value).collect()
    }

    /// The value of a flag that is true or false, and true where nothing follows its name.
    pub(super) fn take_bool(&mut self, name: &str) -> Result<Option<bool>, ParseError> {
        let Some(value) = self.take_all(name).pop() else {
            return Ok(None);
        };
        match value.text.to_ascii_lowercase().as_str() {
            "" | "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => {
                let flag = name.to_owned();
                let Word { text, span } = value;
                let kind = ParseErrorKind::NotABoolean { flag, value: text };
                Err(ParseError::new(kind, span))
            }
        }
    }
}

/// How a flag is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `--flag=value`, once.
    Value,
    /// `--flag=value`, several times.
    Values,
    /// `--flag` or `--flag=true`, once.
    Bool,
    /// Not built.
    Refused,
}

/// The flags that docker has for an instruction, and how each is given.
fn known(instruction: &str) -> &'static [(&'static str, Form)] {
    match instruction {
        "ADD" => &[
            ("chown", Form::Value),
            ("chmod", Form::Value),
            ("link", Form::Bool),
            ("keep-git-dir", Form::Bool),
            ("checksum", Form::Value),
            ("unpack", Form::Bool),
            ("exclude", Form::Values),
        ],
        "COPY" => &[
            ("from", Form::Value),
            ("chown", Form::Value),
            ("chmod", Form::Value),
            ("link", Form::Bool),
            ("parents", Form::Bool),
            ("exclude", Form::Values),
            ("closure", Form::Bool),
        ],
        "FROM" => &[("platform", Form::Value)],
        "HEALTHCHECK" => &[
            ("interval", Form::Value),
            ("timeout", Form::Value),
            ("start-period", Form::Value),
            ("start-interval", Form::Value),
            ("retries", Form::Value),
        ],
        "RUN" => &[
            ("mount", Form::Values),
            ("network", Form::Value),
            ("security", Form::Value),
            ("device", Form::Values),
        ],
        _ => &[],
    }
}

/// Checks the flags of an instruction. `place` makes a word of a piece of its line, `rest` is what follows.
pub(super) fn check(
    instruction: &'static str,
    pieces: &[Piece],
    place: impl Fn(Piece) -> Word,
    rest: &str,
) -> Result<Flags, ParseError> {
    let known = known(instruction);
    let mut flags = Flags::default();
    for piece in pieces {
        let error = |kind| ParseError::new(kind, place(piece.clone()).span);
        let text = piece.text.strip_prefix("--").unwrap_or(&piece.text);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let flag = name.to_owned();
        let Some((name, form)) = known.iter().find(|(known, _)| *known == name) else {
            let nearest = image_format::nearest::nearest(name, known.iter().map(|(name, _)| name));
            let error = error(ParseErrorKind::UnknownFlag { instruction, flag });
            let built = known.iter().filter(|(_, form)| *form != Form::Refused);
            let built: Vec<&str> = built.map(|(name, _)| *name).collect();
            return Err(match nearest {
                Some(nearest) => error.hint(format!("did you mean `--{nearest}`?")),
                None if built.is_empty() => error,
                None => error.hint(format!("there are --{}", built.join(", --"))),
            });
        };
        if *form == Form::Refused {
            return Err(error(ParseErrorKind::NotSupported {
                what: format!("the flag `--{flag}` of {instruction}"),
            }));
        }
        if *form != Form::Values && flags.values.iter().any(|(given, _)| given == name) {
            return Err(error(ParseErrorKind::FlagTwice { flag }));
        }
        let value = match value {
            None if *form == Form::Bool => Some("true"),
            value => value,
        };
        // docker takes an empty one for none, but of a flag that is true or false
        let given = value.filter(|value| *form != Form::Bool || !value.is_empty());
        let Some(value) = given else {
            let value = rest.split_whitespace().next().unwrap_or("VALUE");
            return Err(error(ParseErrorKind::FlagWithoutValue { flag })
                .hint(format!("write `--{name}={value}`")));
        };
        // quotes and escapes in it make the place of the value a guess, so then it is the flag's
        let exact = piece.text.len() == piece.range.len() && text.ends_with(value);
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
