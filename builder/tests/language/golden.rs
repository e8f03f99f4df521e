//! Cases of our own: `cases/NAME.Dockerfile` and beside it `NAME.expected`, what it is read as or why it is
//! refused. `MKIMG_BLESS=1` writes the latter anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use builder::dockerfile::{Dockerfile, ParseError, Source, parse};

use crate::config::{Late, config};
use crate::tree::tree;

/// The kinds of mistakes that the cases must show. Those of size are in `properties.rs`.
const KINDS: [&str; 33] = [
    "BadCheck",
    "BadEscape",
    "BadFrom",
    "BadHealthcheck",
    "BadJsonString",
    "BadRetries",
    "BadStageName",
    "BeforeFrom",
    "CopyFromUrl",
    "DirectiveTwice",
    "Duration",
    "EmptyName",
    "EmptyVolume",
    "Expand",
    "FlagTwice",
    "FlagWithoutValue",
    "HealthcheckNone",
    "HeredocAsDestination",
    "HeredocNotEnded",
    "MissingArgument",
    "MissingEquals",
    "NoFrom",
    "NoInstructions",
    "NotATrigger",
    "NotAString",
    "NotGranted",
    "NulByte",
    "ShellNeedsJson",
    "SyntaxVersion",
    "UnknownFlag",
    "UnknownInstruction",
    "UnknownSyntax",
    "VariableInFrom",
];

#[test]
fn cases_of_our_own() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language/cases");
    let bless = std::env::var_os("MKIMG_BLESS").is_some();
    let mut kinds = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "Dockerfile")
        {
            continue;
        }
        cases += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let outcome = outcome(&text, &mut kinds);
        let beside = path.with_extension("expected");
        if bless {
            std::fs::write(&beside, &outcome).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if outcome != expected {
            wrong.push(format!("{}:\n{outcome}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
    assert!(cases > 0);
    let missing: Vec<&str> = KINDS
        .into_iter()
        .filter(|kind| !kinds.contains(*kind))
        .collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

fn outcome(text: &str, kinds: &mut BTreeSet<String>) -> String {
    let mut refused = |error: &ParseError| {
        let kind = format!("{:?}", error.kind);
        let name = kind.split(['(', ' ']).next().unwrap_or_default();
        kinds.insert(name.to_owned());
        error_text(&Source::new(text), error)
    };
    let parsed = match parse(text) {
        Ok(parsed) => parsed,
        Err(error) => return refused(&error),
    };
    let mut said = accepted(&parsed);
    match config(parsed) {
        Ok(config) => {
            for (member, value) in config.as_object().unwrap() {
                let text = value.to_string();
                if text.len() > 2 {
                    writeln!(said, "{member}: {text}").unwrap();
                }
            }
        }
        Err(Late::Word(error)) => said.push_str(&refused(&error)),
        Err(Late::Signal(name)) => writeln!(said, "error: no signal {name:?}").unwrap(),
        Err(Late::Port(error)) => writeln!(said, "error: {error}").unwrap(),
        Err(Late::Plan(error)) => writeln!(said, "error in the plan: {error}").unwrap(),
    }
    said
}

fn accepted(dockerfile: &Dockerfile) -> String {
    let mut said = String::new();
    for line in tree(dockerfile) {
        writeln!(said, "{line}").unwrap();
    }
    for warning in &dockerfile.warnings {
        let at = dockerfile.source.position(warning.span.start);
        writeln!(said, "warning {}:{}: {}", at.line, at.column, warning.kind).unwrap();
    }
    said
}

fn error_text(source: &Source, error: &ParseError) -> String {
    let at = source.position(error.span.start);
    assert_eq!(at.line, error.span.line);
    let place = source.slice(error.span);
    let mut said = format!("error {}:{} {place:?}: {error}\n", at.line, at.column);
    if let Some(hint) = &error.hint {
        writeln!(said, "hint: {hint}").unwrap();
    }
    said
}
