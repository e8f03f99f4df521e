//! Images for another machine.

use image_format::config::ImageConfig;
use image_format::descriptor::Platform;

use super::report::Report;
use super::rule::Rule;
use crate::dockerfile::Span;

pub(super) static INVALID_BASE_IMAGE_PLATFORM: Rule = Rule::own(
    "InvalidBaseImagePlatform",
    "A base image is for another platform than the one that is built for",
    "get the image for this platform, or build for the image's",
);

/// `instruction` names the image at `span`. An image without layers is as good as scratch.
pub(super) fn check(
    report: &mut Report<'_>,
    instruction: Span,
    span: Span,
    name: &str,
    image: &ImageConfig,
    wanted: &Platform,
) {
    let fits = image.os == wanted.os && image.architecture == wanted.architecture;
    if fits || image.rootfs.diff_ids.is_empty() {
        return;
    }
    let place = report.file(instruction);
    let message = format!(
        "the image `{name}` is for {}/{}, and this build for {}/{}",
        image.os, image.architecture, wanted.os, wanted.architecture
    );
    report.warn(&place, &INVALID_BASE_IMAGE_PLATFORM, span, message);
}
