//! The instructions that make layers: each is keyed, looked up in the cache, and done if it must.

use std::borrow::Cow;
use std::iter;
use std::sync::OnceLock;

use image_format::digest::Digest;
use image_format::layout::Layer;
use image_format::snapshot::LayerSource;

use super::files::Files;
use super::follow::Build;
use super::mounts::{Mounts, surroundings};
use crate::cache::key::Reads;
use crate::cache::layers;
use crate::context::Context;
use crate::dockerfile::ast::{Add, CommandNetwork, Copy, Run};
use crate::dockerfile::{Span, Word};
use crate::error::BuildError;
use crate::lexical;
use crate::plan::Source;
use crate::progress::{Event, Outcome, StepId};
use crate::remote::Pulling;
use crate::request::RunNetwork;
use crate::stage::StageState;
use crate::step::copy::{self, AddStep, CopySource, CopyStep, PlannedCopy, WorkdirStep};
use crate::step::run::{Place, PlannedRun};
use crate::step::{CopyError, RunError, config};

/// A step that makes a layer.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) id: StepId,
    /// The stages that are built, by place.
    pub(super) built: &'a [OnceLock<StageState>],
    /// The number of its stage in the file, and its own in the stage.
    pub(super) position: (usize, usize),
    /// The place of its stage in the plan, and its own in the stage.
    pub(super) place: (usize, usize),
    /// Where its instruction is written.
    pub(super) span: Span,
}

/// What a copy copies from.
pub(super) enum Origin<'a> {
    Context(&'a Context),
    Stack(Vec<LayerSource>),
}

impl Origin<'_> {
    fn source(&self) -> CopySource<'_> {
        match self {
            Self::Context(context) => CopySource::Context(context),
            Self::Stack(stack) => CopySource::Stack(stack),
        }
    }
}

