//! One stage, instruction by instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock};

use super::Backend;
use super::base::Bases;
use super::cached::BuiltStep;
use super::files::Files;
use super::layers::Step;
use crate::cache::explain::Book;
use crate::cancel::Cancel;
use crate::dockerfile::{Command, Instruction};
use crate::error::BuildError;
use crate::leak::Search;
use crate::plan::{BuildPlan, Source};
use crate::progress::{Event, Outcome, StepId};
use crate::request::BuildRequest;
use crate::stage::StageState;
use crate::step::config;

/// What is the same for all of a build.
pub(super) struct Build<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) backend: Backend<'a>,
    pub(super) plan: &'a BuildPlan,
    pub(super) bases: Bases,
    /// There where a stage copies from it.
    pub(super) context: Option<Files>,
    /// The named contexts that stages need and that are no images.
    pub(super) contexts: BTreeMap<String, Files>,
    /// The stages, by number, whose steps are done whatever the cache holds.
    pub(super) afresh: BTreeSet<usize>,
    /// The newest time of a file, in seconds since 1970.
    pub(super) epoch: i64,
    /// The same as configs write it.
    pub(super) created: String,
    /// As in `linux/amd64`.
    pub(super) platform: String,
    /// Ends this build alone.
    pub(super) cancel: Cancel,
    pub(super) book: Book,
    /// What no layer may hold.
    pub(super) secrets: Search<'a>,
    /// What was done or found, by the places of stage and instruction.
    pub(super) steps: Mutex<BTreeMap<(usize, usize), BuiltStep>>,
}

/// The place of `FROM` among the instructions of its stage, which are counted from 0.
const BASE: usize = usize::MAX;

impl Build<'_> {
    /// Builds a stage on those that it needs, which `built` has by their places.
    pub(super) fn stage(
        &self,
        place: usize,
        built: &[OnceLock<StageState>],
    ) -> Result<StageState, BuildError> {
        let planned = &self.plan.stages[place];
        let mut state = self.step(planned.first_step, || {
            let state = match &planned.base {
                Source::Context { name } => {
                    let step = Step {
                        id: planned.first_step,
                        built,
                        position: (planned.number, BASE),
                        place: (place, BASE),
                        span: self.plan.stage(place).span,
                    };
                    return self.on_context(step, name);
                }
                Source::Scratch => StageState::scratch(&self.request.platform),
                Source::Image { name, .. } => StageState::image(self.bases.of_stage(place, name)),
                // The schedule begins a stage when those it needs are built.
                Source::Stage(other) => {
                    StageState::stage(built[*other].get().ok_or(BuildError::Cancelled)?)
                }
            };
            Ok((state, Outcome::Done(None)))
        })?;
        for (at, instruction) in self.plan.stage(place).instructions.iter().enumerate() {
            let step = Step {
                id: planned.first_step + 1 + at,
                built,
                position: (planned.number, at),
                place: (place, at),
                span: instruction.span,
            };
            let from = planned.sources.get(&(at, 0));
            let followed = self.step(step.id, || {
                let outcome = self.instruction(&mut state, step, instruction, from)?;
                Ok(((), outcome))
            });
            followed.map_err(|error| match self.plan.stage(place).triggers.get(at) {
                Some(trigger) => error.in_trigger(trigger, self.plan.stage(place)),
                None => error,
            })?;
        }
        Ok(state)
    }

    /// Tells of a step's beginning and end.
    fn step<T>(
        &self,
        step: StepId,
        work: impl FnOnce() -> Result<(T, Outcome), BuildError>,
    ) -> Result<T, BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let progress = self.backend.progress;
        progress.event(Event::Started { step });
        match work() {
            Ok((value, outcome)) => {
                progress.event(Event::Finished { step, outcome });
                Ok(value)
            }
            Err(error) => {
                if !matches!(error, BuildError::Cancelled) {
                    let log = error.log();
                    progress.event(Event::Failed { step, log });
                }
                Err(error)
            }
        }
    }

    fn instruction(
        &self,
        state: &mut StageState,
        step: Step<'_>,
        written: &Instruction,
        from: Option<&Source>,
    ) -> Result<Outcome, BuildError> {
        let escape = self.plan.dockerfile.escape;
        let command = self.expand(state, written)?.command;
        match &command {
            Command::Run(run) => return self.run(state, step, run),
            Command::Copy(copy) => return self.copy(state, step, copy, None, from),
            Command::Add(add) => return self.copy(state, step, &add.copy, Some(add), None),
            Command::Workdir(dir) => return self.workdir(state, step, dir),
            _ => {}
        }
        let created_by = config::apply(state, &command, &self.plan.globals, escape)?;
        if let Some(created_by) = created_by {
            state.push(created_by, &self.created, None);
        }
        Ok(Outcome::Done(None))
    }

    /// Expands an instruction.
    fn expand(&self, state: &StageState, written: &Instruction) -> Result<Instruction, BuildError> {
        if let Command::Arg(_) = written.command {
            // Each of its words sees those before it: it expands them itself.
            return Ok(written.clone());
        }
        let lookup = |name: &str| state.lookup(name);
        Ok(written.expand(self.plan.dockerfile.escape, &lookup)?.0)
    }
}
