//! The value of `--chmod`: an octal number, or changes to the permissions that a file has.
//!
//! The changes are those of chmod(1) as BSD's setmode(3) reads them, which BuildKit follows; there is
//! no umask.

use std::iter::Peekable;
use std::str::Bytes;

use super::OwnershipError;

const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;
const RUN: u32 = 0o111;
/// All that `=` clears where nobody is named.
const STANDARD: u32 = SET_ID | 0o777;

/// The permissions that copied files get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// These.
    Octal(u32),
    /// Their own, changed in this order.
    Symbolic(Vec<Change>),
}

/// One change to permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bits are set.
    Set(u32),
    /// Bits are cleared.
    Clear(u32),
    /// Bits are set for a directory, and where anybody could run the file at first.
    SetIfRunnable(u32),
    /// What a class (user, group or other) may do at this point is given to, or taken from, others.
    Copy {
        /// How far to the left the class's bits lie.
        from: u32,
        /// The bits of the classes it is for.
        to: u32,
        /// Whether it is given.
        set: bool,
        /// Whether it is taken; with `set`, whatever they have.
        clear: bool,
    },
}

impl Mode {
    /// Reads a value after expansion.
    ///
    /// # Errors
    /// When it is neither octal up to 07777 nor such as `u=rwX,go-w`.
    pub fn parse(value: &str) -> Result<Self, OwnershipError> {
        let bad = || OwnershipError::BadMode {
            value: value.to_owned(),
        };
        if value.starts_with(|first: char| first.is_ascii_digit()) {
            let octal = value.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
            let mode = u32::from_str_radix(value, 8).ok().filter(|_| octal);
            let mode = mode.filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(bad);
        }
        changes(value).map(Self::Symbolic).ok_or_else(bad)
    }

    /// The permissions of a file, or a directory, that had `mode`: the lower 12 bits.
    #[must_use]
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let changes = match self {
            Self::Octal(mode) => return *mode,
            Self::Symbolic(changes) => changes,
        };
        let runnable = is_dir || mode & RUN != 0;
        changes.iter().fold(mode, |mode, change| match *change {
            Change::Set(bits) => mode | bits,
            Change::Clear(bits) => mode & !bits,
            Change::SetIfRunnable(bits) if runnable => mode | bits,
            Change::SetIfRunnable(_) => mode,
            Change::Copy {
                from,
                to,
                set,
                clear,
            } => {
                let bits = (mode >> from & 7) * RUN & to;
                let kept = match (clear, set) {
                    (true, true) => mode & !to,
                    (true, false) => mode & !bits,
                    (false, _) => mode,
                };
                if set { kept | bits } else { kept }
            }
        })
    }

    /// The permissions where they do not depend on the file.
    #[must_use]
    pub fn fixed(&self) -> Option<u32> {
        match self {
            Self::Octal(mode) => Some(*mode),
            Self::Symbolic(_) => None,
        }
    }
}

/// Reads clauses: `[ugoa]*` and at least one of `[+-=][rwxXstugo]*`, with commas between.
fn changes(text: &str) -> Option<Vec<Change>> {
    let mut text = text.bytes().peekable();
    let mut changes = Vec::new();
    loop {
        let mut who = 0;
        while let Some(class) = text.next_if(|byte| b"augo".contains(byte)) {
            who |= match class {
                b'a' => STANDARD,
                b'u' => 0o4700,
                b'g' => 0o2070,
                _ => 0o007,
            };
        }
        loop {
            action(&mut text, &mut who, &mut changes)?;
            match text.peek() {
                None => return Some(changes),
                Some(b',') => {
                    text.next();
                    break;
                }
                Some(_) => {}
            }
        }
    }
}

/// Reads an operator and what it is about.
fn action(text: &mut Peekable<Bytes<'_>>, who: &mut u32, changes: &mut Vec<Change>) -> Option<()> {
    let operator = text.next().filter(|byte| b"+-=".contains(byte))?;
    // It is said anew by each `t`.
    *who &= !STICKY;
    let (mut bits, mut if_runnable) = (0, 0);
    // Whether what `=` clears is cleared.
    let mut assigned = false;
    while let Some(letter) = text.next_if(|byte| b"rwxXstugo".contains(byte)) {
        let has_set_id = *who == 0 || *who & !0o007 != 0;
        match letter {
            b'r' => bits |= 0o444,
            b'w' => bits |= 0o222,
            b'X' if operator != b'-' => if_runnable = RUN,
            b'x' | b'X' => bits |= RUN,
            b's' if has_set_id => bits |= SET_ID,
            b't' if has_set_id => {
                *who |= STICKY;
                bits |= STICKY;
            }
            b's' | b't' => {}
            class => {
                if bits != 0 {
                    change(operator, *who, std::mem::take(&mut bits), changes);
                }
                if if_runnable != 0 {
                    let bits = std::mem::take(&mut if_runnable);
                    changes.push(Change::SetIfRunnable(of(*who, bits)));
                }
                assigned = true;
                changes.push(copy(operator, *who, class));
            }
        }
    }
    if bits != 0 || operator == b'=' && !assigned {
        change(operator, *who, bits, changes);
    }
    if if_runnable != 0 {
        changes.push(Change::SetIfRunnable(of(*who, if_runnable)));
    }
    Some(())
}

