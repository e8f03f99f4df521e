//! Configs and histories against what BuildKit made of public Dockerfiles. Commands and copies are
//! not done here: they leave no trace in a config but their line in the history.

use std::collections::BTreeMap;

use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use serde_json::{Value, json};

use crate::dockerfile::ast::Add;
use crate::dockerfile::{Command, ParseErrorKind, parse};
use crate::execute::layers::copy_created_by;
use crate::plan::{BuildPlan, Globals, Source};
use crate::request::{DEFAULT_EPOCH, RunNetwork};
use crate::stage::StageState;
use crate::step::config;
use crate::step::run::PlannedRun;

/// Why a case is none.
#[derive(Debug)]
enum Refused {
    /// The language is not there yet, or it is refused with reason.
    Language,
    /// Anything else.
    Wrong(String),
}

fn follow(
    text: &str,
    args: BTreeMap<String, String>,
    target: Option<&str>,
    bases: &dyn Fn(&str) -> ImageConfig,
) -> Result<ImageConfig, Refused> {
    let dockerfile = parse(text).map_err(|error| match error.kind {
        ParseErrorKind::NotSupported { .. } => Refused::Language,
        kind => Refused::Wrong(kind.to_string()),
    })?;
    let wrong = |error: String| Refused::Wrong(error);
    let escape = dockerfile.escape;
    let globals = Globals::new(&Platform::host(), args);
    let plan = BuildPlan::new(dockerfile, globals, target).map_err(|e| wrong(e.to_string()))?;
    let mut built: Vec<StageState> = Vec::new();
    for (place, planned) in plan.stages.iter().enumerate() {
        let mut state = match &planned.base {
            Source::Scratch => StageState::scratch(&Platform::host()),
            Source::Stage(other) => StageState::stage(&built[*other]),
            Source::Image { name, .. } => StageState::on(bases(name), Vec::new()),
            Source::Context { name } => panic!("no context is called {name}"),
        };
        for instruction in &plan.stage(place).instructions {
            let lookup = |name: &str| state.lookup(name);
            let expanded = match instruction.command {
                Command::Arg(_) => instruction.clone(),
                _ => {
                    instruction
                        .expand(escape, &lookup)
                        .map_err(|e| wrong(e.to_string()))?
                        .0
                }
            };
            let state = &mut state;
            let created_by = match &expanded.command {
                Command::Run(run) => {
                    PlannedRun::new(state, run, &plan.globals, DEFAULT_EPOCH, RunNetwork::Host)
                        .created_by(state)
                }
                Command::Copy(copy) | Command::Add(Add { copy, .. }) => {
                    copy_created_by(expanded.command.name(), copy)
                }
                Command::Workdir(dir) => {
                    let dir = config::join(state.workdir(), &dir.text);
                    config::workdir(state, dir)
                }
                command => match config::apply(state, command, &plan.globals, escape) {
                    Ok(Some(created_by)) => created_by,
                    Ok(None) => continue,
                    Err(error) => match error.kind {
                        ParseErrorKind::Port(_) => return Err(Refused::Language),
                        kind => return Err(wrong(kind.to_string())),
                    },
                },
            };
            state.push(created_by, "", None);
        }
        built.push(state);
    }
    Ok(built.pop().unwrap().config)
}

fn stub(cmd: &str) -> ImageConfig {
    let mut config = ImageConfig::scratch(&Platform::host());
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    config.config.env = vec![path.to_owned()];
    config.config.cmd = Some(vec![cmd.to_owned()]);
    config
}

/// Members and order of a set do not matter, so a port or label may be in any place.
fn config_of(config: &ImageConfig) -> Value {
    serde_json::to_value(&config.config).unwrap()
}

fn history_of(config: &ImageConfig) -> Value {
    config
        .history
        .iter()
        .map(|one| json!(one.created_by))
        .collect()
}

fn cases(name: &str) -> Option<(String, Vec<Value>)> {
    let dir = std::env::var("MKIMG_CORPORA").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora").to_owned()
    });
    let Ok(text) = std::fs::read_to_string(format!("{dir}/{name}")) else {
        println!("no corpora at {dir}: the public cases were not run");
        return None;
    };
    let cases = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some((dir, cases.collect()))
}

