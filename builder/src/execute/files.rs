//! What is copied from, opened before anything is done.

use std::collections::BTreeMap;
use std::path::Path;

use image_format::snapshot::LayerSource;

use crate::context::{Context, ContextError};
use crate::plan::BuildPlan;
use crate::request::{BuildRequest, ContextSource, NamedContext};

/// The files of a build context.
pub(super) enum Files {
    /// In a directory.
    Directory(Box<Context>),
    /// In layers, base first.
    Layers(Vec<LayerSource>),
}

impl Files {
    /// The directory, if they are in one.
    pub(super) fn directory(&self) -> Option<&Context> {
        match self {
            Self::Directory(context) => Some(context),
            Self::Layers(_) => None,
        }
    }

    /// Opens them. The ignore file of `dockerfile`, a path, comes before that of the directory.
    pub(super) fn open(
        source: &ContextSource,
        dockerfile: Option<&Path>,
    ) -> Result<Self, ContextError> {
        Ok(match source {
            ContextSource::Directory { path, ignores } => {
                Self::Directory(Box::new(match ignores {
                    true => Context::open(path, dockerfile)?,
                    false => Context::open_whole(path)?,
                }))
            }
            ContextSource::Layers(layers) => Self::Layers(layers.clone()),
        })
    }
}

/// Opens the named contexts that the plan needs and that are no images.
pub(super) fn open_named(
    request: &BuildRequest,
    plan: &BuildPlan,
) -> Result<BTreeMap<String, Files>, ContextError> {
    let mut all = BTreeMap::new();
    for name in plan.contexts() {
        if let Some(NamedContext::Files(source)) = request.named_contexts.get(name)
            && !all.contains_key(name)
        {
            all.insert(name.to_owned(), Files::open(source, None)?);
        }
    }
    Ok(all)
}
