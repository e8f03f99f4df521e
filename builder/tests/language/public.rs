//! Docker's own cases: trees, what is refused, words, and Dockerfiles that people wrote.

use std::collections::BTreeMap;

use builder::dockerfile::ast::Word;
use builder::dockerfile::expand::Asked;
use builder::dockerfile::{Command, Instruction, Span, parse};
use serde_json::Value;

use crate::config::{config, expected};
use crate::corpora::records;
use crate::tree::tree;

type Counts = BTreeMap<&'static str, usize>;

fn count(counts: &mut Counts, group: &'static str) {
    *counts.entry(group).or_default() += 1;
}

/// These show how docker cuts a line into words, with instructions that it then refuses: flags that nobody
/// has, a `HEALTHCHECK` without a command.
const TREES_ALONE: [&str; 2] = ["flags", "health"];

#[test]
fn trees_of_docker() {
    let Some(cases) = records("dockerfile/ast.jsonl") else {
        return;
    };
    let mut counts = Counts::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let text = case["dockerfile"].as_str().unwrap();
        match case["kind"].as_str().unwrap() {
            "positive" => {
                let wanted: Vec<&str> = case["result"].as_str().unwrap().lines().collect();
                // docker's parser leaves it to a later step to ask for a FROM
                let bare = !wanted.iter().any(|line| line.starts_with("(from "));
                let parsed = parse(&if bare {
                    format!("FROM x\n{text}")
                } else {
                    text.into()
                });
                match parsed {
                    Ok(parsed) => {
                        assert_eq!(tree(&parsed)[usize::from(bare)..], wanted, "{name}");
                        count(&mut counts, "same tree");
                    }
                    Err(error) => {
                        assert!(TREES_ALONE.contains(&name), "{name}: {error}");
                        count(&mut counts, "refused by docker's next step");
                    }
                }
            }
            "negative" => {
                assert!(parse(text).is_err(), "{name}");
                count(&mut counts, "refused");
            }
            _ => {
                let parsed = parse(text).unwrap();
                let lines = |span: Span| {
                    let last = parsed.source.position(span.end - 1).line;
                    serde_json::json!([span.line, last])
                };
                let stage = &parsed.stages[0];
                let mut found = vec![lines(stage.span)];
                found.extend(stage.instructions.iter().map(|one| lines(one.span)));
                assert_eq!(Value::from(found), case["result"]["children"], "{name}");
                count(&mut counts, "same lines");
            }
        }
    }
    assert_eq!(
        counts,
        Counts::from([
            ("same tree", 31),
            ("same lines", 1),
            ("refused", 4),
            ("refused by docker's next step", 2),
        ])
    );
}

/// Where mkimg is stricter than docker, on purpose: docker asks for the right to run without a sandbox only
/// once it runs something.
const STRICTER: &[&str] = &["FROM scratch\nRUN --security=insecure x\n"];

#[test]
fn accepted_and_refused_as_by_docker() {
    let Some(cases) = records("dockerfile/accept_reject.jsonl") else {
        return;
    };
    let mut counts = Counts::new();
    for case in &cases {
        let text = case["dockerfile"].as_str().unwrap();
        let docker_takes_it = case["ok"].as_bool().unwrap();
        let parsed = match parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let stricter = STRICTER.contains(&text);
                assert!(!docker_takes_it || stricter, "{text}: {error}");
                count(
                    &mut counts,
                    if docker_takes_it {
                        "stricter"
                    } else {
                        "both refuse"
                    },
                );
                continue;
            }
        };
        let group = match (config(parsed), docker_takes_it) {
            (Ok(config), true) => {
                assert_eq!(config, expected(&case["config"]), "{text}");
                "same config"
            }
            (Err(_), false) => "both refuse, in the plan or when expanded",
            (Err(error), true) => {
                assert!(STRICTER.contains(&text), "{text}: {error:?}");
                "stricter"
            }
            (Ok(_), false) => {
                // a name that cannot be a reference is found when the image is looked for
                let error = case["error"].as_str().unwrap();
                assert!(
                    error.contains("invalid reference format"),
                    "{text}: {error}"
                );
                "both refuse, when the image is looked for"
            }
        };
        count(&mut counts, group);
    }
    assert_eq!(
        counts,
        Counts::from([
            ("same config", 137),
            ("both refuse", 77),
            ("both refuse, in the plan or when expanded", 23),
            ("both refuse, when the image is looked for", 5),
            ("stricter", 1),
        ])
    );
}

