use image_format::descriptor::Platform;

use super::*;
use crate::dockerfile::parse;

fn plan_with(
    text: &str,
    args: &[(&str, &str)],
    target: Option<&str>,
) -> Result<BuildPlan, PlanError> {
    let given = args
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let globals = Globals::new(&Platform::host(), given.collect());
    BuildPlan::new(parse(text).unwrap(), globals, target)
}

fn plan(text: &str, target: Option<&str>) -> Result<BuildPlan, PlanError> {
    plan_with(text, &[], target)
}

fn numbers(plan: &BuildPlan) -> Vec<usize> {
    plan.stages.iter().map(|stage| stage.number).collect()
}

fn images(plan: &BuildPlan) -> Vec<&str> {
    plan.images().map(|(name, _)| name).collect()
}

const FOUR: &str = "FROM one AS a
FROM two AS b
COPY --from=a /x /x
FROM three
RUN true
FROM scratch AS d
COPY --from=b /x /x
COPY --from=four /y /y
";

#[test]
fn what_the_target_does_not_need_is_not_planned() {
    let whole = plan(FOUR, None).unwrap();
    assert_eq!(numbers(&whole), [0, 1, 3]);
    assert_eq!(images(&whole), ["one", "two", "four"]);
    assert_eq!(whole.needs(2).collect::<Vec<_>>(), [1]);
    assert_eq!(whole.stages[2].base, Source::Scratch);
    assert_eq!(numbers(&plan(FOUR, Some("b")).unwrap()), [0, 1]);
    assert_eq!(numbers(&plan(FOUR, Some("2")).unwrap()), [2]);
    assert_eq!(numbers(&plan(FOUR, Some("B")).unwrap()), [0, 1]);
}

#[test]
fn steps_are_numbered_through() {
    let plan = plan(FOUR, None).unwrap();
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            (
                step.id,
                step.stage.as_str(),
                step.number,
                step.of,
                step.text.as_str(),
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            (0, "a", 1, 1, "FROM one AS a"),
            (1, "b", 1, 2, "FROM two AS b"),
            (2, "b", 2, 2, "COPY --from=a /x /x"),
            (3, "d", 1, 3, "FROM scratch AS d"),
            (4, "d", 2, 3, "COPY --from=b /x /x"),
            (5, "d", 3, 3, "COPY --from=four /y /y"),
        ]
    );
    assert_eq!(plan.stages[2].first_step, 3);
    assert_eq!(plan.steps[2].kind, StepKind::Copy);
}

#[test]
fn one_stage_alone_has_no_name() {
    let plan = plan(FOUR, Some("2")).unwrap();
    assert_eq!(plan.steps[0].stage, "");
}

#[test]
fn a_stage_on_a_stage_needs_it() {
    let plan = plan("FROM x AS A\nFROM y\nFROM a AS c\nFROM c", None).unwrap();
    assert_eq!(numbers(&plan), [0, 2, 3]);
    assert_eq!(plan.stages[2].base, Source::Stage(1));
}

#[test]
fn from_takes_the_case_of_a_stage_seriously_and_copy_does_not() {
    let error = plan("FROM x AS Big\nFROM Big", None).unwrap_err();
    assert!(error.hint().unwrap().ends_with("FROM big"), "{error}");
    let plan = plan("FROM x AS Big\nFROM y\nCOPY --from=BIG /a /a", None).unwrap();
    assert_eq!(plan.stages[1].sources[&(0, 0)], Source::Stage(0));
}

#[test]
fn copies_name_stages_by_number_images_and_scratch() {
    let text =
        "FROM x\nFROM y\nCOPY --from=0 /a /a\nCOPY --from=scratch /b /b\nCOPY --from=img:1 /c /c";
    let plan = plan(text, None).unwrap();
    let copies = &plan.stages[1].sources;
    assert_eq!(copies[&(0, 0)], Source::Stage(0));
    assert_eq!(copies[&(1, 0)], Source::Scratch);
    assert!(matches!(&copies[&(2, 0)], Source::Image { name, .. } if name == "img:1"));
}

#[test]
fn of_two_stages_with_one_name_the_later_is_meant() {
    let text = "FROM x AS a\nFROM y AS a\nFROM scratch\nCOPY --from=a /a /a";
    assert_eq!(numbers(&plan(text, None).unwrap()), [1, 2]);
}

#[test]
fn bases_are_expanded() {
    let text = "ARG V=1\nARG B=base:$V\nARG E\nFROM ${B}-${TARGETOS}";
    assert_eq!(images(&plan(text, None).unwrap()), ["base:1-linux"]);
    let given = plan_with(text, &[("V", "2")], None).unwrap();
    assert_eq!(images(&given), ["base:2-linux"]);
    let error = plan("ARG A\nFROM $A", None).unwrap_err();
    assert!(matches!(&error, PlanError::EmptyBase { written, .. } if written == "$A"));
    assert_eq!(error.span().unwrap().line, 2);
}

#[test]
fn a_stage_of_another_name_is_suggested() {
    let error = plan("FROM x AS builder\nFROM y", Some("biulder")).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("did you mean \"builder\"?"));
    let error = plan("FROM x AS builder\nFROM y", Some("zzz")).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("there are: builder"));
    let error = plan("FROM y", Some("7")).unwrap_err();
    assert!(matches!(error, PlanError::NoTarget { .. }));
}

