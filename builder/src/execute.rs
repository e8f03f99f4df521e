//! The way of a build: plan, stages side by side, image.

mod arguments;
mod base;
mod cached;
mod files;
mod find;
mod follow;
mod layers;
mod mounts;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use image_format::config::ImageConfig;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::snapshot::Snapshotter;
use jiff::Timestamp;

use crate::cache::explain::Book;
use crate::check;
use crate::commit::commit;
use crate::dockerfile::ast::MountFlag;
use crate::dockerfile::check::Warning;
use crate::dockerfile::{self, Command, Dockerfile};
use crate::error::BuildError;
use crate::executor::Executor;
use crate::leak::Search;
use crate::plan::{BuildPlan, Globals, PlanError, follow_triggers, name_of, named_context};
use crate::progress::{Event, Progress};
use crate::remote::Remote;
use crate::request::{BuildRequest, DEFAULT_EPOCH, NamedContext};
use crate::step::run::EPOCH;

use base::Bases;
pub use cached::BuiltStep;
use files::Files;
use find::Finder;
pub use find::Material;
use follow::Build;

/// Who does the work, and who hears of it.
#[derive(Clone, Copy)]
pub struct Backend<'a> {
    /// Unpacks layers and makes new ones of what commands wrote.
    pub snapshotter: &'a dyn Snapshotter,
    /// Runs commands.
    pub executor: &'a dyn Executor,
    /// Hears what happens.
    pub progress: &'a dyn Progress,
    /// Fetches from other machines.
    pub remote: &'a dyn Remote,
}

/// An image that was built; durable, and tagged as the request has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its ID: the digest of its config.
    pub id: Digest,
    /// The steps that make layers, or could, in the order of the stages.
    pub steps: Vec<BuiltStep>,
    /// The images that it was built of, in the order of their names.
    pub materials: Vec<Material>,
}

/// Builds an image.
///
/// # Errors
/// When anything of it fails. The store is as it was then, but for the cache of what was done.
pub fn build(request: &BuildRequest, backend: Backend<'_>) -> Result<Built, BuildError> {
    let built = carry_out(request, backend);
    request.store.tidy();
    built
}

fn carry_out(request: &BuildRequest, backend: Backend<'_>) -> Result<Built, BuildError> {
    let progress = backend.progress;
    let (dockerfile, error) = dockerfile::parse_as_far(&request.dockerfile.text);
    let checks = check::checks(&dockerfile, &request.build_args)?;
    if let Some(error) = error {
        tell(progress, &dockerfile::check::text(&dockerfile, &checks));
        return Err(error.into());
    }
    arguments::check(&request.build_args)?;
    let mut given = request.build_args.clone();
    if let Some(epoch) = request.epoch {
        given
            .entry(EPOCH.to_owned())
            .or_insert_with(|| epoch.to_string());
    }
    let globals = Globals::new(&request.platform, given);
    let mut warnings = check::before_plan(&dockerfile, &checks, &globals);
    let mut finder = Finder::new(request, backend);
    let planned = plan(request, dockerfile, &globals, &mut finder);
    let (plan, bases) = planned.inspect_err(|_| tell(progress, &warnings))?;
    let (epoch, created) = epoch(&plan.globals)?;
    progress.event(Event::Planned { steps: &plan.steps });
    warn(request, &plan.dockerfile, progress);

    let afresh = request.no_cache_filter.iter();
    let afresh = afresh.map(|name| plan.stage_number(name));
    let afresh = afresh.collect::<Result<BTreeSet<usize>, _>>()?;
    let context = reads_context(&plan)
        .then(|| Files::open(&request.context, request.dockerfile.path.as_deref()))
        .transpose();
    let image = |name: &str| match named_context(&request.named_contexts, name) {
        Some((_, NamedContext::Files(_))) => Some(ImageConfig::scratch(&request.platform)),
        _ => bases.as_ref().ok()?.config(name),
    };
    let opened = context.as_ref().ok().and_then(Option::as_ref);
    let opened = opened.and_then(Files::directory);
    let found = check::in_plan(&plan, &checks, &request.platform, opened, &image);
    warnings.extend(found);
    let warnings = check::sorted(warnings);
    tell(progress, &warnings);
    let (bases, context) = (bases?, context?);
    check::fail(&checks, &warnings)?;
    let contexts = files::open_named(request, &plan)?;
    let build = Build {
        request,
        backend,
        plan: &plan,
        bases,
        context,
        contexts,
        afresh,
        epoch,
        created,
        platform: name_of(&request.platform),
        cancel: request.cancel.child(),
        book: Book::open(request),
        secrets: Search::new(&request.secrets),
        steps: Mutex::new(BTreeMap::new()),
    };
    let target = schedule::run(&build);
    // What was done is explained another time, whether the rest was done or not.
    let kept = build.book.keep();
    let target = target?;
    kept?;
    if request.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    progress.event(Event::Writing);
    let steps = build.steps.into_inner();
    let steps = steps.unwrap_or_else(PoisonError::into_inner);
    let steps: Vec<BuiltStep> = steps.into_values().collect();
    let (manifest, id) = commit(request, target, &steps, &build.created, &build.secrets)?;
    Ok(Built {
        manifest,
        id,
        steps,
        materials: finder.materials(),
    })
}

