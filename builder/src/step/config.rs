//! Instructions that change nothing but the image's config.

use image_format::config::{self, Empty};

use crate::dockerfile::ast::{ArgDeclaration, Healthcheck, Pair};
use crate::dockerfile::expand::Asked;
use crate::dockerfile::signal::is_signal;
use crate::dockerfile::{Command, CommandLine, ParseError, ParseErrorKind, Word, duration, port};
use crate::lexical;
use crate::plan::Globals;
use crate::stage::StageState;

/// Follows an instruction, expanded, but that `ARG` expands itself; returns what the history has, where it
/// has something. Those that make layers leave the config as it is here.
pub(crate) fn apply(
    state: &mut StageState,
    command: &Command,
    globals: &Globals,
    escape: char,
) -> Result<Option<String>, ParseError> {
    Ok(Some(match command {
        Command::Arg(all) => arg(state, all, globals, escape)?,
        Command::Cmd(command) => cmd(state, command),
        Command::Entrypoint(command) => entrypoint(state, command),
        Command::Env(pairs) => env(state, pairs),
        Command::Expose(words) => expose(state, words)?,
        Command::Healthcheck(check) => healthcheck(state, check)?,
        Command::Label(pairs) => label(state, pairs),
        Command::Maintainer(name) => maintainer(state, name),
        Command::Onbuild(trigger) => {
            state.config.config.on_build.push(trigger.text.clone());
            return Ok(None);
        }
        Command::Shell(words) => shell(state, words),
        Command::StopSignal(signal) => stop_signal(state, signal)?,
        Command::User(name) => user(state, name),
        Command::Volume(words) => volume(state, words)?,
        Command::Add(_) | Command::Copy(_) | Command::Run(_) | Command::Workdir(_) => {
            return Ok(None);
        }
    }))
}

/// `ARG`: declares arguments, each default seeing those before it; returns what the history has.
fn arg(
    state: &mut StageState,
    declarations: &[ArgDeclaration],
    globals: &Globals,
    escape: char,
) -> Result<String, ParseError> {
    let mut created_by = "ARG".to_owned();
    for ArgDeclaration { name, default } in declarations {
        let name = &name.text;
        let value = match (globals.given(name), default) {
            (Some(given), _) => Some(given.to_owned()),
            (None, Some(default)) => {
                let lookup = |name: &str| state.lookup(name);
                let word = default.expand(escape, &lookup, &mut Asked::default())?;
                Some(word.text)
            }
            (None, None) => globals.get(name).map(ToOwned::to_owned),
        };
        state.set_argument(name, value.as_deref());
        created_by.push(' ');
        created_by.push_str(name);
        if let Some(value) = value {
            created_by.push('=');
            created_by.push_str(&value);
        }
    }
    Ok(created_by)
}

/// `ENV`, expanded.
fn env(state: &mut StageState, pairs: &[Pair]) -> String {
    for Pair { name, value } in pairs {
        state.set_env(&name.text, &value.text);
    }
    created_by_pairs("ENV", pairs)
}

/// `LABEL`, expanded.
fn label(state: &mut StageState, pairs: &[Pair]) -> String {
    let labels = &mut state.config.config.labels;
    labels.extend(
        pairs
            .iter()
            .map(|Pair { name, value }| (name.text.clone(), value.text.clone())),
    );
    created_by_pairs("LABEL", pairs)
}

fn created_by_pairs(name: &str, pairs: &[Pair]) -> String {
    let pairs = pairs
        .iter()
        .map(|Pair { name, value }| format!(" {}={}", name.text, value.text));
    std::iter::once(name.to_owned()).chain(pairs).collect()
}

/// `EXPOSE`, expanded.
fn expose(state: &mut StageState, words: &[Word]) -> Result<String, ParseError> {
    let mut all = Vec::new();
    for word in words {
        let ports = port::exposed(&word.text);
        all.extend(ports.map_err(|error| ParseError::new(error.into(), word.span))?);
    }
    all.sort();
    let created_by = format!("EXPOSE [{}]", all.join(" "));
    let exposed = &mut state.config.config.exposed_ports;
    exposed.extend(all.into_iter().map(|port| (port, Empty {})));
    Ok(created_by)
}

/// `USER`, expanded.
fn user(state: &mut StageState, user: &Word) -> String {
    state.config.config.user.clone_from(&user.text);
    format!("USER {}", user.text)
}

/// `CMD`.
pub(crate) fn cmd(state: &mut StageState, command: &CommandLine) -> String {
    let args = command_args(state, command);
    let created_by = format!("CMD {}", quoted(&args));
    state.config.config.cmd = Some(args).filter(|args| !args.is_empty());
    // without meaning but on Windows; images are compared by it
    state.config.config.args_escaped = true;
    state.own_cmd = true;
    created_by
}

/// `ENTRYPOINT`: a `CMD` that the base brought was not meant for it, and goes.
pub(crate) fn entrypoint(state: &mut StageState, command: &CommandLine) -> String {
    let args = command_args(state, command);
    let created_by = format!("ENTRYPOINT {}", quoted(&args));
    state.config.config.entrypoint = Some(args).filter(|args| !args.is_empty());
    if !state.own_cmd {
        state.config.config.cmd = None;
    }
    created_by
}