#[test]
fn only_stages_above_can_be_copied_from() {
    let text = "FROM x\nCOPY --from=late /a /a\nFROM y AS late";
    assert_eq!(numbers(&plan(text, None).unwrap()), [1], "it is not needed");
    let mount = "FROM x\nRUN --mount=from=late,target=/l true\nFROM y AS late";
    assert_eq!(numbers(&plan(mount, None).unwrap()), [1]);
    let circle = "FROM x AS a\nCOPY --from=1 /a /a\nFROM y\nCOPY --from=a /a /a\nFROM z";
    assert!(matches!(
        plan(circle, None),
        Err(PlanError::NotYetBuilt { span, .. }) if span.line == 2
    ));
    // an image of that name may be meant where the stage is not above; docker refuses it too
    assert!(matches!(
        plan(text, Some("0")),
        Err(PlanError::NotYetBuilt { .. })
    ));
    assert!(matches!(
        plan("FROM x\nCOPY --from=0 /a /a", None),
        Err(PlanError::NotYetBuilt { .. })
    ));
    assert!(matches!(
        plan("FROM x\nCOPY --from=9 /a /a", None),
        Err(PlanError::NoStage {
            number: 9,
            stages: 1,
            ..
        })
    ));
}

fn plan_in(text: &str, names: &[&str]) -> Result<BuildPlan, PlanError> {
    let globals = Globals::new(&Platform::host(), BTreeMap::new());
    let directory = || NamedContext::Files(std::path::PathBuf::from("/files").into());
    let contexts = names
        .iter()
        .map(|name| (context_name(name).unwrap(), directory()));
    BuildPlan::with_contexts(parse(text).unwrap(), globals, None, &contexts.collect())
}

#[test]
fn a_named_context_comes_before_stages_and_images() {
    let text = "FROM nothing AS one\nCOPY --from=two /x /x\nFROM alpine:3\nCOPY --from=one /a /a
COPY --from=0 /b /b\nCOPY --from=docker.io/library/img /c /c\nCOPY --from=other /d /d";
    let plan = plan_in(text, &["one", "alpine:3", "img:latest"]).unwrap();
    let context = |name: &str| Source::Context {
        name: name.to_owned(),
    };
    assert_eq!(plan.stages.len(), 2);
    assert_eq!(plan.stages[0].base, context("one"));
    assert!(plan.stages[0].sources.is_empty());
    assert!(plan.stage(0).instructions.is_empty());
    assert_eq!(plan.stages[1].base, context("alpine:3"));
    let copies: Vec<_> = plan.stages[1].sources.values().collect();
    assert_eq!(copies[..2], [&Source::Stage(0), &Source::Stage(0)]);
    assert_eq!(copies[2], &context("img"));
    assert!(matches!(copies[3], Source::Image { name, .. } if name == "other"));
    let names: Vec<_> = plan.contexts().collect();
    assert_eq!(names, ["one", "alpine:3", "img"]);
    // scratch is what it is
    let plan = plan_in("FROM scratch", &["scratch"]).unwrap();
    assert_eq!(plan.stages[0].base, Source::Scratch);
}

#[test]
fn a_stage_is_found_by_name_and_number() {
    let plan = plan("FROM a AS one\nFROM b\nFROM one", None).unwrap();
    let number = |name: &str| plan.stage_number(name).ok();
    assert_eq!(
        [number("ONE"), number("1"), number("stage-1")],
        [Some(0), Some(1), Some(1)]
    );
    assert_eq!(
        [number("stage-0"), number("3"), number("tow")],
        [None, None, None]
    );
}

#[test]
fn a_command_has_a_source_for_each_mount_that_names_one() {
    let text = "FROM x AS a\nFROM y AS b\nFROM z AS c\nFROM w\n\
                RUN --mount=from=A,target=/1 --mount=type=tmpfs,target=/2 --mount=type=cache,from=img,target=/3 \
                --mount=from=scratch,target=/4 --mount=target=/5,from= true\nRUN --mount=from=c,target=/1 true";
    let plan = plan(text, None).unwrap();
    assert_eq!(numbers(&plan), [0, 2, 3]);
    assert_eq!(images(&plan), ["x", "z", "w", "img"]);
    let sources = &plan.stages[2].sources;
    let keys: Vec<_> = sources.keys().copied().collect();
    assert_eq!(keys, [(0, 0), (0, 2), (0, 3), (1, 0)]);
    assert_eq!(sources[&(0, 0)], Source::Stage(0));
    assert_eq!(sources[&(0, 3)], Source::Scratch);
    assert_eq!(sources[&(1, 0)], Source::Stage(1));
    assert_eq!(plan.needs(2).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn mounts_know_stages_by_name_only() {
    // Docker takes a number for an image.
    let plan = plan("FROM x\nFROM y\nRUN --mount=from=0,target=/1 true", None).unwrap();
    assert_eq!((numbers(&plan), images(&plan)), (vec![1], vec!["y", "0"]));
}

#[test]
fn a_mount_without_variables_is_checked_in_the_stages_that_are_needed() {
    let text = "FROM x\nRUN --mount=typ=tmpfs true\nFROM y\nRUN --mount=type=$T,typ=x true";
    assert!(plan(text, Some("1")).is_ok());
    let error = plan(text, Some("0")).unwrap_err();
    assert_eq!(error.span().unwrap().line, 2);
}