/// Plans the build, with the triggers that images bring: they may name further stages and images, which may
/// bring further triggers.
fn plan(
    request: &BuildRequest,
    dockerfile: Dockerfile,
    globals: &Globals,
    finder: &mut Finder<'_>,
) -> Result<(BuildPlan, Result<Bases, BuildError>), PlanError> {
    let target = request.target.as_deref();
    let make = |dockerfile| {
        let contexts = &request.named_contexts;
        BuildPlan::with_contexts(dockerfile, globals.clone(), target, contexts)
    };
    let mut plan = make(dockerfile)?;
    loop {
        let bases = Bases::resolve(&plan, finder);
        let triggers = bases.as_ref().map(|bases| bases.triggers(&plan));
        let triggers = triggers.unwrap_or_default();
        if triggers.is_empty() {
            return Ok((plan, bases));
        }
        let mut dockerfile = plan.dockerfile;
        for (number, triggers) in &triggers {
            follow_triggers(&mut dockerfile.stages[*number], triggers)?;
        }
        plan = make(dockerfile)?;
    }
}

/// The newest time of a file, in seconds since 1970, and the same as the config writes it. A global `ARG`
/// may say it too.
fn epoch(globals: &Globals) -> Result<(i64, String), BuildError> {
    let said = globals.given(EPOCH).or_else(|| globals.get(EPOCH));
    let seconds = match said.filter(|value| !value.is_empty()) {
        Some(value) => value.parse().ok(),
        None => Some(DEFAULT_EPOCH),
    };
    let known = seconds.and_then(|seconds| {
        let time = Timestamp::from_second(seconds).ok()?;
        Some((seconds, time.to_string()))
    });
    known.ok_or_else(|| BuildError::Epoch {
        value: said.unwrap_or_default().to_owned(),
    })
}

/// Whether anything of the plan may ask for the build context.
fn reads_context(plan: &BuildPlan) -> bool {
    (0..plan.stages.len())
        .flat_map(|place| &plan.stage(place).instructions)
        .any(|instruction| match &instruction.command {
            Command::Add(_) => true,
            Command::Copy(copy) => copy.from.is_none(),
            Command::Run(run) => run.mounts.iter().any(MountFlag::may_read_context),
            _ => false,
        })
}

fn tell(progress: &dyn Progress, warnings: &[Warning]) {
    for warning in warnings {
        progress.event(Event::Check { warning });
    }
}

/// Says what is odd about what was asked for. That is about the command line, and so none of the checks.
fn warn(request: &BuildRequest, dockerfile: &Dockerfile, progress: &dyn Progress) {
    for id in Search::too_short(&request.secrets) {
        progress.event(Event::Warning {
            message: &format!(
                "the value of the secret {id:?} is too short to be searched for in what is built"
            ),
            span: None,
        });
    }
    arguments::warn(&request.build_args, dockerfile, progress);
}
