//! The checks of a Dockerfile with what is around it: alone (`mkimg check`), and before a build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use image_format::layout::Store;

use crate::context::Context;
use crate::dockerfile::ast::Checks;
use crate::dockerfile::check::{self, Surroundings, Warning};
use crate::dockerfile::{Dockerfile, Word, directive, parse_as_far};
use crate::error::BuildError;
use crate::plan::{BuildPlan, Globals, named_context};
use crate::request::{ContextSource, DockerfileText, NamedContext, NamedContexts};

/// The build argument that stands in for `# check`.
pub(crate) const CHECKS: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// A Dockerfile to be checked.
pub struct CheckRequest {
    /// Where bases are looked for; what is not there is not told of.
    pub store: Option<Store>,
    /// The directory whose ignore file counts.
    pub context: Option<PathBuf>,
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// `--build-arg`, by name.
    pub build_args: BTreeMap<String, String>,
    /// The stage that would be built, by name or number from 0; all stages where absent.
    pub target: Option<String>,
    /// What it would be built for.
    pub platform: Platform,
    /// `--build-context`, by [`context_name`](crate::request::context_name).
    pub named_contexts: BTreeMap<String, CheckedContext>,
}

/// What a name of `--build-context` stands for; nothing of it is read but an image's config.
#[derive(Clone, Debug)]
pub enum CheckedContext {
    /// Files.
    Files,
    /// An image, with its config where that is at hand.
    Image(Option<Box<ImageConfig>>),
}

/// What the checks found.
#[derive(Debug)]
pub struct Checked {
    /// What should not be so, in the order of the file.
    pub warnings: Vec<Warning>,
    /// Why it cannot be built at all.
    pub error: Option<BuildError>,
}

/// Checks a Dockerfile. Nothing is written, and nothing run.
#[must_use]
pub fn check(request: &CheckRequest) -> Checked {
    let (dockerfile, error) = parse_as_far(&request.dockerfile.text);
    let mut warnings = Vec::new();
    let error = match error {
        Some(error) => {
            let checks = checks(&dockerfile, &request.build_args);
            warnings =
                checks.map_or_else(|_| Vec::new(), |checks| check::text(&dockerfile, &checks));
            Some(error.into())
        }
        None => stages(request, dockerfile, &mut warnings).err(),
    };
    Checked {
        warnings: sorted(warnings),
        error,
    }
}

fn stages(
    request: &CheckRequest,
    dockerfile: Dockerfile,
    warnings: &mut Vec<Warning>,
) -> Result<(), BuildError> {
    let checks = checks(&dockerfile, &request.build_args)?;
    let globals = Globals::new(&request.platform, request.build_args.clone());
    warnings.extend(before_plan(&dockerfile, &checks, &globals));
    let contexts = named(&request.named_contexts);
    let target = request.target.as_deref();
    let plan = BuildPlan::with_contexts(dockerfile, globals, target, &contexts)?;
    let context = match &request.context {
        Some(path) => Some(Context::open(path, request.dockerfile.path.as_deref())?),
        None => None,
    };
    let wanted: BTreeSet<usize> = match &request.target {
        Some(_) => plan.stages.iter().map(|stage| stage.number).collect(),
        None => (0..plan.dockerfile.stages.len()).collect(),
    };
    let image = |name: &str| match named_context(&request.named_contexts, name) {
        Some((_, CheckedContext::Files)) => Some(ImageConfig::scratch(&request.platform)),
        Some((_, CheckedContext::Image(config))) => config.as_deref().cloned(),
        None => Some(request.store.as_ref()?.resolve(name).ok()?.config),
    };
    let surroundings = Surroundings {
        globals: &plan.globals,
        platform: &request.platform,
        ignore: context.as_ref().map(Context::ignore),
        image: &image,
    };
    let wanted = |number| wanted.contains(&number);
    let (found, error) = check::instructions(&plan.dockerfile, &checks, &surroundings, &wanted);
    warnings.extend(found);
    match error {
        Some(error) => Err(error.into()),
        None => fail(&checks, warnings),
    }
}

/// As the plan wants them, which asks for their names alone.
fn named(contexts: &BTreeMap<String, CheckedContext>) -> NamedContexts {
    let empty = || NamedContext::Files(ContextSource::Layers(Vec::new()));
    contexts
        .keys()
        .map(|name| (name.clone(), empty()))
        .collect()
}

/// Which rules are followed: as the build argument has it, else as the file says.
pub(crate) fn checks(
    dockerfile: &Dockerfile,
    build_args: &BTreeMap<String, String>,
) -> Result<Checks, BuildError> {
    let Some(value) = build_args.get(CHECKS) else {
        return Ok(dockerfile.checks.clone());
    };
    let word = Word {
        text: value.clone(),
        span: Default::default(),
    };
    directive::checks(&word).map_err(|source| BuildError::CheckArgument {
        value: value.clone(),
        source: Box::new(source),
    })
}

/// What can be said of a Dockerfile that may have no plan.
pub(crate) fn before_plan(
    dockerfile: &Dockerfile,
    checks: &Checks,
    globals: &Globals,
) -> Vec<Warning> {
    let mut warnings = check::text(dockerfile, checks);
    let defaults = globals.without_given().declare(dockerfile, None).ok();
    if let Ok(globals) = globals.clone().declare(dockerfile, None) {
        let found = check::stages(dockerfile, checks, &globals, defaults.as_ref());
        warnings.extend(found);
    }
    warnings
}

/// What can be said of the stages of a plan. A word that does not expand is the build's to refuse.
pub(crate) fn in_plan(
    plan: &BuildPlan,
    checks: &Checks,
    platform: &Platform,
    context: Option<&Context>,
    image: &dyn Fn(&str) -> Option<ImageConfig>,
) -> Vec<Warning> {
    let surroundings = Surroundings {
        globals: &plan.globals,
        platform,
        ignore: context.map(Context::ignore),
        image,
    };
    let needed: BTreeSet<usize> = plan.stages.iter().map(|stage| stage.number).collect();
    let wanted = |number| needed.contains(&number);
    check::instructions(&plan.dockerfile, checks, &surroundings, &wanted).0
}

/// In the order of the file.
pub(crate) fn sorted(mut warnings: Vec<Warning>) -> Vec<Warning> {
    warnings.sort_by_key(|warning| (*warning.lines.start(), warning.span));
    warnings
}

/// Fails where warnings are errors and there are some.
pub(crate) fn fail(checks: &Checks, warnings: &[Warning]) -> Result<(), BuildError> {
    if !checks.error || warnings.is_empty() {
        return Ok(());
    }
    let mut rules: Vec<&str> = warnings.iter().map(|warning| warning.rule.name).collect();
    rules.sort_unstable();
    rules.dedup();
    Err(BuildError::Checks {
        warnings: warnings.len(),
        rules,
    })
}
