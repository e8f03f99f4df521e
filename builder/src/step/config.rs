//! Instructions that change nothing but the image's config.

use image_format::config::Empty;
use serde_json::Value;

use crate::dockerfile::ast::{ArgDeclaration, Pair};
use crate::dockerfile::expand::Asked;
use crate::dockerfile::{CommandLine, ParseError, Word, port};
use crate::plan::Globals;
use crate::stage::StageState;

/// `ARG`: declares arguments, each default seeing those before it; returns what the history has.
pub(crate) fn arg(
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
pub(crate) fn env(state: &mut StageState, pairs: &[Pair]) -> String {
    for Pair { name, value } in pairs {
        state.set_env(&name.text, &value.text);
    }
    created_by_pairs("ENV", pairs)
}

/// `LABEL`, expanded.
pub(crate) fn label(state: &mut StageState, pairs: &[Pair]) -> String {
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
pub(crate) fn expose(state: &mut StageState, words: &[Word]) -> Result<String, ParseError> {
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
pub(crate) fn user(state: &mut StageState, user: &Word) -> String {
    state.config.config.user.clone_from(&user.text);
    format!("USER {}", user.text)
}

/// `CMD`.
pub(crate) fn cmd(state: &mut StageState, command: &CommandLine) -> String {
    let args = command_args(state, command);
    let created_by = format!("CMD {}", quoted(&args));
    state.config.config.cmd = Some(args).filter(|args| !args.is_empty());
    // Docker's, and without meaning but on Windows; images are compared by it.
    let extra = &mut state.config.config.extra;
    extra.insert("ArgsEscaped".to_owned(), Value::Bool(true));
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
    clean(&format!("{current}/{dir}"))
}

/// An absolute path without `.`, `..` and doubled slashes, by its letters alone.
pub(crate) fn clean(path: &str) -> String {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
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
        assert_eq!(clean("/x//y/"), "/x/y");
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
