//! Triggers, platforms, heredocs and what the environment of a build says.

use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use image_format::layout::write_image;

use super::Bench;
use crate::error::BuildError;
use crate::executor::Script;
use crate::plan::PlanError;

impl Bench {
    /// Puts an image without layers into the store.
    fn image(&self, name: &str, change: impl FnOnce(&mut ImageConfig)) {
        let mut config = ImageConfig::scratch(&Platform::host());
        change(&mut config);
        let store = &self.request.store;
        let image = write_image(store, &config, Vec::new()).unwrap();
        store.tag(&name.parse().unwrap(), &image).unwrap();
    }

    fn triggers(&self, name: &str, triggers: &[&str]) {
        let triggers = triggers.iter().map(|trigger| (*trigger).to_owned());
        self.image(name, |config| config.config.on_build = triggers.collect());
    }

    fn history(&self) -> Vec<String> {
        let history = self.config().history.into_iter();
        history.filter_map(|one| one.created_by).collect()
    }
}

#[test]
fn the_triggers_of_an_image_come_first() {
    let bench = Bench::new("FROM trigger AS a\nENV last=1\nONBUILD LABEL a=b\n");
    bench.triggers("trigger", &["ARG x=2", "RUN write a $x", "env first=$x"]);
    bench.build().unwrap();
    assert_eq!(
        bench.history(),
        [
            "ARG x=2",
            "RUN |1 x=2 /bin/sh -c write a $x # buildkit",
            "ENV first=2",
            "ENV last=1"
        ]
    );
    assert_eq!(bench.config().config.on_build, ["LABEL a=b"]);
}

#[test]
fn the_triggers_of_a_stage_are_for_the_stage_on_it_alone() {
    let text = "FROM base AS a\nONBUILD ENV n=1\nENV own=1\nFROM a AS b\nENV m=2\nFROM b\nENV o=3";
    let bench = Bench::new(text);
    bench.build().unwrap();
    assert_eq!(
        bench.history(),
        ["ENV own=1", "ENV n=1", "ENV m=2", "ENV o=3"]
    );
    assert!(bench.config().config.on_build.is_empty());
}