#[test]
fn configs_of_metadata_are_buildkits() {
    let Some((_, cases)) = cases("dockerfile/accept_reject.jsonl") else {
        return;
    };
    let mut same = 0;
    for case in cases.iter().filter(|case| case["kind"] == "metadata-only") {
        let text = case["dockerfile"].as_str().unwrap();
        if case["ok"] == false || case["config"].is_null() {
            continue;
        }
        match follow(text, BTreeMap::new(), None, &|_| stub("sh")) {
            Ok(config) => {
                assert_eq!(config_of(&config), case["config"], "{text}");
                same += 1;
            }
            Err(Refused::Language) => {}
            Err(Refused::Wrong(error)) => panic!("{text}: {error}"),
        }
    }
    assert_eq!(same, 100);
}

#[test]
fn configs_and_histories_of_real_dockerfiles_are_buildkits() {
    let Some((_, cases)) = cases("dockerfile/real.jsonl") else {
        return;
    };
    let mut same = 0;
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let oracle = &case["oracle"];
        if oracle["config"].is_null() {
            continue;
        }
        match follow(text, BTreeMap::new(), None, &|_| stub("sh")) {
            Ok(config) => {
                assert_eq!(config_of(&config), oracle["config"], "{text}");
                let history = oracle["history"].as_array().unwrap();
                let lines: Value = history
                    .iter()
                    .map(|one| one["created_by"].clone())
                    .collect();
                assert_eq!(history_of(&config), lines, "{text}");
                same += 1;
            }
            Err(Refused::Language) => {}
            Err(Refused::Wrong(error)) => panic!("{text}: {error}"),
        }
    }
    assert_eq!(same, 332);
}

#[test]
fn configs_and_histories_of_builds_are_buildkits() {
    let mut same = 0;
    for suite in ["builds-kaniko", "builds-buildah"] {
        let Some((dir, cases)) = cases(&format!("{suite}/cases.jsonl")) else {
            return;
        };
        for case in &cases {
            let (Some(text), Some(golden)) = (
                case["dockerfile_text_offline"].as_str(),
                case["golden"].as_str(),
            ) else {
                continue;
            };
            let golden = std::fs::read_to_string(format!("{dir}/{suite}/{golden}")).unwrap();
            let golden: Value = serde_json::from_str(&golden).unwrap();
            if golden["ok"] != true {
                continue;
            }
            let cmd = if golden["base"] == "debian" {
                "bash"
            } else {
                "sh"
            };
            match follow(text, arguments(case), target(case), &|_| stub(cmd)) {
                Ok(config) => {
                    assert_eq!(config_of(&config), golden["config"], "{text}");
                    let history = golden["history"].as_array().unwrap();
                    let own = history.iter().filter(|one| one["comment"].is_string());
                    let lines: Value = own.map(|one| one["created_by"].clone()).collect();
                    assert_eq!(history_of(&config), lines, "{text}");
                    same += 1;
                }
                Err(Refused::Language) => {}
                Err(Refused::Wrong(error)) => panic!("{text}: {error}"),
            }
        }
    }
    assert_eq!(same, 122);
}

/// `--build-arg`s, given as a list of `name=value`, where a bare name is the environment's, or as
/// an object.
fn arguments(case: &Value) -> BTreeMap<String, String> {
    let args = &case["build_args"];
    if let Some(object) = args.as_object() {
        let pairs = object.iter();
        return pairs
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
    }
    let list = |name: &str| case[name].as_array().cloned().unwrap_or_default();
    let env: BTreeMap<String, String> = list("env").iter().filter_map(pair).collect();
    let args = list("build_args");
    args.iter()
        .filter_map(|arg| {
            let bare = arg.as_str().unwrap();
            pair(arg).or_else(|| Some((bare.to_owned(), env.get(bare)?.clone())))
        })
        .collect()
}

fn pair(text: &Value) -> Option<(String, String)> {
    let (name, value) = text.as_str()?.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

fn target(case: &Value) -> Option<&str> {
    let flags = case["flags"].as_array()?;
    flags
        .iter()
        .find_map(|flag| flag.as_str()?.strip_prefix("--target="))
}
