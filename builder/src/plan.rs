//! From the Dockerfile to what is to be done: which stages, on what, in which order.
//!
//! Pure: nothing is read but the Dockerfile and the arguments. Stages that the target does not
//! need are not in the plan.

mod error;
mod globals;
mod platform;
#[cfg(test)]
mod tests;
mod text;
mod trigger;

use std::collections::BTreeMap;

use image_format::descriptor::Platform;
use image_format::nearest::nearest;

use crate::dockerfile::expand::Asked;
use crate::dockerfile::{Command, Dockerfile, Span, Stage, Word};
use crate::progress::{StepId, StepInfo, StepKind};
use crate::request::{NamedContext, NamedContexts, context_name};
use trigger::follow_stages;

pub use error::PlanError;
pub use globals::Globals;
pub(crate) use globals::name_of;
pub use platform::parse as parse_platform;
pub(crate) use trigger::follow as follow_triggers;

/// What is to be done for one image.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The arguments that stages may ask for.
    pub globals: Globals,
    /// The stages that are needed, in the order of the file: each needs earlier ones only.
    pub stages: Vec<PlannedStage>,
    /// All steps, stage by stage.
    pub steps: Vec<StepInfo>,
}

/// A stage that is needed.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Its number in the Dockerfile, from 0.
    pub number: usize,
    /// What it stands on.
    pub base: Source,
    /// The platform of the image it stands on, where `FROM` says which.
    pub platform: Option<Platform>,
    /// What `COPY --from` copies from and `RUN --mount=from=` mounts, by the number of the
    /// instruction in the stage, and of the flag in the instruction: 0 for a `COPY`.
    pub sources: BTreeMap<(usize, usize), Source>,
    /// Its step for `FROM`; those of its instructions follow.
    pub first_step: StepId,
}

/// A root file system that a stage needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The empty one.
    Scratch,
    /// That of an earlier stage, by its place in [`BuildPlan::stages`].
    Stage(usize),
    /// That of an image: of a named context, or of the store.
    Image {
        /// Its name.
        name: String,
        /// Where it is written.
        span: Span,
    },
    /// The files of a named context that is no image.
    Context {
        /// Its name, as [`context_name`] gives it.
        name: String,
    },
}

/// A stage of the file with its sources found, needed or not.
struct Found {
    base: FileSource,
    platform: Option<Platform>,
    sources: BTreeMap<(usize, usize), FileSource>,
}

/// As [`Source`], with stages by their number in the file.
enum FileSource {
    Scratch,
    Stage(usize),
    /// A stage that comes later, which is a mistake only where this one is needed.
    Later {
        number: usize,
        from: Word,
    },
    Image {
        name: String,
        span: Span,
    },
}

impl FileSource {
    fn stage(&self) -> Option<usize> {
        match self {
            Self::Stage(number) | Self::Later { number, .. } => Some(*number),
            Self::Scratch | Self::Image { .. } => None,
        }
    }
}

impl BuildPlan {
    /// Plans the build of `target`, a stage's name or number; of the last stage where absent.
    ///
    /// # Errors
    /// When a base's name does not expand, or a stage is asked for that is not there.
    pub fn new(
        dockerfile: Dockerfile,
        globals: Globals,
        target: Option<&str>,
    ) -> Result<Self, PlanError> {
        Self::with_contexts(dockerfile, globals, target, &BTreeMap::new())
    }

