//! What a Dockerfile makes of an image's config, done as plainly as possible: it shows that expansion is
//! right in its place, not that the builder is.

use std::collections::{BTreeMap, BTreeSet};

use builder::dockerfile::ast::Healthcheck;
use builder::dockerfile::expand::Asked;
use builder::dockerfile::{
    Command, CommandLine, Dockerfile, ParseError, Word, duration, port, signal,
};
use builder::plan::{BuildPlan, Globals, PlanError, Source};
use image_format::descriptor::Platform;
use serde_json::{Value, json};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A mistake that shows in the plan or in expansion only.
#[derive(Debug)]
pub enum Late {
    Plan(PlanError),
    Word(ParseError),
    Port(port::PortError),
    Signal(String),
}

#[derive(Clone, Default)]
struct Config {
    env: Vec<(String, String)>,
    labels: BTreeMap<String, String>,
    user: String,
    workdir: String,
    ports: BTreeSet<String>,
    cmd: Vec<String>,
    entrypoint: Vec<String>,
    own_cmd: bool,
    volumes: BTreeSet<String>,
    stop_signal: String,
    shell: Vec<String>,
    triggers: Vec<String>,
    healthcheck: Value,
    /// `ENV` and `ARG`, the later one winning.
    variables: BTreeMap<String, String>,
}

/// The config, in the members that this part of the language can set.
pub fn config(dockerfile: Dockerfile) -> Result<Value, Late> {
    let escape = dockerfile.escape;
    let platform = Platform {
        os: "linux".into(),
        architecture: "amd64".into(),
        ..Platform::host()
    };
    let globals = Globals::new(&platform, BTreeMap::new());
    let plan = BuildPlan::new(dockerfile, globals, None).map_err(Late::Plan)?;
    let mut configs: Vec<Config> = Vec::new();
    for (place, planned) in plan.stages.iter().enumerate() {
        let mut config = match &planned.base {
            Source::Stage(below) => Config {
                own_cmd: false,
                triggers: Vec::new(),
                ..configs[*below].clone()
            },
            Source::Scratch => Config::on_path("/", &[]),
            Source::Image { .. } => Config::on_path("", &["sh"]),
            Source::Context { name } => panic!("no context is called {name}"),
        };
        for instruction in &plan.stage(place).instructions {
            if let Command::Arg(declarations) = &instruction.command {
                for declaration in declarations {
                    let lookup = |name: &str| config.variables.get(name).cloned();
                    let value = match &declaration.default {
                        Some(default) => default
                            .expand(escape, &lookup, &mut Asked::default())
                            .map(|word| Some(word.text))
                            .map_err(Late::Word)?,
                        None => plan.globals.get(&declaration.name.text).map(str::to_owned),
                    };
                    if let Some(value) = value {
                        config
                            .variables
                            .insert(declaration.name.text.clone(), value);
                    }
                }
                continue;
            }
            let lookup = |name: &str| config.variables.get(name).cloned();
            let (expanded, _) = instruction.expand(escape, &lookup).map_err(Late::Word)?;
            config.apply(expanded.command)?;
        }
        configs.push(config);
    }
    Ok(configs[plan.target()].render())
}

impl Config {
    fn on_path(workdir: &str, cmd: &[&str]) -> Self {
        let mut config = Config {
            workdir: workdir.to_owned(),
            healthcheck: json!({}),
            cmd: cmd.iter().map(|word| (*word).to_owned()).collect(),
            ..Config::default()
        };
        config.set_env("PATH".into(), PATH.into());
        config
    }