#[test]
fn a_trigger_may_need_stages_and_images_of_its_own() {
    let bench = Bench::new("FROM other AS tools\nFROM trigger\n");
    bench.triggers("trigger", &["COPY --from=none /x /y"]);
    // an image that is not there, and named by the trigger alone
    match bench.build().unwrap_err() {
        BuildError::NoBase { name, span, .. } => {
            assert_eq!((name.as_str(), span.line), ("none", 2))
        }
        error => panic!("{error:?}"),
    }
    // a stage that nothing else needs, whose own image has triggers
    bench.triggers("trigger", &["RUN --mount=from=tools,target=/t nothing"]);
    bench.triggers("other", &["ENV a b", "COPY --from=none /x /y"]);
    match bench.build().unwrap_err() {
        BuildError::NoBase { name, span, .. } => {
            assert_eq!((name.as_str(), span.line), ("none", 1))
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn an_error_in_a_trigger_names_it_and_its_image() {
    let bench = Bench::new("FROM trigger\nENV a=b\n");
    for (trigger, late) in [
        ("FROM x", false),
        ("ENV a", false),
        ("NOTHING", false),
        ("ENV a=1\nENV b=2", false),
        ("COPY --from=7 /a /b", false),
        ("ENV a=${b?}", true),
        ("RUN fail 3", true),
    ] {
        bench.triggers("trigger", &["LABEL a=b", trigger]);
        let error = bench.build().unwrap_err();
        assert_eq!(error.span().unwrap().line, 1, "{trigger}");
        let (said, of) = match &error {
            BuildError::Plan(PlanError::Trigger { trigger, of, .. }) if !late => (trigger, of),
            BuildError::Trigger { trigger, of, .. } if late => (trigger, of),
            error => panic!("{trigger}: {error:?}"),
        };
        assert_eq!((said.as_str(), of.as_str()), (trigger, "trigger"));
    }
}

#[test]
fn an_image_of_another_platform_is_asked_for_by_from_alone() {
    let bench = Bench::new("ARG P=linux/arm/v7\nFROM --platform=$P arm\nENV a=b");
    let arm = |config: &mut ImageConfig| {
        config.architecture = "arm".to_owned();
        config.variant = Some("v7".to_owned());
    };
    bench.image("arm", arm);
    bench.build().unwrap();
    assert_eq!(bench.config().architecture, "arm");
    assert!(bench.heard.take().is_empty());
    let mut bench = Bench::new("FROM --platform=arm64 arm");
    bench.image("arm", arm);
    match bench.build().unwrap_err() {
        BuildError::Platform { wanted, there, .. } => {
            assert_eq!(
                (wanted.as_str(), there.as_str()),
                ("linux/arm64", "linux/arm/v7")
            );
        }
        error => panic!("{error:?}"),
    }
    bench.dockerfile("FROM arm");
    bench.build().unwrap();
    assert_eq!(bench.heard.take().len(), 1);
}

#[test]
fn a_heredoc_is_the_text_for_the_shell_or_the_program() {
    let bench = Bench::new(
        "FROM base\nRUN <<-A\n\tsay $x\nA\nSHELL [\"sh\", \"-e\"]\nRUN nothing 3<<'B' <<-C\nb\nB\n\tc\n\tC\nRUN <<E\n#!/bin/x\nE\n",
    );
    bench.build().unwrap();
    let ran = bench.executor.ran.lock().unwrap();
    let args: Vec<_> = ran.iter().map(|step| step.args.join("|")).collect();
    assert_eq!(
        args,
        [
            "/bin/sh|-c|say $x\n",
            "sh|-e|nothing 3<<'B' <<-C\nb\nB\n\tc\nC",
            "sh|-e|/dev/pipes/E",
        ]
    );
    let script = Script {
        path: "/dev/pipes/E".to_owned(),
        text: "#!/bin/x\n".to_owned(),
    };
    assert_eq!(ran[2].script.as_ref(), Some(&script));
}

#[test]
fn a_program_in_the_dockerfile_is_in_the_key() {
    let text = |name: &str| format!("FROM base\nRUN <<E\n#!/bin/x\n{name}\nE\n");
    let mut bench = Bench::new(&text("a"));
    bench.build().unwrap();
    bench.dockerfile(&text("b"));
    bench.build().unwrap();
    assert_eq!(bench.heard.take(), ["missed 1: the instruction changed"]);
}

#[test]
fn the_epoch_may_be_a_global_argument() {
    let mut bench = Bench::new("ARG SOURCE_DATE_EPOCH=86400\nFROM base\nENV a=b");
    bench.build().unwrap();
    assert_eq!(
        bench.config().created.as_deref(),
        Some("1970-01-02T00:00:00Z")
    );
    bench.arg("SOURCE_DATE_EPOCH", "0");
    bench.build().unwrap();
    assert_eq!(
        bench.config().created.as_deref(),
        Some("1970-01-01T00:00:00Z")
    );
    bench.arg("SOURCE_DATE_EPOCH", "");
    bench.build().unwrap();
    assert_eq!(
        bench.config().created.as_deref(),
        Some("1980-01-01T00:00:00Z")
    );
    bench.arg("SOURCE_DATE_EPOCH", "yesterday");
    assert!(matches!(bench.build(), Err(BuildError::Epoch { .. })));
}

#[test]
fn a_front_end_may_be_chosen_by_an_argument() {
    let mut bench = Bench::new("FROM base\nENV a=b");
    bench.arg("BUILDKIT_SYNTAX", "docker/dockerfile:1.7");
    bench.build().unwrap();
    assert!(bench.heard.take().is_empty());
    bench.arg("BUILDKIT_SYNTAX", "other/frontend");
    assert!(matches!(bench.build(), Err(BuildError::Parse(_))));
}
