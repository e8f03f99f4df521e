//! What a Dockerfile makes of an image's config, done as plainly as possible: it shows that expansion is
//! right in its place, not that the builder is.

use std::collections::{BTreeMap, BTreeSet};

use builder::dockerfile::expand::Asked;
use builder::dockerfile::{Command, CommandLine, Dockerfile, ParseError, port};
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
                ..configs[*below].clone()
            },
            Source::Scratch => Config::on_path("/", &[]),
            Source::Image { .. } => Config::on_path("", &["sh"]),
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
                self.cmd = arguments(line);
                self.own_cmd = true;
            }
            Command::Entrypoint(line) => {
                self.entrypoint = match line {
                    CommandLine::Shell(word) if word.text.is_empty() => Vec::new(),
                    line => arguments(line),
                };
                if !self.own_cmd {
                    self.cmd.clear();
                }
            }
            Command::Add(_) | Command::Arg(_) | Command::Copy(_) | Command::Run(_) => {}
        }
        Ok(())
    }

    fn render(&self) -> Value {
        let env: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let ports: BTreeMap<&String, Value> =
            self.ports.iter().map(|port| (port, json!({}))).collect();
        json!({
            "Env": env, "Labels": self.labels, "User": self.user, "WorkingDir": self.workdir,
            "ExposedPorts": ports, "Cmd": self.cmd, "Entrypoint": self.entrypoint,
        })
    }
}

fn arguments(line: CommandLine) -> Vec<String> {
    match line {
        CommandLine::Shell(word) => vec!["/bin/sh".into(), "-c".into(), word.text],
        CommandLine::Exec(words) => words.into_iter().map(|word| word.text).collect(),
    }
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
        "Entrypoint": member("Entrypoint", json!([])),
    })
}
