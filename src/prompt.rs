//! What a user is asked for on the terminal that standard input is. The question goes to standard error.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;

use nix::sys::signal::Signal;
use runner::terminal::RawMode;

use crate::error::Error;

/// Asks for a line. `None` says that there is no input any more.
pub fn line(question: &str) -> Result<Option<String>, Error> {
    ask(question);
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line.trim().to_owned())),
        Err(source) => Err(unreadable(source)),
    }
}

/// Asks for what must not be seen. `None` says that there is no input any more.
pub fn secret(question: &str) -> Result<Option<String>, Error> {
    let stdin = io::stdin();
    // Before the question, for what is typed before the mode changes is lost.
    let raw = RawMode::enter(stdin.as_fd())?;
    ask(question);
    let typed = typed(stdin.lock().bytes());
    drop(raw);
    ask("\n");
    typed
}

/// Reads what a raw terminal gives, where the keys that end and correct a line are nobody else's.
fn typed(keys: impl Iterator<Item = io::Result<u8>>) -> Result<Option<String>, Error> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const BACKSPACE: u8 = 0x08;
    const KILL: u8 = 0x15;
    const DELETE: u8 = 0x7f;
    let mut typed = Vec::new();
    for key in keys {
        match key.map_err(unreadable)? {
            b'\r' | b'\n' => return text(typed).map(Some),
            INTERRUPT => {
                return Err(Error::Interrupted {
                    signal: Signal::SIGINT as u8,
                });
            }
            END if typed.is_empty() => return Ok(None),
            // All bytes of the letter: those that go on have 10 on top.
            BACKSPACE | DELETE => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            KILL => typed.clear(),
            key => typed.push(key),
        }
    }
    Ok(None)
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| unreadable(io::ErrorKind::InvalidData.into()))
}

fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    // Who cannot see the question has to know what is asked for.
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
}

fn unreadable(source: io::Error) -> Error {
    Error::File {
        action: "read",
        path: "standard input".into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_corrected_as_on_any_terminal() {
        let typed = |text: &str| typed(text.bytes().map(Ok)).ok().flatten();
        for (keys, expected) in [
            ("secret\r", Some("secret")),
            ("a\x7fb\n", Some("b")),
            ("aé\x08b\n", Some("ab")),
            ("\x7f\x7fa\n", Some("a")),
            ("wrong\x15right\n", Some("right")),
            ("\n", Some("")),
            ("\x04", None),
            ("a\x04\n", Some("a\x04")),
            ("cut off", None),
        ] {
            assert_eq!(typed(keys).as_deref(), expected, "{keys:?}");
        }
    }

    #[test]
    fn an_interrupt_is_one() {
        let interrupted = typed(b"ab\x03".iter().map(|key| Ok(*key)));
        assert!(matches!(interrupted, Err(Error::Interrupted { signal: 2 })));
    }
}
