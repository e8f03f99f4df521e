//! The values that options of a mount take.

use super::super::ast::Word;
use super::super::error::ParseError;
use super::{Kind, MountError, Sharing};
use image_format::nearest::nearest;

/// What an owner is.
pub(super) const ID: &str = "a number below 2^32";

pub(super) fn bad(name: &Word, takes: &'static str, value: &Word) -> ParseError {
    let kind = MountError::BadValue {
        name: name.text.clone(),
        takes,
        value: value.text.clone(),
    };
    ParseError::new(kind.into(), value.span)
}

pub(super) fn kind(value: &Word) -> Result<Kind, ParseError> {
    let kinds = [
        Kind::Bind,
        Kind::Cache,
        Kind::Tmpfs,
        Kind::Secret,
        Kind::Ssh,
    ];
    let words = kinds.map(|kind| (kind.name(), kind));
    one_of("type", "bind, cache, tmpfs, secret or ssh", value, &words)
}

pub(super) fn sharing(value: &Word) -> Result<Sharing, ParseError> {
    let words = [
        ("shared", Sharing::Shared),
        ("private", Sharing::Private),
        ("locked", Sharing::Locked),
    ];
    one_of("sharing", "shared, private or locked", value, &words)
}

/// One of a few words, in any case.
fn one_of<T: Copy>(
    name: &str,
    takes: &'static str,
    value: &Word,
    words: &[(&'static str, T)],
) -> Result<T, ParseError> {
    let found = words
        .iter()
        .find(|(word, _)| value.text.eq_ignore_ascii_case(word));
    found.map(|(_, found)| *found).ok_or_else(|| {
        let name = Word {
            text: name.to_owned(),
            span: value.span,
        };
        let error = bad(&name, takes, value);
        match nearest(&value.text, words.iter().map(|(word, _)| word)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

/// What docker's flags take for true and false.
pub(super) fn boolean(name: &Word, value: &Word) -> Result<bool, ParseError> {
    match value.text.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(name, "true or false", value)),
    }
}

/// A number without a sign.
pub(super) fn number(value: &Word, radix: u32) -> Option<u32> {
    let digits = Some(&value.text).filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(digits, radix).ok()
}