    /// As [`BuildPlan::new`], where `contexts` come before stages and images of their names. A stage of
    /// such a name is what the context holds, whatever the Dockerfile says of it.
    ///
    /// # Errors
    /// As [`BuildPlan::new`].
    pub fn with_contexts(
        mut dockerfile: Dockerfile,
        globals: Globals,
        target: Option<&str>,
        contexts: &NamedContexts,
    ) -> Result<Self, PlanError> {
        for stage in &mut dockerfile.stages {
            take_place(stage, contexts);
        }
        let globals = globals.declare(&dockerfile, target)?;
        let bases = find_bases(&dockerfile, &globals)?;
        follow_stages(&mut dockerfile, &bases)?;
        let found = find_sources(&dockerfile, bases)?;
        let target = target_number(&dockerfile, target)?;
        let needed = needed_stages(&found, target);
        refuse_later(&dockerfile, &found, &needed)?;
        let mut steps = Vec::new();
        let mut stages = Vec::new();
        for (number, found) in found.into_iter().enumerate() {
            if !needed.contains_key(&number) {
                continue;
            }
            check_mounts(&dockerfile.stages[number], dockerfile.escape)?;
            let place = |source| match source {
                FileSource::Scratch => Source::Scratch,
                FileSource::Stage(number) | FileSource::Later { number, .. } => {
                    Source::Stage(needed[&number])
                }
                FileSource::Image { name, span } => match named_context(contexts, &name) {
                    Some((name, NamedContext::Files(_))) => Source::Context { name },
                    _ => Source::Image { name, span },
                },
            };
            stages.push(PlannedStage {
                number,
                base: place(found.base),
                platform: found.platform,
                sources: found
                    .sources
                    .into_iter()
                    .map(|(at, source)| (at, place(source)))
                    .collect(),
                first_step: steps.len(),
            });
            add_steps(&dockerfile, number, needed.len() > 1, &mut steps);
        }
        Ok(Self {
            dockerfile,
            globals,
            stages,
            steps,
        })
    }

    /// The stage whose image is wanted: the last one.
    #[must_use]
    pub fn target(&self) -> usize {
        self.stages.len() - 1
    }

    /// What a stage says.
    #[must_use]
    pub fn stage(&self, place: usize) -> &Stage {
        &self.dockerfile.stages[self.stages[place].number]
    }

    /// The images that must be there, with the places that name them; those of a certain platform are not
    /// among them: see [`PlannedStage::platform`].
    pub fn images(&self) -> impl Iterator<Item = (&str, Span)> {
        self.stages.iter().flat_map(|stage| {
            let base = stage.platform.is_none().then_some(&stage.base);
            let all = base.into_iter().chain(stage.sources.values());
            all.filter_map(|source| match source {
                Source::Image { name, span } => Some((name.as_str(), *span)),
                Source::Scratch | Source::Stage(_) | Source::Context { .. } => None,
            })
        })
    }

    /// The named contexts whose files are needed.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(|(_, source)| match source {
            Source::Context { name } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The number of a stage of the Dockerfile by its name or number from 0, or as `stage-0` where it
    /// has no name.
    ///
    /// # Errors
    /// When there is none.
    pub fn stage_number(&self, name: &str) -> Result<usize, PlanError> {
        let stages = &self.dockerfile.stages;
        let unnamed = name.strip_prefix("stage-");
        let unnamed = unnamed.and_then(|number| number.parse::<usize>().ok());
        let is_unnamed = |at: &usize| stages.get(*at).is_some_and(|stage| stage.name.is_none());
        match unnamed.filter(is_unnamed) {
            Some(number) => Ok(number),
            None => target_number(&self.dockerfile, Some(name)),
        }
    }

    /// Whether a stage's layers are the image's: it is the target, or what that stands on.
    pub(crate) fn is_in_image(&self, place: usize) -> bool {
        let target = self.stages.len().checked_sub(1);
        let below = |at: &usize| match self.stages[*at].base {
            Source::Stage(other) => Some(other),
            _ => None,
        };
        std::iter::successors(target, below).any(|at| at == place)
    }

    /// The stages that must be built before this one.
    pub fn needs(&self, place: usize) -> impl Iterator<Item = usize> {
        self.sources()
            .filter_map(move |(stage, source)| match source {
                Source::Stage(other) if stage == place => Some(*other),
                _ => None,
            })
    }

    fn sources(&self) -> impl Iterator<Item = (usize, &Source)> {
        self.stages.iter().enumerate().flat_map(|(place, stage)| {
            let all = std::iter::once(&stage.base).chain(stage.sources.values());
            all.map(move |source| (place, source))
        })
    }
}

/// A context of this name, which may be written in full, with the name it goes by.
pub(crate) fn named_context<'a, T>(
    contexts: &'a BTreeMap<String, T>,
    name: &str,
) -> Option<(String, &'a T)> {
    if contexts.is_empty() {
        return None;
    }
    let name = context_name(name).ok()?;
    let context = contexts.get(&name)?;
    Some((name, context))
}

