//! Any text is parsed and planned, or refused with a place that is in it; never more.
#![no_main]

use std::collections::BTreeMap;

use builder::dockerfile::parse;
use builder::plan::{BuildPlan, Globals};
use image_format::descriptor::Platform;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let dockerfile = match parse(text) {
        Ok(dockerfile) => dockerfile,
        Err(error) => {
            let refused = error.span.start <= error.span.end && error.span.end <= text.len();
            assert!(refused, "{error}: {:?}", error.span);
            return;
        }
    };
    let escape = dockerfile.escape;
    for stage in &dockerfile.stages {
        for instruction in &stage.instructions {
            // what the name of a variable says is as good as any other text
            let _ = instruction.expand(escape, &|name| Some(name.to_owned()));
        }
    }
    let globals = Globals::new(&Platform::host(), BTreeMap::new());
    let _ = BuildPlan::new(dockerfile, globals, None);
});