#[test]
fn words_of_docker() {
    let Some(cases) = records("dockerfile/words.jsonl") else {
        return;
    };
    let mut counts = Counts::new();
    for case in &cases {
        let lookup = |name: &str| case["env"][name].as_str().map(str::to_owned);
        let word = Word {
            text: case["input"].as_str().unwrap().to_owned(),
            span: Span::default(),
        };
        let mut asked = Asked::default();
        let expanded = if case["mode"] == "words" {
            // what EXPOSE does with its words
            let expose = Instruction {
                span: Span::default(),
                keyword: Span::default(),
                command: Command::Expose(vec![word]),
            };
            expose.expand('\\', &lookup).map(|(expose, _)| {
                let Command::Expose(words) = expose.command else {
                    panic!("EXPOSE stays what it is");
                };
                let texts: Vec<String> = words.into_iter().map(|word| word.text).collect();
                Value::from(texts)
            })
        } else {
            word.expand('\\', &lookup, &mut asked)
                .map(|word| Value::from(word.text))
        };
        match expanded {
            Ok(expanded) => {
                assert_eq!(expanded, case["expect"], "{case}");
                for (names, found) in [("matched", &asked.set), ("unmatched", &asked.unset)] {
                    if let Some(names) = case[names].as_array() {
                        assert!(names.iter().eq(found.iter()), "{case}: {found:?}");
                        count(&mut counts, "names asked for");
                    }
                }
                count(&mut counts, "expanded");
            }
            Err(error) => {
                assert_eq!(case["error"], true, "{case}: {error}");
                if let Some(part) = case["error_contains"].as_str() {
                    assert!(error.to_string().contains(part), "{case}: {error}");
                }
                count(&mut counts, "refused");
            }
        }
    }
    assert_eq!(
        counts,
        Counts::from([("expanded", 255), ("names asked for", 68), ("refused", 53),])
    );
}

#[test]
fn dockerfiles_that_people_wrote() {
    let Some(cases) = records("dockerfile/real.jsonl") else {
        return;
    };
    let mut counts = Counts::new();
    for case in &cases {
        let path = format!("{} {}", case["repo"], case["path"]);
        let oracle = &case["oracle"];
        let refused = ["parse_error", "instr_error"]
            .iter()
            .any(|error| oracle[error].is_string());
        let parsed = match parse(case["text"].as_str().unwrap()) {
            Ok(parsed) => parsed,
            Err(error) => {
                assert!(
                    refused || oracle["convert_error"].is_string(),
                    "{path}: {error}"
                );
                count(&mut counts, "both refuse");
                continue;
            }
        };
        assert!(!refused, "{path}");
        let wanted: Vec<&str> = oracle["ast"].as_str().unwrap().lines().collect();
        let tree = tree(&parsed);
        for (line, wanted) in tree.iter().zip(&wanted) {
            assert_eq!(line, wanted, "{path}");
        }
        assert_eq!(tree.len(), wanted.len(), "{path}");
        let stages = parsed
            .stages
            .iter()
            .zip(oracle["stages"].as_array().unwrap());
        for (stage, wanted) in stages {
            let name = stage.name.as_ref().map_or("", |name| &name.text);
            assert_eq!(wanted["base"], stage.base.text, "{path}");
            assert_eq!(wanted["name"], name, "{path}");
            assert_eq!(wanted["commands"], stage.instructions.len(), "{path}");
        }
        if oracle["panic"] == true {
            // the stub of docker's worker that made these records has no mounts that are written to
            count(&mut counts, "same tree; no config of docker's");
            continue;
        }
        match (config(parsed), oracle["config"].is_object()) {
            (Ok(config), true) => {
                assert_eq!(config, expected(&oracle["config"]), "{path}");
                count(&mut counts, "same tree and config");
            }
            (Err(_), false) => count(&mut counts, "same tree, and both refuse later"),
            (Err(error), true) => panic!("{path}: {error:?}"),
            (Ok(_), false) => {
                let error = oracle["convert_error"].as_str().unwrap();
                assert!(
                    error.contains("invalid reference format"),
                    "{path}: {error}"
                );
                count(&mut counts, "same tree; docker refuses the image's name");
            }
        }
    }
    assert_eq!(
        counts,
        Counts::from([
            ("same tree and config", 332),
            ("same tree, and both refuse later", 5),
            ("same tree; docker refuses the image's name", 1),
            ("same tree; no config of docker's", 4),
            ("both refuse", 15),
        ])
    );
}