/// Makes a stage that has a context's name nothing but that context.
fn take_place(stage: &mut Stage, contexts: &NamedContexts) {
    let own = stage.name.as_ref();
    if let Some((name, _)) = own.and_then(|own| named_context(contexts, &own.text)) {
        stage.base.text = name;
        stage.platform = None;
        stage.instructions.clear();
    }
}

type Base = (FileSource, Option<Platform>);

fn find_bases(dockerfile: &Dockerfile, globals: &Globals) -> Result<Vec<Base>, PlanError> {
    let stages = dockerfile.stages.iter().enumerate();
    let bases = stages.map(|(number, stage)| {
        let base = find_base(dockerfile, globals, number, &stage.base)?;
        let platform = stage.platform.as_ref();
        let platform = platform.map(|word| platform::of_from(word, globals, dockerfile.escape));
        Ok((base, platform.transpose()?))
    });
    bases.collect()
}

fn find_sources(dockerfile: &Dockerfile, bases: Vec<Base>) -> Result<Vec<Found>, PlanError> {
    let mut all = Vec::new();
    for (number, (base, platform)) in bases.into_iter().enumerate() {
        let stage = &dockerfile.stages[number];
        let mut sources = BTreeMap::new();
        for (at, instruction) in stage.instructions.iter().enumerate() {
            let found = find_froms(dockerfile, number, &instruction.command);
            let found = found.map_err(|error| trigger::wrap(stage, at, error))?;
            let found = found.into_iter();
            sources.extend(found.map(|(flag, source)| ((at, flag), source)));
        }
        all.push(Found {
            base,
            platform,
            sources,
        });
    }
    Ok(all)
}

/// What an instruction copies from or mounts, by the number of the flag.
fn find_froms(
    dockerfile: &Dockerfile,
    number: usize,
    command: &Command,
) -> Result<Vec<(usize, FileSource)>, PlanError> {
    match command {
        Command::Copy(copy) => {
            let from = copy.from.iter();
            from.map(|from| Ok((0, find_from(dockerfile, number, from)?)))
                .collect()
        }
        Command::Run(run) => {
            let mounts = run.mounts.iter().enumerate();
            mounts
                .filter_map(|(flag, mount)| Some((flag, mount.from()?)))
                .map(|(flag, from)| Ok((flag, find_named(dockerfile, number, from))))
                .collect()
        }
        _ => Ok(Vec::new()),
    }
}

fn find_base(
    dockerfile: &Dockerfile,
    globals: &Globals,
    number: usize,
    base: &Word,
) -> Result<FileSource, PlanError> {
    let name = globals.expand(base, dockerfile.escape)?;
    if name.is_empty() {
        return Err(PlanError::EmptyBase {
            written: base.text.clone(),
            span: base.span,
        });
    }
    // Only stages above: the same name below is an image's to docker.
    let above = &dockerfile.stages[..number];
    Ok(match stage_named(above, &name) {
        // `COPY --from` finds it in any case, FROM does not: docker takes it for an image then.
        Some(stage) if !is_exact(&above[stage], &name) => {
            let span = base.span;
            return Err(PlanError::StageInCapitals { name, span });
        }
        Some(stage) => FileSource::Stage(stage),
        None if name == "scratch" => FileSource::Scratch,
        None => FileSource::Image {
            name,
            span: base.span,
        },
    })
}

/// What `COPY --from` names: a stage also by its number.
fn find_from(dockerfile: &Dockerfile, own: usize, from: &Word) -> Result<FileSource, PlanError> {
    let stages = dockerfile.stages.len();
    let span = from.span;
    match from.text.parse::<usize>() {
        Ok(number) if number >= stages => Err(PlanError::NoStage {
            number,
            stages,
            span,
        }),
        Ok(number) => Ok(stage_source(own, number, from)),
        Err(_) => Ok(find_named(dockerfile, own, from)),
    }
}

/// What `from` of a mount names.
fn find_named(dockerfile: &Dockerfile, own: usize, from: &Word) -> FileSource {
    let above = stage_named(&dockerfile.stages[..own], &from.text);
    match above.or_else(|| stage_named(&dockerfile.stages, &from.text)) {
        Some(number) => stage_source(own, number, from),
        None if from.text == "scratch" => FileSource::Scratch,
        None => FileSource::Image {
            name: from.text.clone(),
            span: from.span,
        },
    }
}

