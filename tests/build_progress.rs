//! What a build shows while it runs and when it fails, in lines, drawn and not at all; and its end by a signal.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use support::{Env, User, run};

fn env(user: User, dockerfile: &str) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env.write("c/Dockerfile", dockerfile);
    env
}

/// A command that writes what would clear the screen, move the cursor and change the title.
const HOSTILE: &str =
    "RUN printf 'fine\\033[2J\\033[1;1H\\033]0;title\\007\\r\\n\\033[31mred\\b\\n'";

/// Runs mkimg on a terminal; gives all that it wrote there.
fn on_terminal(env: &Env, arguments: &str) -> (i32, String) {
    let mut command = env.program("script");
    let line = format!(
        "{} {arguments}",
        env.command([""; 0]).get_program().display()
    );
    command.env("MKIMG_ROOT", env.store()).env("TERM", "xterm");
    command.args(["-qec", &line, "/dev/null"]);
    let ran = run(&mut command);
    (
        ran.code(),
        String::from_utf8_lossy(ran.bytes()).into_owned(),
    )
}

#[test]
fn lines_are_dockers() {
    let env = env(
        User::Own,
        "FROM busybox AS one\nRUN echo hello; echo again >&2\nFROM busybox\nCOPY --from=one /etc/passwd /x\n",
    );
    let ran = env.mkimg(["build", "-t", "a", "c"]).success();
    let lines: Vec<&str> = ran.err().lines().collect();
    assert!(lines.contains(&"#1 [one 1/2] FROM busybox AS one"), "{ran}");
    assert!(
        lines.contains(&"#2 [one 2/2] RUN echo hello; echo again >&2"),
        "{ran}"
    );
    let output = lines.iter().find(|line| line.ends_with(" hello")).unwrap();
    let words: Vec<&str> = output.split(' ').collect();
    assert_eq!(words[0], "#2");
    assert!(
        words[1].parse::<f64>().is_ok_and(|time| time < 60.0),
        "{ran}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("#2 DONE 0.") && line.ends_with('s')),
        "{ran}"
    );
    let again = env.mkimg(["build", "-t", "a", "c"]).success();
    assert!(again.err().contains("#2 CACHED\n"), "{again}");
    assert!(again.err().contains("#4 CACHED\n"), "{again}");
}

#[test]
fn a_failure_shows_line_code_output_and_log() {
    for &user in User::with_ids() {
        let env = env(
            user,
            "FROM busybox\nRUN echo before && \\\n    seq 100 && \\\n    sh -c 'exit 42'\n",
        );
        let loud = env.mkimg(["build", "c"]).exits(1).says([
            "c/Dockerfile:2:1",
            "exit code 42",
            "2 | / RUN echo before",
            "4 | |",
        ]);
        // Lines that were shown are not shown again.
        assert_eq!(loud.err().matches("before\n").count(), 1, "{loud}");
        let quiet =
            env.mkimg(["build", "-q", "c"])
                .exits(1)
                .says(["  81\n", "  100\n", "exit code 42"]);
        assert!(!quiet.err().contains("  80\n"), "{quiet}");
        assert_eq!(quiet.out(), "");
        let log = quiet.err().lines().last().unwrap();
        let log = log.split("all of its output is in ").nth(1).unwrap();
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.starts_with("before\n1\n2\n"), "{log}");
    }
}

#[test]
fn hostile_output_steers_no_terminal() {
    let env = env(User::Own, &format!("FROM busybox\n{HOSTILE}\nRUN false\n"));
    let plain = env
        .mkimg(["build", "c"])
        .exits(1)
        .says([" fine\n", " red\n"]);
    assert!(!plain.err().contains('\x1b'), "{plain}");
    let (code, drawn) = on_terminal(&env, "build --no-cache c");
    assert_eq!(code, 1, "{drawn:?}");
    for sequence in ["\x1b[2J", "\x1b[1;1H", "\x1b]0;", "\x07", "\x08"] {
        assert!(!drawn.contains(sequence), "{sequence:?} in {drawn:?}");
    }
    assert!(drawn.contains("RUN failed"), "{drawn:?}");
    let failing = format!("FROM busybox\n{HOSTILE}; exit 1\n");
    env.write("c/Dockerfile", failing.replace("'; exit", "' && exit"));
    let quiet = env.mkimg(["build", "-q", "c"]).exits(1).says(["  fine\n"]);
    assert!(!quiet.err().contains('\x1b'), "{quiet}");
}

