//! The flags of `RUN`.

use super::ast::{CommandNetwork, MountFlag, Word};
use super::error::{ParseError, ParseErrorKind};
use super::flags::Flags;

/// `--mount`, all of them.
pub(super) fn mounts(flags: &mut Flags) -> Result<Vec<MountFlag>, ParseError> {
    let words = flags.take_all("mount");
    words.iter().map(MountFlag::parse).collect()
}

/// `--network`
pub(super) fn network(flags: &mut Flags) -> Result<CommandNetwork, ParseError> {
    let Some(word) = flags.take_all("network").pop() else {
        return Ok(CommandNetwork::Default);
    };
    match word.text.as_str() {
        "default" => Ok(CommandNetwork::Default),
        "none" => Ok(CommandNetwork::None),
        "host" => Ok(CommandNetwork::Host),
        _ => Err(not_a_choice(
            "network",
            word,
            "there are default, none and host",
        )),
    }
}

/// `--security`, which has one value that is granted, and `--device`, which has none.
pub(super) fn check_rights(flags: &mut Flags) -> Result<(), ParseError> {
    if let Some(Word { text, span }) = flags.take_all("device").pop() {
        let what = format!("`--device={text}`");
        return Err(ParseError::new(ParseErrorKind::NotGranted { what }, span)
            .hint("no device of the machine is in a sandbox, for a layer must not depend on one"));
    }
    let Some(word) = flags.take_all("security").pop() else {
        return Ok(());
    };
    match word.text.as_str() {
        "sandbox" => Ok(()),
        "insecure" => {
            let what = "`--security=insecure`".to_owned();
            Err(ParseError::new(ParseErrorKind::NotGranted { what }, word.span).hint(
                "a command of a Dockerfile gets no more rights than its sandbox has: leave the flag out",
            ))
        }
        _ => Err(not_a_choice("security", word, "there is sandbox")),
    }
}

fn not_a_choice(flag: &'static str, word: Word, hint: &str) -> ParseError {
    let Word { text: value, span } = word;
    ParseError::new(ParseErrorKind::NotAChoice { flag, value }, span).hint(hint)
}
