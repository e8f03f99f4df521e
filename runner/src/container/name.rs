//! Names and IDs of containers.

use std::fmt;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

/// The digits of an ID that are shown, and that make the host name.
pub const SHORT_ID: usize = 12;

/// A container's name, by docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

/// Not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a container's name: letters, digits, '_', '.' and '-', at least two and the first a letter or digit"
)]
pub struct NameError(pub String);

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // The longest name of a file.
        let sound = (2..=255).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        match sound {
            true => Ok(Self(text.into())),
            false => Err(NameError(text.into())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name to be remembered by, with a number where `attempt` is not the first.
    pub(super) fn generate(attempt: u32) -> std::io::Result<Self> {
        let [a, b, c, d] = random::<4>()?;
        let pick = |words: &[&'static str], high, low| {
            words[usize::from(u16::from_be_bytes([high, low])) % words.len()]
        };
        let mut name = format!("{}_{}", pick(ADJECTIVES, a, b), pick(NOUNS, c, d));
        if attempt > 0 {
            let [number] = random::<1>()?;
            name.push_str(&number.to_string());
        }
        Ok(Self(name))
    }
}

/// A new ID: 64 hexadecimal digits.
pub(super) fn new_id() -> std::io::Result<String> {
    let bytes = random::<32>()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether `text` is a whole ID.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // As few bytes as these always come at once (getrandom(2)).
    getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    Ok(bytes)
}

const ADJECTIVES: &[&str] = &[
    "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cosy", "crisp",
    "deft", "eager", "early", "fair", "fleet", "fresh", "gentle", "glad", "golden", "grand",
    "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "light", "lively", "lucid",
    "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble", "placid", "plain", "proud",
    "quick", "quiet", "ready", "rosy", "serene", "sharp", "silver", "sleek", "smart", "snug",
    "solid", "spry", "steady", "still", "sunny", "swift", "tidy", "true", "vivid", "warm", "wild",
    "wise", "witty", "young",
];

const NOUNS: &[&str] = &[
    "acorn", "alder", "aspen", "badger", "beech", "birch", "bison", "brook", "cedar", "clover",
    "comet", "coral", "crane", "creek", "delta", "dune", "eagle", "elm", "falcon", "fern", "finch",
    "fjord", "fox", "glade", "gull", "hare", "harbour", "hazel", "heron", "hill", "island", "ivy",
    "juniper", "kestrel", "lake", "lark", "linden", "lynx", "maple", "marten", "meadow", "moss",
    "oak", "orchid", "osprey", "otter", "pebble", "pine", "plover", "poplar", "raven", "reed",
    "river", "robin", "rowan", "sparrow", "spruce", "stone", "swan", "thistle", "valley", "walnut",
    "willow", "wren",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers() {
        for good in ["ab", "a-", "0_x.y-z", "Web"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", ".a", "a/b", "..", "ä1", "a b"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_names_and_ids_are_sound() {
        for attempt in 0..50 {
            let name = Name::generate(attempt).unwrap();
            assert_eq!(name.as_str().parse(), Ok(name.clone()));
        }
        assert!(is_id(&new_id().unwrap()));
        assert_ne!(new_id().unwrap(), new_id().unwrap());
    }
}
