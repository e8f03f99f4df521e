//! The images that stages stand on and copy from, found before anything is done.

use std::collections::BTreeMap;

use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use image_format::layout::Image;

use super::find::Finder;
use crate::dockerfile::Span;
use crate::error::BuildError;
use crate::plan::{BuildPlan, Source};

/// The images of a plan, by the names it has for them.
pub(super) struct Bases {
    images: BTreeMap<String, Image>,
    /// Those of a certain platform, by the place of the stage on them.
    of_platform: BTreeMap<usize, Image>,
}

impl Bases {
    /// Finds them.
    pub(super) fn resolve(plan: &BuildPlan, finder: &mut Finder<'_>) -> Result<Self, BuildError> {
        let mut images = BTreeMap::new();
        for (name, span) in plan.images() {
            if !images.contains_key(name) {
                let image = finder.find(name, span, &Platform::host())?;
                images.insert(name.to_owned(), image);
            }
        }
        let mut of_platform = BTreeMap::new();
        for (place, stage) in plan.stages.iter().enumerate() {
            if let (Source::Image { name, span }, Some(platform)) = (&stage.base, &stage.platform) {
                let image = finder.find(name, *span, platform)?;
                check_platform(name, *span, &image, platform)?;
                of_platform.insert(place, image);
            }
        }
        Ok(Self {
            images,
            of_platform,
        })
    }

    /// The config of an image, where the plan has it.
    pub(super) fn config(&self, name: &str) -> Option<ImageConfig> {
        Some(self.images.get(name)?.config.clone())
    }

    /// An image of the plan.
    pub(super) fn get(&self, name: &str) -> &Image {
        &self.images[name]
    }

    /// The image that the stage at this place stands on.
    pub(super) fn of_stage(&self, place: usize, name: &str) -> &Image {
        let platform = self.of_platform.get(&place);
        platform.unwrap_or_else(|| &self.images[name])
    }

    /// The triggers that images bring and that the plan does not have yet, by the number of the stage.
    pub(super) fn triggers(&self, plan: &BuildPlan) -> Vec<(usize, Vec<String>)> {
        let stages = plan.stages.iter().enumerate();
        let brought = stages.filter_map(|(place, planned)| {
            let Source::Image { name, .. } = &planned.base else {
                return None;
            };
            let triggers = &self.of_stage(place, name).config.config.on_build;
            let new = !triggers.is_empty() && plan.stage(place).triggers.is_empty();
            new.then(|| (planned.number, triggers.clone()))
        });
        brought.collect()
    }
}

fn check_platform(
    name: &str,
    span: Span,
    image: &Image,
    wanted: &Platform,
) -> Result<(), BuildError> {
    let there = platform_of(image);
    if there.runs(wanted) {
        return Ok(());
    }
    Err(BuildError::Platform {
        name: name.to_owned(),
        wanted: wanted.to_string(),
        there: there.to_string(),
        span,
    })
}

fn platform_of(image: &Image) -> Platform {
    let config = &image.config;
    Platform {
        os: config.os.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        ..Platform::host()
    }
}
