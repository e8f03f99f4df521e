//! A Dockerfile as the S-expressions that docker's parser writes, without what it cannot know of.

use builder::dockerfile::ast::{Add, CopySource};
use builder::dockerfile::{Command, CommandLine, Dockerfile, Instruction, Stage, Word, parse};

/// One line an instruction.
pub fn tree(dockerfile: &Dockerfile) -> Vec<String> {
    let global = dockerfile.global_args.iter();
    let mut lines: Vec<String> = global.map(|one| instruction(dockerfile, one)).collect();
    for stage in &dockerfile.stages {
        lines.push(from(dockerfile, stage));
        let inside = stage.instructions.iter();
        lines.extend(inside.map(|one| instruction(dockerfile, one)));
    }
    lines
}

fn from(dockerfile: &Dockerfile, stage: &Stage) -> String {
    let mut words = vec![stage.base.text.clone()];
    if let Some(name) = &stage.name {
        let between = stage.base.span.end..name.span.start;
        words.push(dockerfile.source.text()[between].trim().to_owned());
        words.push(dockerfile.source.slice(name.span).to_owned());
    }
    let platform = stage.platform.iter();
    let flags: Vec<String> = platform
        .map(|word| format!("--platform={}", word.text))
        .collect();
    form("from", &flags, words)
}

fn instruction(dockerfile: &Dockerfile, instruction: &Instruction) -> String {
    let name = instruction.command.name().to_lowercase();
    let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect();
    let flags = flags(dockerfile, instruction);
    let words: Vec<String> = match &instruction.command {
        Command::Arg(declarations) => declarations
            .iter()
            .map(|one| match &one.default {
                Some(default) => format!("{}={}", one.name.text, default.text),
                None => one.name.text.clone(),
            })
            .collect(),
        Command::Cmd(line) | Command::Entrypoint(line) => command_line(line),
        Command::Run(run) => command_line(&run.command),
        Command::Copy(copy) | Command::Add(Add { copy, .. }) => {
            let mut words = Vec::new();
            for source in &copy.sources {
                words.push(match source {
                    CopySource::Path(word) => word.text.clone(),
                    CopySource::Heredoc(heredoc) => dockerfile.source.slice(heredoc.span).into(),
                });
            }
            words.push(copy.destination.text.clone());
            words
        }
        Command::Env(pairs) | Command::Label(pairs) => pairs
            .iter()
            .flat_map(|pair| {
                let between = pair.name.span.end..pair.value.span.start;
                let between = &dockerfile.source.text()[between];
                let separator = if between.starts_with('=') { "=" } else { "" };
                [&pair.name.text, &pair.value.text, separator].map(str::to_owned)
            })
            .collect(),
        Command::Expose(words) | Command::Shell(words) | Command::Volume(words) => texts(words),
        Command::Healthcheck(check) => {
            let kind = if check.test.is_some() { "CMD" } else { "NONE" };
            let command = check.test.iter().flat_map(command_line);
            std::iter::once(kind.to_owned()).chain(command).collect()
        }
        Command::Onbuild(trigger) => {
            // as an instruction of a file of its own
            let inner = parse(&format!("FROM x\n{}", trigger.text));
            let inner = inner.map(|parsed| tree(&parsed).remove(1));
            let inner = inner.unwrap_or_else(|_| format!("({})", trigger.keyword.text));
            return format!("(onbuild {inner})");
        }
        Command::Maintainer(word)
        | Command::StopSignal(word)
        | Command::User(word)
        | Command::Workdir(word) => vec![word.text.clone()],
    };
    form(&name, &flags, words)
}

/// The flags as they are written, in that order, without their quotes.
fn flags(dockerfile: &Dockerfile, instruction: &Instruction) -> Vec<String> {
    let written = dockerfile.source.slice(instruction.span);
    let mut text = String::new();
    for line in written[instruction.keyword.len()..].lines() {
        if !line.trim_start().starts_with('#') {
            let line = line.trim_end();
            text.push_str(line.strip_suffix(dockerfile.escape).unwrap_or(line));
        }
    }
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in text.chars() {
        match quote {
            None if letter.is_whitespace() => words.push(String::new()),
            None if ['"', '\''].contains(&letter) => quote = Some(letter),
            Some(open) if open == letter => quote = None,
            _ => words.iter_mut().last().unwrap().push(letter),
        }
    }
    let words = words.into_iter().filter(|word| !word.is_empty());
    words
        .take_while(|word| word.starts_with("--") && word.len() > 2)
        .collect()
}

fn command_line(line: &CommandLine) -> Vec<String> {
    match line {
        CommandLine::Shell(word) if word.text.is_empty() => Vec::new(),
        CommandLine::Shell(word) => vec![word.text.clone()],
        CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
    }
}

fn form(name: &str, flags: &[String], words: Vec<String>) -> String {
    let mut line = format!("({name}");
    if !flags.is_empty() {
        let flags: Vec<String> = flags.iter().map(|flag| quote(flag)).collect();
        line.push_str(&format!(" [{}]", flags.join(" ")));
    }
    for word in words {
        line.push(' ');
        line.push_str(&quote(&word));
    }
    line.push(')');
    line
}

/// As Go quotes.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            _ if letter.is_ascii_control() => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(letter)));
            }
            '\u{80}'..='\u{a0}' | '\u{200b}'..='\u{200f}' | '\u{feff}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