fn stage_source(own: usize, number: usize, from: &Word) -> FileSource {
    if number < own {
        return FileSource::Stage(number);
    }
    let from = from.clone();
    FileSource::Later { number, from }
}

/// Refuses what a needed stage takes from a later one, and stages that need each other, needed or not.
fn refuse_later(
    dockerfile: &Dockerfile,
    found: &[Found],
    needed: &BTreeMap<usize, usize>,
) -> Result<(), PlanError> {
    for (own, stage) in found.iter().enumerate() {
        for ((at, _), source) in &stage.sources {
            let FileSource::Later { number, from } = source else {
                continue;
            };
            if needed.contains_key(&own) || needed_stages(found, *number).contains_key(&own) {
                let error = PlanError::NotYetBuilt {
                    name: from.text.clone(),
                    span: from.span,
                };
                return Err(trigger::wrap(&dockerfile.stages[own], *at, error));
            }
        }
    }
    Ok(())
}

/// Checks the mounts that hold no variable: those that do are checked when it has its value.
fn check_mounts(stage: &Stage, escape: char) -> Result<(), PlanError> {
    for instruction in &stage.instructions {
        if let Command::Run(run) = &instruction.command {
            for mount in run.mounts.iter().filter(|mount| mount.is_constant()) {
                mount
                    .expand(escape, &|_| None, &mut Asked::default())?
                    .read()?;
            }
        }
    }
    Ok(())
}

/// Of two stages with one name the later is meant.
fn stage_named(stages: &[Stage], name: &str) -> Option<usize> {
    stages.iter().rposition(|stage| stage.is_named(name))
}

fn is_exact(stage: &Stage, name: &str) -> bool {
    stage.name.as_ref().is_some_and(|word| word.text == name)
}

fn target_number(dockerfile: &Dockerfile, target: Option<&str>) -> Result<usize, PlanError> {
    let stages = &dockerfile.stages;
    let Some(name) = target else {
        return Ok(stages.len().saturating_sub(1));
    };
    let number = name.parse().ok().filter(|number| *number < stages.len());
    if let Some(number) = stage_named(stages, name).or(number) {
        return Ok(number);
    }
    let names = || stages.iter().filter_map(|stage| stage.name.as_ref());
    Err(PlanError::NoTarget {
        name: name.to_owned(),
        nearest: nearest(name, names().map(|word| word.text.as_str())),
        stages: names().map(|word| word.text.clone()).collect(),
    })
}

/// The numbers of the stages that `target` needs, with their places in the plan.
fn needed_stages(found: &[Found], target: usize) -> BTreeMap<usize, usize> {
    let mut needed = BTreeMap::from([(target, 0)]);
    let mut open = vec![target];
    while let Some(number) = open.pop() {
        let Found { base, sources, .. } = &found[number];
        for source in std::iter::once(base).chain(sources.values()) {
            if let Some(other) = source.stage()
                && needed.insert(other, 0).is_none()
            {
                open.push(other);
            }
        }
    }
    for (place, (_, value)) in needed.iter_mut().enumerate() {
        *value = place;
    }
    needed
}

fn add_steps(dockerfile: &Dockerfile, number: usize, named: bool, steps: &mut Vec<StepInfo>) {
    let stage = &dockerfile.stages[number];
    let name = match &stage.name {
        _ if !named => String::new(),
        Some(word) => word.text.clone(),
        None => format!("stage-{number}"),
    };
    let from = text::on_one_line(&dockerfile.source, stage.span, dockerfile.escape);
    let own = stage.instructions.iter().enumerate();
    let own = own.map(|(at, instruction)| {
        let kind = match instruction.command {
            Command::Run(_) => StepKind::Run,
            Command::Add(_) | Command::Copy(_) | Command::Workdir(_) => StepKind::Copy,
            _ => StepKind::Config,
        };
        let text = match stage.triggers.get(at) {
            Some(trigger) => text::of_trigger(trigger),
            None => text::of_instruction(dockerfile, instruction),
        };
        (text, instruction.span, kind)
    });
    let of = stage.instructions.len() + 1;
    for (at, (text, span, kind)) in std::iter::once((from, stage.span, StepKind::Base))
        .chain(own)
        .enumerate()
    {
        steps.push(StepInfo {
            id: steps.len(),
            stage: name.clone(),
            number: at + 1,
            of,
            text,
            span,
            kind,
        });
    }
}