/// The bits that those named have of these; all where nobody is named.
fn of(who: u32, bits: u32) -> u32 {
    if who == 0 { bits } else { who & bits }
}

fn change(operator: u8, who: u32, bits: u32, changes: &mut Vec<Change>) {
    match operator {
        b'-' => changes.push(Change::Clear(of(who, bits))),
        b'+' => changes.push(Change::Set(of(who, bits))),
        _ => {
            changes.push(Change::Clear(of(
                who,
                if who == 0 { STANDARD } else { who },
            )));
            changes.push(Change::Set(of(who, bits)));
        }
    }
}

fn copy(operator: u8, who: u32, class: u8) -> Change {
    let classes = [0o700, 0o070, 0o007];
    let named = classes.iter().filter(|bits| who & **bits != 0).sum();
    Change::Copy {
        from: match class {
            b'u' => 6,
            b'g' => 3,
            _ => 0,
        },
        to: if who == 0 { 0o777 } else { named },
        set: operator != b'-',
        clear: operator != b'+',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn octal() {
        for (value, mode) in [("755", 0o755), ("00004755", 0o4755), ("0", 0)] {
            assert_eq!(Mode::parse(value), Ok(Mode::Octal(mode)), "{value}");
        }
        for bad in [
            "",
            "8",
            "10000",
            "0x1ff",
            " 7",
            "7777777777777777777",
            "7u",
            "07-x",
        ] {
            let parsed = Mode::parse(bad);
            assert!(
                matches!(parsed, Err(OwnershipError::BadMode { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn symbolic() {
        for (value, before, file, dir) in [
            ("u=rwX,go-w", 0o666, 0o644, 0o744),
            ("u=rwX,go-w", 0o676, 0o754, 0o754),
            ("a+x", 0o640, 0o751, 0o751),
            ("+X", 0o640, 0o640, 0o751),
            ("+X", 0o610, 0o711, 0o711),
            ("a-x,+X", 0o755, 0o755, 0o755),
            ("-X", 0o755, 0o644, 0o644),
            ("=", 0o7755, 0o1000, 0o1000),
            ("a=rx", 0o7700, 0o1555, 0o1555),
            ("u=rw,g=u-w,o=", 0o777, 0o640, 0o640),
            ("go=u", 0o750, 0o777, 0o777),
            ("go=u-w", 0o4750, 0o4755, 0o4755),
            ("g-o", 0o775, 0o725, 0o725),
            ("u+s,g+s", 0o755, 0o6755, 0o6755),
            ("o+s", 0o755, 0o755, 0o755),
            ("+t", 0o755, 0o1755, 0o1755),
            ("a+t,a-rwx", 0o755, 0o1000, 0o1000),
            ("+tx", 0o644, 0o1644, 0o1644),
            ("u+r-w+x", 0o200, 0o500, 0o500),
            ("u=g=o", 0o754, 0o454, 0o454),
            ("g=u", 0o2700, 0o2770, 0o2770),
            ("g=", 0o2770, 0o700, 0o700),
            ("ug=rw,o=r", 0o777, 0o664, 0o664),
        ] {
            let mode = Mode::parse(value).unwrap();
            assert_eq!(mode.apply(before, false), file, "{value} on {before:o}");
            assert_eq!(
                mode.apply(before, true),
                dir,
                "{value} on directory {before:o}"
            );
        }
        for bad in [
            "u", "u+x,", ",u+x", "u+q", "rwx", "x+u", "u+x u+r", "+x,,+r", "ä",
        ] {
            assert!(Mode::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_beyond_twelve_bits_and_always_the_same(
            text in "[ugoa]{0,2}[-+=][rwxXstugo]{0,3}(,[ugoa]{0,2}[-+=][rwxXst]{0,3}){0,2}",
            before in 0_u32..0o10000,
        ) {
            let mode = Mode::parse(&text).unwrap();
            let once = mode.apply(before, false);
            prop_assert!(once <= 0o7777);
            // Without copies between classes a change made twice is the change.
            if !text.contains(['X']) && !text.split(['+', '-', '=']).skip(1).any(|t| t.split(',').next().unwrap().contains(['u', 'g', 'o'])) {
                prop_assert_eq!(mode.apply(once, false), once);
            }
        }
    }
}