/// `HEALTHCHECK`.
fn healthcheck(state: &mut StageState, check: &Healthcheck) -> Result<String, ParseError> {
    let duration = |word: &Option<Word>| match word {
        Some(word) => {
            duration::interval(&word.text).map_err(|error| ParseError::new(error.into(), word.span))
        }
        None => Ok(0),
    };
    // the parser has seen that it is one
    let retries = check.retries.as_ref();
    let retries = retries.and_then(|word| word.text.parse().ok()).unwrap_or(0);
    let test = match &check.test {
        None => vec!["NONE".to_owned()],
        Some(CommandLine::Shell(text)) => vec!["CMD-SHELL".to_owned(), text.text.clone()],
        Some(CommandLine::Exec(words)) => std::iter::once("CMD".to_owned())
            .chain(words.iter().map(|word| word.text.clone()))
            .collect(),
    };
    let config = config::Healthcheck {
        test,
        interval: duration(&check.interval)?,
        timeout: duration(&check.timeout)?,
        start_period: duration(&check.start_period)?,
        start_interval: duration(&check.start_interval)?,
        retries,
        ..config::Healthcheck::default()
    };
    let created_by = format!(
        "HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        config.test.join(" "),
        duration::display(config.interval),
        duration::display(config.timeout),
        duration::display(config.start_period),
        duration::display(config.start_interval),
        config.retries,
    );
    state.config.config.healthcheck = Some(config);
    Ok(created_by)
}

/// `MAINTAINER`.
fn maintainer(state: &mut StageState, name: &Word) -> String {
    state.config.author = Some(name.text.clone());
    format!("MAINTAINER {}", name.text)
}

/// `SHELL`.
fn shell(state: &mut StageState, words: &[Word]) -> String {
    let shell: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
    let created_by = format!("SHELL [{}]", shell.join(" "));
    state.config.config.shell = Some(shell);
    created_by
}

/// `STOPSIGNAL`, expanded.
fn stop_signal(state: &mut StageState, signal: &Word) -> Result<String, ParseError> {
    if !is_signal(&signal.text) {
        let name = signal.text.clone();
        let kind = ParseErrorKind::BadSignal { name };
        return Err(ParseError::new(kind, signal.span)
            .hint("write a name, as in SIGTERM, or a number that is not 0"));
    }
    state.config.config.stop_signal = Some(signal.text.clone());
    Ok(format!("STOPSIGNAL {}", signal.text))
}

/// `VOLUME`, expanded. What later steps write there stays in the image.
fn volume(state: &mut StageState, words: &[Word]) -> Result<String, ParseError> {
    if let Some(empty) = words.iter().find(|word| word.text.is_empty()) {
        return Err(ParseError::new(ParseErrorKind::EmptyVolume, empty.span));
    }
    let paths: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let volumes = &mut state.config.config.volumes;
    volumes.extend(paths.iter().map(|path| ((*path).to_owned(), Empty {})));
    Ok(format!("VOLUME [{}]", paths.join(" ")))
}

/// The config's half of `WORKDIR`, expanded; its directory is made before.
pub(crate) fn workdir(state: &mut StageState, dir: String) -> String {
    let created_by = format!("WORKDIR {dir}");
    state.config.config.working_dir = dir;
    created_by
}

/// The program and its arguments.
pub(crate) fn command_args(state: &StageState, command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Shell(text) => state.shell(&text.text),
        CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
    }
}

/// The working directory that `WORKDIR` asks for: an absolute one stays as it is written, a
/// relative one is joined to `current` and cleaned.
pub(crate) fn join(current: &str, dir: &str) -> String {
    if dir.starts_with('/') {
        return dir.to_owned();
    }
    lexical::absolute(&format!("{current}/{dir}"))
}

/// As Go's `%q` prints a list, which is what docker's histories hold.
fn quoted(args: &[String]) -> String {
    let args: Vec<String> = args.iter().map(|arg| quote(arg)).collect();
    format!("[{}]", args.join(" "))
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            ' ' => quoted.push(' '),
            other if other.is_ascii_control() => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(other)));
            }
            other if other.is_control() || other.is_whitespace() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(other)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use image_format::descriptor::Platform;

    use super::*;
    use crate::dockerfile::Span;

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            span: Span::default(),
        }
    }

    fn exec(args: &[&str]) -> CommandLine {
        CommandLine::Exec(args.iter().map(|arg| word(arg)).collect())
    }

    #[test]
    fn working_directories_join() {
        assert_eq!(join("/", "a b"), "/a b");
        assert_eq!(join("/a/b", "c/../d"), "/a/b/d");
        assert_eq!(join("/a", "../../../x/."), "/x");
        assert_eq!(join("/a", ""), "/a");
        assert_eq!(join("/a", "/x//y/"), "/x//y/");
    }

    #[test]
    fn an_entrypoint_takes_away_the_cmd_of_the_base_only() {
        let mut base = StageState::scratch(&Platform::host());
        cmd(&mut base, &exec(&["a"]));
        let mut state = StageState::stage(&base);
        assert_eq!(
            entrypoint(&mut state, &exec(&["b", "c\n"])),
            r#"ENTRYPOINT ["b" "c\n"]"#
        );
        assert_eq!(state.config.config.cmd, None);
        cmd(&mut state, &exec(&["d"]));
        entrypoint(&mut state, &exec(&[]));
        assert_eq!(state.config.config.cmd, Some(vec!["d".to_owned()]));
        assert_eq!(state.config.config.entrypoint, None);
    }

    #[test]
    fn the_shell_form_is_run_by_the_shell() {
        let mut state = StageState::scratch(&Platform::host());
        let by = cmd(&mut state, &CommandLine::Shell(word("echo \"a\"")));
        assert_eq!(by, r#"CMD ["/bin/sh" "-c" "echo \"a\""]"#);
        assert_eq!(
            state.config.config.cmd,
            Some(vec!["/bin/sh".into(), "-c".into(), "echo \"a\"".into()])
        );
    }
}
