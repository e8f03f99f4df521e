//! The way through the stages: each instruction with what is defined there.

use std::collections::BTreeSet;

use image_format::config::ImageConfig;
use image_format::descriptor::Platform;

use super::once::Once;
use super::report::{Place, Report};
use super::scope::Scope;
use super::variables::Known;
use super::{
    closure, command_form, expose, ignored, key_value, platform, secrets, variables, workdir,
};
use crate::dockerfile::ast::{Add, ArgDeclaration};
use crate::dockerfile::expand::Asked;
use crate::dockerfile::{
    Command, Dockerfile, Instruction, ParseError, Span, Stage, Word, parse_trigger, port,
};
use crate::ignore::Ignore;
use crate::plan::{Globals, parse_platform};

/// What is around a Dockerfile.
pub struct Surroundings<'a> {
    /// The arguments outside of all stages.
    pub globals: &'a Globals,
    /// What the build is for.
    pub platform: &'a Platform,
    /// The ignore file of the context, where there is one.
    pub ignore: Option<&'a Ignore>,
    /// The config of an image, where it is at hand.
    pub image: &'a dyn Fn(&str) -> Option<ImageConfig>,
}

/// Checks the stages that are wanted, in the order of the file.
pub(super) fn check(
    report: &mut Report<'_>,
    surroundings: &Surroundings<'_>,
    wanted: &dyn Fn(usize) -> bool,
) -> Result<(), ParseError> {
    let dockerfile = report.dockerfile;
    let globals: BTreeSet<&str> = dockerfile.global_args.iter().flat_map(defined).collect();
    let mut scopes: Vec<Scope> = Vec::new();
    for (number, stage) in dockerfile.stages.iter().enumerate() {
        let mut walk = Walk {
            report,
            surroundings,
            known: Known {
                globals: globals.clone(),
                stage: stage.instructions.iter().flat_map(defined).collect(),
            },
            scope: Scope::scratch(),
        };
        // What is not wanted is nothing's base either.
        if wanted(number) {
            walk.begin(dockerfile, &scopes, number)?;
            walk.follow(stage)?;
        }
        scopes.push(walk.scope);
    }
    Ok(())
}

/// The names that an instruction defines.
fn defined(instruction: &Instruction) -> Vec<&str> {
    match &instruction.command {
        Command::Arg(declarations) => declarations
            .iter()
            .map(|one| one.name.text.as_str())
            .collect(),
        Command::Env(pairs) => pairs.iter().map(|pair| pair.name.text.as_str()).collect(),
        _ => Vec::new(),
    }
}

struct Walk<'r, 'a> {
    report: &'r mut Report<'a>,
    surroundings: &'r Surroundings<'r>,
    known: Known<'a>,
    scope: Scope,
}

