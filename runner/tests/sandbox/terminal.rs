//! Payloads with a terminal.

use std::io::Read;

use runner::sandbox::{Exit, Sandbox};
use runner::terminal::WindowSize;

use super::fixture::Fixture;

pub const TESTS: &[(&str, fn())] = &[
    (
        "a_terminal_is_a_controlling_one_of_the_right_size",
        terminal,
    ),
    ("a_terminal_can_be_resized", resized),
    ("without_a_terminal_there_is_none", none),
];

const SIZE: WindowSize = WindowSize {
    rows: 33,
    columns: 101,
};

/// A terminal ends in an error, not in an end of file.
fn all(mut terminal: std::fs::File) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        text.extend(&buffer[..length]);
    }
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

fn terminal() {
    let fixture = Fixture::new();
    let mut spec = fixture
        .sh("tty; stty size; stat -c %u /dev/pts/0; echo x > /dev/console; echo y > /dev/tty");
    spec.terminal = Some(SIZE);
    spec.user = "ann".into();
    let mut running = Sandbox::spawn(&spec).unwrap();
    let said = all(running.terminal.take().unwrap());
    assert_eq!(said, "/dev/pts/0\n33 101\n1000\nx\ny\n");
    assert_eq!(running.wait().unwrap(), Exit::Code(0));
}

fn resized() {
    let fixture = Fixture::new();
    let mut spec =
        fixture.sh("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done");
    spec.terminal = Some(SIZE);
    let mut running = Sandbox::spawn(&spec).unwrap();
    let mut terminal = running.terminal.as_ref().unwrap().try_clone().unwrap();
    let mut ready = [0; 7];
    terminal.read_exact(&mut ready).unwrap();
    let size = WindowSize {
        rows: 12,
        columns: 34,
    };
    running.resize(size).unwrap();
    drop(running.terminal.take());
    assert_eq!(all(terminal), "12 34\n");
    assert_eq!(running.wait().unwrap(), Exit::Code(0));
}

fn none() {
    let fixture = Fixture::new();
    let outcome = super::fixture::run(&fixture.sh("tty; echo x > /dev/tty")).unwrap();
    assert_ne!(outcome.exit, Exit::Code(0));
    assert_eq!(outcome.stdout, "not a tty\n");
}