#[test]
fn a_terminal_gets_one_line_for_each_step_that_has_ended() {
    let env = env(
        User::Own,
        "FROM busybox\nRUN echo some output\nRUN sleep 0.3\nCMD [\"x\"]\n",
    );
    let (code, drawn) = on_terminal(&env, "build -t a c");
    assert_eq!(code, 0, "{drawn:?}");
    for step in [
        "[1/4] FROM busybox",
        "[2/4] RUN echo",
        "[3/4] RUN sleep 0.3",
    ] {
        assert!(drawn.contains(&format!("=> {step}")), "{step}: {drawn:?}");
    }
    assert!(drawn.contains("sandbox: "), "{drawn:?}");
    assert!(drawn.contains("0.3s"), "{drawn:?}");
    let (_, again) = on_terminal(&env, "build -t a c");
    assert_eq!(again.matches("CACHED").count(), 2, "{again:?}");
    let (_, lines) = on_terminal(&env, "build --progress plain -t a c");
    assert!(lines.contains("#2 CACHED"), "{lines:?}");
    env.mkimg(["build", "--progress", "tty", "c"])
        .exits(1)
        .says(["terminal", "--progress plain"]);
}

#[test]
fn colour_is_for_terminals_and_can_be_refused() {
    let env = env(User::Own, "FROM busybox\nCPOY a b\n");
    let piped = env.mkimg(["build", "c"]).exits(1);
    assert!(!piped.err().contains('\x1b'), "{piped}");
    let (_, coloured) = on_terminal(&env, "build c");
    assert!(coloured.contains("\x1b[1m"), "{coloured:?}");
    let mut command = env.program("script");
    let line = format!("{} build c", env.command([""; 0]).get_program().display());
    command.env("MKIMG_ROOT", env.store()).env("TERM", "xterm");
    command
        .env("NO_COLOR", "1")
        .args(["-qec", &line, "/dev/null"]);
    let refused = run(&mut command);
    assert!(!refused.out().contains("\x1b["), "{refused}");
    assert!(refused.out().contains("Dockerfile:2:1"), "{refused}");
}

#[test]
fn a_signal_ends_the_build_and_all_that_it_started() {
    for &user in User::with_ids() {
        for (signal, number) in [("INT", 2), ("TERM", 15)] {
            let marker = format!("31{number}{}", std::process::id());
            let env = env(
                user,
                &format!("FROM busybox\nRUN echo begun; sleep {marker} & sleep {marker}\n"),
            );
            let before = env.mkimg(["images"]).success();
            let mut command = env.command(["build", "-t", "a", "c"]);
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
            let mut stderr = BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            while !line.ends_with(" begun\n") {
                line.clear();
                assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "never began");
            }
            let pid = child.id().to_string();
            run(env.program("kill").args(["-s", signal, &pid])).success();
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(128 + number), "{user:?} {signal}");
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).unwrap();
            assert!(rest.contains("cancelled"), "{rest}");
            assert_eq!(processes(&marker), 0, "{user:?} {signal}");
            let tmp = std::fs::read_dir(env.store().join("tmp")).unwrap();
            assert_eq!(tmp.count(), 0, "{user:?} {signal}");
            assert_eq!(env.mkimg(["images"]).success().out(), before.out());
            env.mkimg(["verify"]).success();
        }
    }
}

/// How many processes have this among their arguments.
fn processes(argument: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap();
    let command = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path().join("cmdline");
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let has = |command: &String| command.split('\0').any(|word| word == argument);
    all.map(command).filter(has).count()
}