impl<'a> Walk<'_, 'a> {
    /// Finds what the stage stands on.
    fn begin(
        &mut self,
        dockerfile: &Dockerfile,
        scopes: &[Scope],
        number: usize,
    ) -> Result<(), ParseError> {
        let stage = &dockerfile.stages[number];
        let globals = self.surroundings.globals;
        let base = globals.expand(&stage.base, dockerfile.escape)?;
        let earlier = &dockerfile.stages[..number];
        let below = earlier.iter().rposition(|stage| {
            let name = stage.name.as_ref();
            name.is_some_and(|name| name.text == base)
        });
        let mut triggers = Vec::new();
        self.scope = match below {
            Some(below) => Scope::on(&scopes[below]),
            None if base == "scratch" => Scope::scratch(),
            None => {
                let config = (self.surroundings.image)(&base);
                if let Some(config) = &config {
                    // Else the plan has put them among the instructions.
                    if stage.triggers.is_empty() {
                        triggers.clone_from(&config.config.on_build);
                    }
                    let wanted = match &stage.platform {
                        Some(word) => parse_platform(&globals.expand(word, dockerfile.escape)?),
                        None => None,
                    };
                    let wanted = wanted.as_ref().unwrap_or(self.surroundings.platform);
                    platform::check(
                        self.report,
                        stage.span,
                        stage.base.span,
                        &base,
                        config,
                        wanted,
                    );
                }
                Scope::image(config.as_ref())
            }
        };
        let place = self.report.file(stage.span);
        for trigger in triggers {
            self.instruction(&place, &parse_trigger(&trigger, stage.base.span)?)?;
        }
        Ok(())
    }

    fn follow(&mut self, stage: &'a Stage) -> Result<(), ParseError> {
        let mut once = Once::default();
        for instruction in &stage.instructions {
            let place = self.report.instruction(instruction.span);
            once.check(self.report, &place, instruction);
            command_form::check(self.report, &place, &self.scope, &instruction.command);
            self.instruction(&place, instruction)?;
        }
        Ok(())
    }

    fn instruction(&mut self, place: &Place, written: &Instruction) -> Result<(), ParseError> {
        if let Command::Arg(declarations) = &written.command {
            return self.arguments(place, declarations);
        }
        variables::check(
            self.report,
            place,
            &self.scope,
            &self.known,
            &written.command,
        );
        let escape = self.report.dockerfile.escape;
        let (instruction, _) = written.expand(escape, &|name| self.scope.lookup(name))?;
        let name = instruction.command.name();
        match (&instruction.command, &written.command) {
            (Command::Env(pairs), Command::Env(written)) => {
                key_value::check(self.report, place, name, written);
                for pair in pairs {
                    secrets::check(self.report, place, name, &pair.name.text, &pair.name);
                    self.scope.define(&pair.name.text, &pair.value.text);
                }
            }
            (Command::Label(_), Command::Label(written)) => {
                key_value::check(self.report, place, name, written);
            }
            (Command::Workdir(path), Command::Workdir(written)) => {
                workdir::check(self.report, place, &mut self.scope, written, &path.text);
            }
            (Command::Shell(_), _) => self.scope.shell = true,
            (Command::Expose(words), _) => {
                for word in words {
                    expose::check(self.report, place, word);
                    port::exposed(&word.text)
                        .map_err(|error| ParseError::new(error.into(), word.span))?;
                }
            }
            (Command::Copy(copy) | Command::Add(Add { copy, .. }), _) => {
                closure::check(self.report, place, copy);
                if let Some(from) = &copy.from {
                    self.image_from(from, written.span);
                }
                if let Some(ignore) = self.surroundings.ignore {
                    ignored::check(self.report, place, name, copy, ignore);
                }
            }
            (Command::Run(run), _) => {
                let options = run.mounts.iter().flat_map(|mount| &mount.options);
                for option in options.filter(|option| option.name.text == "from") {
                    if let Some(from) = &option.value {
                        self.image_from(from, written.span);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An image that is copied from, or mounted, should be for the platform too.
    fn image_from(&mut self, from: &Word, span: Span) {
        let stages = &self.report.dockerfile.stages;
        let is_stage = from.text.parse::<usize>().is_ok()
            || stages.iter().any(|stage| stage.is_named(&from.text));
        if is_stage {
            return;
        }
        if let Some(image) = (self.surroundings.image)(&from.text) {
            let wanted = self.surroundings.platform;
            platform::check(self.report, span, from.span, &from.text, &image, wanted);
        }
    }

    /// Each default sees the arguments before it.
    fn arguments(
        &mut self,
        place: &Place,
        declarations: &[ArgDeclaration],
    ) -> Result<(), ParseError> {
        let globals = self.surroundings.globals;
        let escape = self.report.dockerfile.escape;
        for ArgDeclaration { name, default } in declarations {
            secrets::check(self.report, place, "ARG", &name.text, name);
            let value = match (globals.given(&name.text), default) {
                (Some(given), _) => Some(given.to_owned()),
                (None, Some(default)) => {
                    variables::check_word(self.report, place, &self.scope, &self.known, default);
                    let lookup = |name: &str| self.scope.lookup(name);
                    Some(default.expand(escape, &lookup, &mut Asked::default())?.text)
                }
                (None, None) => globals.get(&name.text).map(ToOwned::to_owned),
            };
            self.scope.declare(&name.text, value);
        }
        Ok(())
    }
}
