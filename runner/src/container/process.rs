//! What a container runs: the image's config and what the user says instead, joined as docker does.

use std::path::PathBuf;

use image_format::config::ContainerConfig;

use super::environment::{self, Variable};

/// What the user says about the process.
#[derive(Debug, Clone, Default)]
pub struct ProcessOptions {
    /// In place of the image's entrypoint; empty for none at all.
    pub entrypoint: Option<String>,
    /// In place of the image's command, where not empty.
    pub command: Vec<String>,
    /// Over the image's variables.
    pub environment: Vec<Variable>,
    /// In place of the image's working directory.
    pub working_dir: Option<String>,
    /// In place of the image's user.
    pub user: Option<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
}

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: PathBuf,
    pub user: String,
}

/// Why there is nothing to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessError {
    /// Neither the user nor the image says what.
    #[error("no command: the image has none, and none is given")]
    NoCommand,
    /// A working directory that is not absolute.
    #[error("the working directory {0:?} is not absolute")]
    RelativeWorkingDir(String),
}

impl Process {
    pub fn merge(
        config: &ContainerConfig,
        options: &ProcessOptions,
        hostname: &str,
    ) -> Result<Self, ProcessError> {
        let args = args(config, options);
        if args.is_empty() {
            return Err(ProcessError::NoCommand);
        }
        let cwd = match &options.working_dir {
            Some(dir) if !dir.starts_with('/') => {
                return Err(ProcessError::RelativeWorkingDir(dir.clone()));
            }
            Some(dir) => dir.into(),
            // An image's relative one starts from the root; an empty one is it.
            None => PathBuf::from("/").join(&config.working_dir),
        };
        let own = |name: &str| std::env::var(name).ok();
        Ok(Self {
            args,
            env: environment::merge(
                &config.env,
                &options.environment,
                hostname,
                options.terminal,
                own,
            ),
            cwd,
            user: options.user.clone().unwrap_or_else(|| config.user.clone()),
        })
    }
}

/// The image's command belongs to the image's entrypoint: it goes with another.
fn args(config: &ContainerConfig, options: &ProcessOptions) -> Vec<String> {
    let (mut args, image_command) = match &options.entrypoint {
        Some(program) if program.is_empty() => (Vec::new(), None),
        Some(program) => (vec![program.clone()], None),
        None => (
            config.entrypoint.clone().unwrap_or_default(),
            config.cmd.as_ref(),
        ),
    };
    match image_command {
        Some(command) if options.command.is_empty() => args.extend(command.iter().cloned()),
        _ => args.extend(options.command.iter().cloned()),
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(Into::into).collect()
    }

    /// Image's entrypoint and command, the user's, and what runs.
    #[test]
    fn entrypoint_and_command_are_joined_as_docker_does() {
        let table = [
            ("", "sh", None, "", "sh"),
            ("", "sh", None, "ls -l", "ls -l"),
            ("top -b", "-n 1", None, "", "top -b -n 1"),
            ("top -b", "-n 1", None, "-d 2", "top -b -d 2"),
            ("top", "-b", Some("ls"), "", "ls"),
            ("top", "-b", Some("ls"), "-l", "ls -l"),
            ("top", "-b", Some(""), "ls -l", "ls -l"),
        ];
        for (entrypoint, command, own, args, expected) in table {
            let config = ContainerConfig {
                entrypoint: Some(words(entrypoint)),
                cmd: Some(words(command)),
                ..Default::default()
            };
            let options = ProcessOptions {
                entrypoint: own.map(Into::into),
                command: words(args),
                ..Default::default()
            };
            let process = Process::merge(&config, &options, "box").unwrap();
            assert_eq!(process.args.join(" "), expected);
        }
    }

    #[test]
    fn nothing_to_run_and_nowhere_to_run_it_are_errors() {
        let mut config = ContainerConfig::default();
        let mut options = ProcessOptions::default();
        let merge = |config: &_, options: &_| Process::merge(config, options, "box");
        assert_eq!(merge(&config, &options), Err(ProcessError::NoCommand));
        config.cmd = Some(words("sh"));
        options.entrypoint = Some(String::new());
        assert_eq!(merge(&config, &options), Err(ProcessError::NoCommand));
        options.entrypoint = None;
        assert_eq!(merge(&config, &options).unwrap().cwd, PathBuf::from("/"));
        options.working_dir = Some("srv".into());
        assert!(merge(&config, &options).is_err());
    }
}