impl Build<'_> {
    pub(super) fn run(
        &self,
        state: &mut StageState,
        step: Step<'_>,
        run: &Run,
    ) -> Result<Outcome, BuildError> {
        let network = self.network(run.network, step.span)?;
        let mounts = self.mounts(state, step, run)?;
        let planned = PlannedRun::new(state, run, &self.plan.globals, self.epoch, network);
        let created_by = planned.created_by(state);
        let reads = planned.reads(mounts.parts(), surroundings(self.request));
        let keyed = self.key(state.diff_ids(), step, &created_by, reads)?;
        let outcome = match self.cached(step, &keyed, mounts.files())? {
            Some(layer) => Outcome::Cached(layer),
            None => {
                self.explain(step, &keyed, mounts.files());
                let layer = self.do_run(state, step, planned, &mounts, &keyed.key);
                let layer = layer.map_err(|error| BuildError::run(step.span, error))?;
                self.keep(step, keyed, mounts.files(), layer)?
            }
        };
        state.push(created_by, &self.created, layer_of(outcome));
        Ok(outcome)
    }

    fn do_run(
        &self,
        state: &StageState,
        step: Step<'_>,
        planned: PlannedRun,
        mounts: &Mounts<'_>,
        key: &Digest,
    ) -> Result<Option<Layer>, RunError> {
        let on = Place {
            store: &self.request.store,
            snapshotter: self.backend.snapshotter,
            executor: self.backend.executor,
            epoch: self.epoch,
            cancel: &self.cancel,
            request: self.request,
        };
        on.executor.ready().map_err(RunError::Executor)?;
        let mounted = self.ready(step, mounts)?;
        planned.run(&on, state, mounted, key, &mut |stream, bytes| {
            let step = step.id;
            self.backend.progress.event(Event::Output {
                step,
                stream,
                bytes,
            });
        })
    }

    /// The network of a command.
    fn network(&self, asked: CommandNetwork, span: Span) -> Result<RunNetwork, BuildError> {
        match (asked, self.request.network) {
            (CommandNetwork::Default, network) => Ok(network),
            (CommandNetwork::None, _) => Ok(RunNetwork::None),
            (CommandNetwork::Host, RunNetwork::Host) => Ok(RunNetwork::Host),
            (CommandNetwork::Host, RunNetwork::None) => {
                Err(BuildError::run(span, RunError::NoNetwork))
            }
        }
    }

    pub(super) fn copy(
        &self,
        state: &mut StageState,
        step: Step<'_>,
        copy: &Copy,
        add: Option<&Add>,
        from: Option<&Source>,
    ) -> Result<Outcome, BuildError> {
        let name = if add.is_some() { "ADD" } else { "COPY" };
        let origin = self.origin(from, step.built)?;
        let created_by = copy_created_by(name, copy);
        let wanted = CopyStep {
            copy: Cow::Borrowed(copy),
            add: add.map(|add| AddStep {
                checksum: add.checksum.as_ref(),
                keep_git_dir: add.keep_git_dir,
                unpack: add.unpack,
                remote: self.backend.remote,
            }),
            from: origin.source(),
            workdir: state.workdir(),
            keep_top: false,
            literal: false,
            span: step.span,
        };
        let outcome = self.copy_step(state, step, &created_by, &wanted)?;
        state.push(created_by, &self.created, layer_of(outcome));
        Ok(outcome)
    }

    /// A stage that stands on the files of a named context: they are its first layer.
    pub(super) fn on_context(
        &self,
        step: Step<'_>,
        name: &str,
    ) -> Result<(StageState, Outcome), BuildError> {
        let mut state = StageState::scratch(&self.request.platform);
        let source = Source::Context {
            name: name.to_owned(),
        };
        let origin = self.origin(Some(&source), step.built)?;
        let word = |text: &str| Word {
            text: text.to_owned(),
            span: step.span,
        };
        let wanted = CopyStep {
            copy: Cow::Owned(Copy::plain(vec![word(".")], word("/"))),
            add: None,
            from: origin.source(),
            workdir: "/",
            keep_top: false,
            literal: false,
            span: step.span,
        };
        let created_by = format!("[context {name}]");
        let outcome = self.copy_step(&state, step, &created_by, &wanted)?;
        state.push(created_by, &self.created, layer_of(outcome));
        Ok((state, outcome))
    }

    fn copy_step(
        &self,
        state: &StageState,
        step: Step<'_>,
        created_by: &str,
        wanted: &CopyStep<'_>,
    ) -> Result<Outcome, BuildError> {
        let name = if wanted.add.is_some() { "ADD" } else { "COPY" };
        let failed = |error| BuildError::copy(name, step.span, error);
        let base = state.stack();
        if !copy::is_linked(&wanted.copy) {
            self.list(step, &base)?;
        }
        if let CopySource::Stack(stack) = wanted.from {
            self.list(step, stack)?;
        }
        let planned = copy::plan_copy(
            &self.request.store,
            &base,
            wanted,
            self.epoch,
            &mut |bytes, total| self.copied(step, bytes, total),
            &self.cancel,
        );
        let planned = planned.map_err(failed)?;
        let below = match copy::is_linked(&wanted.copy) {
            true => &[],
            false => state.diff_ids(),
        };
        let keyed = self.key(below, step, created_by, planned.reads.clone())?;
        if let Some(layer) = self.cached(step, &keyed, planned.files())? {
            return Ok(Outcome::Cached(layer));
        }
        self.explain(step, &keyed, planned.files());
        let layer = self.do_copy(step, &base, &planned).map_err(failed)?;
        self.keep(step, keyed, planned.files(), layer)
    }

    /// Brings the layers that were not fetched yet and have to be read to know what is in them.
    fn list(&self, step: Step<'_>, stack: &[LayerSource]) -> Result<(), BuildError> {
        let store = &self.request.store;
        let unknown = stack
            .iter()
            .filter(|layer| !layers::is_listed(store, layer));
        let unknown: Vec<LayerSource> = unknown.cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let progress = self.backend.progress;
        let name = self.plan.steps[step.id].text.as_str();
        let hear = |what: Pulling<'_>| progress.event(Event::Pulling { name, what });
        let fetched = self.backend.remote.layers(&unknown, &hear, &self.cancel);
        fetched.map_err(|error| BuildError::pull(step.span, error))
    }

    pub(super) fn workdir(
        &self,
        state: &mut StageState,
        step: Step<'_>,
        dir: &Word,
    ) -> Result<Outcome, BuildError> {
        let dir = config::join(state.workdir(), &dir.text);
        let path = lexical::absolute(&dir);
        let created_by = config::workdir(state, dir);
        let outcome = if path == "/" {
            Outcome::Done(None)
        } else {
            self.directory(state, step, &created_by, path)?
        };
        state.push(created_by, &self.created, layer_of(outcome));
        Ok(outcome)
    }

    /// Makes a working directory where it is missing.
    fn directory(
        &self,
        state: &StageState,
        step: Step<'_>,
        created_by: &str,
        path: String,
    ) -> Result<Outcome, BuildError> {
        let failed = |error| BuildError::copy("WORKDIR", step.span, error);
        let user = &state.config.config.user;
        let reads = Reads::Directory {
            path: path.clone(),
            user: user.clone(),
        };
        let keyed = self.key(state.diff_ids(), step, created_by, reads)?;
        if let Some(layer) = self.cached(step, &keyed, iter::empty())? {
            return Ok(Outcome::Cached(layer));
        }
        self.explain(step, &keyed, iter::empty());
        let base = state.stack();
        self.list(step, &base)?;
        let wanted = WorkdirStep {
            path: &path,
            user,
            span: step.span,
        };
        let planned = copy::plan_workdir(&self.request.store, &base, &wanted, &self.cancel);
        let planned = planned.map_err(failed)?;
        let layer = match planned {
            Some(planned) => self.do_copy(step, &base, &planned).map_err(failed)?,
            None => None,
        };
        self.keep(step, keyed, iter::empty(), layer)
    }

    pub(super) fn do_copy(
        &self,
        step: Step<'_>,
        base: &[LayerSource],
        planned: &PlannedCopy<'_>,
    ) -> Result<Option<Layer>, CopyError> {
        let store = &self.request.store;
        let mut report = |bytes, total| self.copied(step, bytes, total);
        copy::copy(store, base, planned, self.epoch, &mut report, &self.cancel)
    }

    pub(super) fn copied(&self, step: Step<'_>, bytes: u64, total: u64) {
        let step = step.id;
        let progress = self.backend.progress;
        progress.event(Event::Copied { step, bytes, total });
    }

    /// What a copy copies from: the build context where `from` says nothing else.
    pub(super) fn origin(
        &self,
        from: Option<&Source>,
        built: &[OnceLock<StageState>],
    ) -> Result<Origin<'_>, BuildError> {
        let files = match from {
            Some(Source::Scratch) => return Ok(Origin::Stack(Vec::new())),
            Some(Source::Image { name, .. }) => {
                return Ok(Origin::Stack(LayerSource::of_image(self.bases.get(name))));
            }
            // The schedule begins a stage when those it needs are built.
            Some(Source::Stage(other)) => {
                let stage = built[*other].get().ok_or(BuildError::Cancelled)?;
                return Ok(Origin::Stack(stage.stack()));
            }
            Some(Source::Context { name }) => self.contexts.get(name),
            None => self.context.as_ref(),
        };
        // They were opened if anything copies from them.
        Ok(match files.ok_or(BuildError::Cancelled)? {
            Files::Directory(context) => Origin::Context(context),
            Files::Layers(layers) => Origin::Stack(layers.clone()),
        })
    }
}

fn layer_of(outcome: Outcome) -> Option<Layer> {
    match outcome {
        Outcome::Cached(layer) | Outcome::Done(layer) => layer,
    }
}

/// As the image's history has it: docker leaves out `--from`, `--link` and `--exclude`.
pub(super) fn copy_created_by(name: &str, copy: &Copy) -> String {
    let mut words = vec![name.to_owned()];
    words.extend(copy.parents.then(|| "--parents".to_owned()));
    let flag = |name: &str, value: &Option<Word>| {
        let value = value.as_ref()?;
        Some(format!("--{name}={}", value.text))
    };
    words.extend(flag("chown", &copy.chown));
    words.extend(flag("chmod", &copy.chmod));
    if copy.closure {
        words.push("--closure".to_owned());
    }
    words.extend(copy.paths().map(|word| word.text.clone()));
    words.extend(copy.heredocs().map(|heredoc| format!("<<{}", heredoc.name)));
    words.push(copy.destination.text.clone());
    words.push("# buildkit".to_owned());
    words.join(" ")
}