    fn set_env(&mut self, name: String, value: String) {
        self.variables.insert(name.clone(), value.clone());
        match self.env.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.env.push((name, value)),
        }
    }

    fn apply(&mut self, command: Command) -> Result<(), Late> {
        match command {
            Command::Env(pairs) => {
                for pair in pairs {
                    self.set_env(pair.name.text, pair.value.text);
                }
            }
            Command::Label(pairs) => {
                let pairs = pairs.into_iter();
                self.labels
                    .extend(pairs.map(|pair| (pair.name.text, pair.value.text)));
            }
            Command::User(word) => self.user = word.text,
            Command::Maintainer(_) => {}
            Command::Onbuild(trigger) => self.triggers.push(trigger.text),
            Command::Shell(words) => self.shell = texts(words),
            Command::Healthcheck(check) => self.healthcheck = healthcheck(check),
            Command::StopSignal(word) => {
                if !signal::is_signal(&word.text) {
                    return Err(Late::Signal(word.text));
                }
                self.stop_signal = word.text;
            }
            Command::Volume(words) => self.volumes.extend(texts(words)),
            Command::Workdir(word) => {
                // docker takes an absolute one as it is
                self.workdir = match word.text.starts_with('/') {
                    true => word.text,
                    false => clean(&format!("{}/{}", self.workdir, word.text)),
                };
            }
            Command::Expose(words) => {
                for word in words {
                    self.ports
                        .extend(port::exposed(&word.text).map_err(Late::Port)?);
                }
            }
            Command::Cmd(line) => {
                self.cmd = self.arguments(line);
                self.own_cmd = true;
            }
            Command::Entrypoint(line) => {
                self.entrypoint = match line {
                    CommandLine::Shell(word) if word.text.is_empty() => Vec::new(),
                    line => self.arguments(line),
                };
                if !self.own_cmd {
                    self.cmd.clear();
                }
            }
            Command::Add(_) | Command::Arg(_) | Command::Copy(_) | Command::Run(_) => {}
        }
        Ok(())
    }

    fn arguments(&self, line: CommandLine) -> Vec<String> {
        match line {
            CommandLine::Shell(word) if self.shell.is_empty() => {
                vec!["/bin/sh".into(), "-c".into(), word.text]
            }
            CommandLine::Shell(word) => [self.shell.clone(), vec![word.text]].concat(),
            CommandLine::Exec(words) => texts(words),
        }
    }

    fn render(&self) -> Value {
        let env: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let set = |names: &BTreeSet<String>| -> BTreeMap<String, Value> {
            names.iter().map(|name| (name.clone(), json!({}))).collect()
        };
        json!({
            "Env": env, "Labels": self.labels, "User": self.user, "WorkingDir": self.workdir,
            "ExposedPorts": set(&self.ports), "Cmd": self.cmd, "Entrypoint": self.entrypoint,
            "Volumes": set(&self.volumes), "StopSignal": self.stop_signal, "Shell": self.shell,
            "OnBuild": self.triggers, "Healthcheck": self.healthcheck,
        })
    }
}

fn texts(words: Vec<Word>) -> Vec<String> {
    words.into_iter().map(|word| word.text).collect()
}

/// As docker keeps it, what is zero left out.
fn healthcheck(check: Healthcheck) -> Value {
    let test = match check.test {
        None => vec!["NONE".to_owned()],
        Some(CommandLine::Shell(text)) => vec!["CMD-SHELL".into(), text.text],
        Some(CommandLine::Exec(words)) => [vec!["CMD".into()], texts(words)].concat(),
    };
    let mut members = serde_json::Map::from_iter([("Test".to_owned(), json!(test))]);
    let mut set = |name: &str, word: Option<Word>, read: fn(&str) -> i64| {
        let number = word.map_or(0, |word| read(&word.text));
        if number != 0 {
            members.insert(name.to_owned(), json!(number));
        }
    };
    let duration = |text: &str| duration::interval(text).unwrap();
    set("Interval", check.interval, duration);
    set("Timeout", check.timeout, duration);
    set("StartPeriod", check.start_period, duration);
    set("StartInterval", check.start_interval, duration);
    set("Retries", check.retries, |text| text.parse().unwrap());
    Value::Object(members)
}

/// An absolute path without `.`, `..` and needless slashes.
fn clean(path: &str) -> String {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            _ => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// The same members of a config that docker wrote, with what is absent empty.
pub fn expected(config: &Value) -> Value {
    let member = |name: &str, empty: Value| match &config[name] {
        Value::Null => empty,
        value => value.clone(),
    };
    json!({
        "Env": member("Env", json!([])), "Labels": member("Labels", json!({})),
        "User": member("User", json!("")), "WorkingDir": member("WorkingDir", json!("")),
        "ExposedPorts": member("ExposedPorts", json!({})), "Cmd": member("Cmd", json!([])),
        "Entrypoint": member("Entrypoint", json!([])), "Volumes": member("Volumes", json!({})),
        "StopSignal": member("StopSignal", json!("")), "Shell": member("Shell", json!([])),
        "OnBuild": member("OnBuild", json!([])), "Healthcheck": member("Healthcheck", json!({})),
    })
}
