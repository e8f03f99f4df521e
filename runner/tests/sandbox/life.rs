//! From the start to the end.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use runner::sandbox::{Exit, Failure, Sandbox, SandboxError, Stream};

use super::fixture::{Fixture, run, said};

pub const TESTS: &[(&str, fn())] = &[
    ("a_program_runs_and_its_output_comes", runs),
    ("exit_codes_and_signals_come_back", exits),
    ("input_goes_in", input),
    ("what_cannot_be_run_is_told_apart", failures),
    ("signals_reach_the_program", signalled),
    ("killed_is_killed", killed),
    ("orphans_are_reaped_and_do_not_hold_it_up", orphans),
    ("dropped_before_its_start_nothing_is_left", dropped),
    ("large_arguments_go_through", large),
    ("sixteen_at_once", many),
];

fn runs() {
    let fixture = Fixture::new();
    let outcome = run(&fixture.sh("echo out; echo err >&2")).unwrap();
    assert_eq!(outcome.exit, Exit::Code(0));
    assert_eq!(
        (outcome.stdout, outcome.stderr),
        ("out\n".into(), "err\n".into())
    );
}

fn exits() {
    let fixture = Fixture::new();
    let ends = |script| run(&fixture.sh(script)).unwrap().exit;
    assert_eq!(ends("exit 42"), Exit::Code(42));
    assert_eq!(ends("kill -9 $$"), Exit::Signal(9));
    assert_eq!(ends("kill -SEGV $$"), Exit::Signal(11));
    assert_eq!(ends("kill -SEGV $$").code(), 139);
}

fn input() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["cat"]);
    spec.stdio.stdin = Stream::Pipe;
    let mut running = Sandbox::spawn(&spec).unwrap();
    running.stdin.take().unwrap().write_all(b"through").unwrap();
    let text = std::io::read_to_string(running.stdout.take().unwrap()).unwrap();
    assert_eq!(text, "through");
    assert_eq!(running.wait().unwrap(), Exit::Code(0));
}

fn failures() {
    let fixture = Fixture::new();
    let fails = |args: &[&str]| {
        let error = run(&fixture.spec(args)).unwrap_err();
        let code = error.exit_code();
        match error {
            SandboxError::Failed(failure) => (failure, code),
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(
        fails(&["nothing"]),
        (Failure::NotFound { searched: true, .. }, 127)
    ));
    assert!(matches!(
        fails(&["/nothing"]),
        (
            Failure::NotFound {
                searched: false,
                ..
            },
            127
        )
    ));
    assert!(matches!(fails(&[""]), (Failure::NotFound { .. }, 127)));
    assert!(matches!(
        fails(&["/etc/passwd"]),
        (Failure::NotExecutable { .. }, 126)
    ));
    assert!(matches!(
        fails(&["/etc"]),
        (Failure::NotExecutable { .. }, 126)
    ));
    let no_program = run(&fixture.spec(&[])).unwrap_err();
    assert!(matches!(no_program, SandboxError::NoProgram));
}

fn signalled() {
    let fixture = Fixture::new();
    for signal in [15, 40] {
        let script = format!(
            "trap 'echo caught; exit 7' {signal}; echo ready; while :; do sleep 0.05; done"
        );
        let mut running = Sandbox::spawn(&fixture.sh(&script)).unwrap();
        let mut stdout = running.stdout.take().unwrap();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).unwrap();
        assert!(running.pid().is_some() && running.init_pid().is_some());
        running.signal(signal).unwrap();
        assert_eq!(std::io::read_to_string(stdout).unwrap(), "caught\n");
        assert_eq!(running.wait().unwrap(), Exit::Code(7));
        // Asked again, it says the same; and there is nobody left to signal.
        assert_eq!(running.wait().unwrap(), Exit::Code(7));
        running.signal(signal).unwrap();
        assert_eq!(running.pid(), None);
    }
}

fn killed() {
    let fixture = Fixture::new();
    let running = Sandbox::spawn(&fixture.spec(&["sleep", "1000"])).unwrap();
    running.kill().unwrap();
    assert_eq!(running.wait().unwrap(), Exit::Signal(9));
    let running = Sandbox::spawn(&fixture.spec(&["sleep", "1000"])).unwrap();
    let pid = running.pid().unwrap();
    drop(running);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

fn orphans() {
    let fixture = Fixture::new();
    let start = Instant::now();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (true &); done; (sleep 1000 &); sleep 0.5; echo /proc/[0-9]*; exit 3";
    let mut spec = fixture.sh(script);
    spec.stdio.stderr = Stream::Null;
    let mut running = Sandbox::spawn(&spec).unwrap();
    // The sleeper holds the pipe too: its end comes with the sandbox's.
    let said = std::io::read_to_string(running.stdout.take().unwrap()).unwrap();
    assert_eq!(said.split_whitespace().count(), 3, "{said}");
    assert_eq!(running.wait().unwrap(), Exit::Code(3));
    assert!(start.elapsed() < Duration::from_secs(60));
}

fn dropped() {
    let fixture = Fixture::new();
    let sandbox = Sandbox::create(&fixture.spec(&["true"])).unwrap();
    assert!(sandbox.netns().is_some());
    drop(sandbox);
    // Nothing holds the overlay any more, or a second one on the same directories would be refused.
    assert_eq!(said(&fixture.sh("echo again")), "again\n");
}

fn large() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["sh", "-c", "echo ${#BIG} $#"]);
    spec.env.push(format!("BIG={}", "x".repeat(100_000)));
    spec.args
        .extend((0..5000).map(|number| format!("ä{number}")));
    assert_eq!(said(&spec), "100000 4999\n");
    spec.env.push(format!("BIGGER={}", "x".repeat(17 << 20)));
    assert!(matches!(run(&spec), Err(SandboxError::Channel(_))));
}

fn many() {
    let fixtures: Vec<_> = (0..16).map(|_| Fixture::new()).collect();
    std::thread::scope(|scope| {
        let one = |fixture: &Fixture| said(&fixture.sh("echo one"));
        let all: Vec<_> = fixtures
            .iter()
            .map(|fixture| scope.spawn(move || one(fixture)))
            .collect();
        for thread in all {
            assert_eq!(thread.join().unwrap(), "one\n");
        }
    });
}
