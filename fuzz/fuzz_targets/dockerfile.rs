//! Any text is parsed, planned and checked, or refused with a place that is in it; never more.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use builder::check::{CheckRequest, CheckedContext};
use builder::dockerfile::{Span, parse};
use builder::plan::{BuildPlan, Globals};
use builder::request::DockerfileText;
use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for warning in builder::check::check(&request(text)).warnings {
        assert!(inside(text, warning.span), "{warning:?}");
        let line = text[..warning.span.start].matches('\n').count() + 1;
        assert_eq!(line, warning.span.line, "{warning:?}");
    }
    let dockerfile = match parse(text) {
        Ok(dockerfile) => dockerfile,
        Err(error) => {
            assert!(inside(text, error.span), "{error}: {:?}", error.span);
            return;
        }
    };
    let escape = dockerfile.escape;
    for stage in &dockerfile.stages {
        for instruction in &stage.instructions {
            // what the name of a variable says is as good as any other text
            if let Err(error) = instruction.expand(escape, &|name| Some(name.to_owned())) {
                assert!(inside(text, error.span), "{error}: {:?}", error.span);
            }
        }
    }
    let globals = Globals::new(&Platform::host(), BTreeMap::new());
    let _ = BuildPlan::new(dockerfile, globals, None);
});

fn inside(text: &str, span: Span) -> bool {
    text.get(span.start..span.end).is_some()
}

/// A context with an ignore file, and `base` as an image with triggers, for another machine.
fn request(text: &str) -> CheckRequest {
    static BASE: LazyLock<Box<ImageConfig>> = LazyLock::new(|| {
        let mut base = ImageConfig::scratch(&Platform::host());
        base.architecture = "other".to_owned();
        base.config.env = vec!["a=b".to_owned()];
        base.config.on_build = ["COPY --chown=$a $b /c", "EXPOSE 1/TCP", "ENV a $b"]
            .map(str::to_owned)
            .into();
        Box::new(base)
    });
    CheckRequest {
        store: None,
        context: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("context")),
        dockerfile: DockerfileText::new(text),
        build_args: BTreeMap::new(),
        target: None,
        platform: Platform::host(),
        named_contexts: [
            ("base", CheckedContext::Image(Some(BASE.clone()))),
            ("files", CheckedContext::Files),
        ]
        .map(|(name, context)| (name.to_owned(), context))
        .into(),
    }
}
