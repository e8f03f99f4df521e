//! `--change`: an instruction of a Dockerfile that sets a config.

use builder::dockerfile::ast::Pair;
use builder::dockerfile::{self, Command, CommandLine, ParseError, Word, port};
use image_format::config::{ContainerConfig, Empty};

use crate::error::Error;

/// Stands before the instruction, which is no Dockerfile by itself.
const BASE: &str = "FROM scratch\n";

/// Applies one change, in the syntax of a Dockerfile.
pub fn apply(config: &mut ContainerConfig, change: &str) -> Result<(), Error> {
    let failed = |mut source: ParseError| {
        source.span.start = source.span.start.saturating_sub(BASE.len());
        source.span.end = source.span.end.saturating_sub(BASE.len());
        source.span.line = source.span.line.saturating_sub(1).max(1);
        Error::Change {
            text: change.to_owned(),
            source: Box::new(source),
        }
    };
    let parsed = dockerfile::parse(&format!("{BASE}{change}")).map_err(failed)?;
    let [stage] = parsed.stages.as_slice() else {
        return Err(Error::NoChange { name: "FROM" });
    };
    for instruction in &stage.instructions {
        let lookup = |name: &str| lookup(config, name);
        let (instruction, _) = instruction.expand(parsed.escape, &lookup).map_err(failed)?;
        match instruction.command {
            Command::Cmd(command) => config.cmd = args(command),
            Command::Entrypoint(command) => config.entrypoint = args(command),
            Command::Env(pairs) => pairs.into_iter().for_each(|pair| set_env(config, pair)),
            Command::Expose(words) => expose(config, &words).map_err(failed)?,
            Command::Label(pairs) => {
                let pairs = pairs.into_iter();
                config
                    .labels
                    .extend(pairs.map(|Pair { name, value }| (name.text, value.text)));
            }
            Command::User(user) => config.user = user.text,
            Command::Workdir(dir) => config.working_dir = workdir(&config.working_dir, &dir.text),
            other => return Err(Error::NoChange { name: other.name() }),
        }
    }
    Ok(())
}

fn lookup(config: &ContainerConfig, name: &str) -> Option<String> {
    let mut variables = config.env.iter().filter_map(|entry| entry.split_once('='));
    let found = variables.find(|(known, _)| *known == name)?;
    Some(found.1.to_owned())
}

/// The program and its arguments; an empty list is none.
fn args(command: CommandLine) -> Option<Vec<String>> {
    let args: Vec<String> = match command {
        CommandLine::Shell(text) if text.text.is_empty() => Vec::new(),
        CommandLine::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.text],
        CommandLine::Exec(words) => words.into_iter().map(|word| word.text).collect(),
    };
    Some(args).filter(|args| !args.is_empty())
}

fn set_env(config: &mut ContainerConfig, Pair { name, value }: Pair) {
    let start = format!("{}=", name.text);
    let entry = format!("{start}{}", value.text);
    let mut known = config.env.iter_mut();
    match known.find(|known| known.starts_with(&start)) {
        Some(known) => *known = entry,
        None => config.env.push(entry),
    }
}

fn expose(config: &mut ContainerConfig, words: &[Word]) -> Result<(), ParseError> {
    for word in words {
        let ports = port::exposed(&word.text);
        let ports = ports.map_err(|error| ParseError::new(error.into(), word.span))?;
        let ports = ports.into_iter().map(|port| (port, Empty {}));
        config.exposed_ports.extend(ports);
    }
    Ok(())
}

/// A relative directory is one below the current one.
fn workdir(current: &str, dir: &str) -> String {
    match dir.starts_with('/') {
        true => dir.to_owned(),
        false => format!("{}/{dir}", current.trim_end_matches('/')),
    }
}
