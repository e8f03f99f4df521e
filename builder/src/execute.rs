//! The way of a build: plan, stages side by side, image.

mod base;
mod files;
mod follow;
mod layers;
mod mounts;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::snapshot::Snapshotter;
use jiff::Timestamp;

use crate::cache::explain::Book;
use crate::commit::commit;
use crate::dockerfile::ast::MountFlag;
use crate::dockerfile::{self, Command, Dockerfile, Instruction, ParseError, ParseErrorKind};
use crate::error::BuildError;
use crate::executor::Executor;
use crate::leak::Search;
use crate::plan::{BuildPlan, Globals, name_of};
use crate::progress::{Event, Progress};
use crate::remote::Remote;
use crate::request::{BuildRequest, DEFAULT_EPOCH};
use crate::step::run::{EPOCH, PlannedRun};

use base::Bases;
use files::Files;
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
    let dockerfile = dockerfile::parse(&request.dockerfile.text)?;
    let (epoch, created) = epoch(request)?;
    let mut given = request.build_args.clone();
    if let Some(epoch) = request.epoch {
        given
            .entry(EPOCH.to_owned())
            .or_insert_with(|| epoch.to_string());
    }
    let globals = Globals::new(&request.platform, given);
    let target = request.target.as_deref();
    let plan = BuildPlan::with_contexts(dockerfile, globals, target, &request.named_contexts)?;
    let afresh = request.no_cache_filter.iter();
    let afresh = afresh.map(|name| plan.stage_number(name));
    let afresh = afresh.collect::<Result<BTreeSet<usize>, _>>()?;
    refuse(&plan)?;
    let progress = backend.progress;
    progress.event(Event::Planned { steps: &plan.steps });
    warn(request, &plan.dockerfile, progress);

    let bases = Bases::resolve(request, &plan, progress)?;
    let context = reads_context(&plan)
        .then(|| Files::open(&request.context, request.dockerfile.path.as_deref()))
        .transpose()?;
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
    commit(request, target, &build.created, &build.secrets)
}

/// The newest time of a file, in seconds since 1970, and the same as the config writes it.
fn epoch(request: &BuildRequest) -> Result<(i64, String), BuildError> {
    let seconds = match request.build_args.get(EPOCH) {
        Some(value) => value.parse().ok(),
        None => Some(request.epoch.unwrap_or(DEFAULT_EPOCH)),
    };
    let known = seconds.and_then(|seconds| {
        let time = Timestamp::from_second(seconds).ok()?;
        Some((seconds, time.to_string()))
    });
    known.ok_or_else(|| BuildError::Epoch {
        value: match request.build_args.get(EPOCH) {
            Some(value) => value.clone(),
            None => request.epoch.unwrap_or_default().to_string(),
        },
    })
}

/// Whether anything of the plan may ask for the build context.
fn reads_context(plan: &BuildPlan) -> bool {
    (0..plan.stages.len())
        .flat_map(|place| &plan.stage(place).instructions)
        .any(|instruction| match &instruction.command {
            Command::Copy(copy) => copy.from.is_none(),
            Command::Run(run) => run.mounts.iter().any(MountFlag::may_read_context),
            _ => false,
        })
}

/// Refuses what is in the language and not built yet.
fn refuse(plan: &BuildPlan) -> Result<(), ParseError> {
    let error = |what: &str, span| {
        let what = what.to_owned();
        Err(ParseError::new(ParseErrorKind::NotSupported { what }, span))
    };
    for place in 0..plan.stages.len() {
        let stage = plan.stage(place);
        if let Some(platform) = &stage.platform {
            return error("the flag `--platform` of FROM", platform.span);
        }
        for Instruction { command, span, .. } in &stage.instructions {
            let what = match command {
                Command::Add(_) => "ADD",
                Command::Copy(copy) if copy.heredocs().next().is_some() => "a heredoc in COPY",
                Command::Copy(copy) if copy.link => "the flag `--link` of COPY",
                Command::Copy(copy) if copy.parents => "the flag `--parents` of COPY",
                Command::Copy(copy) if !copy.exclude.is_empty() => "the flag `--exclude` of COPY",
                _ => continue,
            };
            return error(what, *span);
        }
    }
    Ok(())
}

/// Says what is accepted and probably not meant.
fn warn(request: &BuildRequest, dockerfile: &Dockerfile, progress: &dyn Progress) {
    for warning in &dockerfile.warnings {
        progress.event(Event::Warning {
            message: &warning.kind.to_string(),
            span: Some(warning.span),
        });
    }
    let stages = dockerfile.stages.iter().flat_map(|s| &s.instructions);
    let declared =
        |name: &str| {
            dockerfile.global_args.iter().chain(stages.clone()).any(
                |instruction| match &instruction.command {
                    Command::Arg(all) => all.iter().any(|one| one.name.text == name),
                    _ => false,
                },
            )
        };
    for id in Search::too_short(&request.secrets) {
        progress.event(Event::Warning {
            message: &format!(
                "the value of the secret {id:?} is too short to be searched for in what is built"
            ),
            span: None,
        });
    }
    for name in request.build_args.keys() {
        if !PlannedRun::is_predefined(name) && !declared(name) {
            progress.event(Event::Warning {
                message: &format!(
                    "the build argument {name:?} is used nowhere: no ARG declares it"
                ),
                span: None,
            });
        }
    }
}
