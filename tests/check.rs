//! `mkimg check`, and what a build says of its Dockerfile. What each rule finds is in `builder/tests/checks`.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::{Env, User};

/// Two warnings: on line 1, and on the last of two lines that one instruction has.
const TWO: &str = "FROM scratch as base\nCOPY a \\\n  $nothing /b/\n";

fn env(dockerfile: &str) -> Env {
    let env = Env::new(User::Own);
    env.write("c/Dockerfile", dockerfile);
    env.write("c/a", "");
    env
}

#[test]
fn text_shows_the_place_the_rule_and_what_to_do() {
    let env = env(TWO);
    let ran = env.mkimg(["check", "c"]).exits(1);
    for words in [
        "warning[FromAsCasing]",
        "c/Dockerfile:1:14",
        "help: write `AS`",
        "warning[UndefinedVar]",
        "c/Dockerfile:3:3",
        "3 |   $nothing /b/\n  |   ^^^^^^^^",
        "2 warnings\n",
    ] {
        assert!(ran.out().contains(words), "{words}: {}", ran.out());
    }
    assert_eq!(ran.err(), "");
}

#[test]
fn no_warning_exits_with_zero_and_nothing_is_written() {
    let env = env("FROM nowhere\nRUN make\n");
    let ran = env.mkimg(["check", "c"]).success();
    assert_eq!(ran.line(), "no warnings");
    assert!(!env.store().exists());
    let here = env.command(["check"]).current_dir(env.path("c")).output();
    assert!(here.unwrap().status.success());
}

#[test]
fn every_user_can_check() {
    for user in User::all() {
        let env = Env::new(*user);
        env.write("Dockerfile", "FROM scratch\nCMD a\n");
        let ran = env.mkimg(["check", "."]).exits(1);
        assert!(ran.out().contains("JSONArgsRecommended"));
    }
}

#[test]
fn json_has_the_members_of_dockers_checks() {
    let env = env(TWO);
    let document = env
        .mkimg(["check", "--format", "json", "c"])
        .exits(1)
        .json();
    assert_eq!(document["sources"][0]["filename"], "c/Dockerfile");
    assert_eq!(document["sources"][0]["language"], "Dockerfile");
    assert_eq!(document.get("buildError"), None);
    let warnings = document["warnings"].as_array().unwrap();
    let lines = |warning: &Value| {
        let range = &warning["location"]["ranges"][0];
        assert_eq!(warning["location"]["sourceIndex"], 0);
        [&range["start"]["line"], &range["end"]["line"]].map(|line| line.as_u64().unwrap())
    };
    assert_eq!(warnings.len(), 2);
    assert_eq!(warnings[0]["ruleName"], "FromAsCasing");
    assert_eq!(lines(&warnings[0]), [1, 1]);
    assert_eq!(warnings[1]["ruleName"], "UndefinedVar");
    // The whole instruction, as docker has it.
    assert_eq!(lines(&warnings[1]), [2, 3]);
    for warning in warnings {
        for member in ["description", "detail"] {
            assert!(!warning[member].as_str().unwrap().is_empty());
        }
        let page = "https://docs.docker.com/go/dockerfile/rule/";
        assert!(warning["url"].as_str().unwrap().starts_with(page));
    }
}

#[test]
fn json_has_the_mistake_that_ends_a_build() {
    let env = env("FROM scratch as a\nNOTHING\n");
    let ran = env.mkimg(["check", "--format=json", "c"]).exits(1);
    assert_eq!(ran.err(), "");
    let document = ran.json();
    assert_eq!(document["warnings"][0]["ruleName"], "FromAsCasing");
    let error = &document["buildError"];
    assert!(error["message"].as_str().unwrap().contains("NOTHING"));
    assert_eq!(error["location"]["ranges"][0]["start"]["line"], 2);
    env.mkimg(["check", "c"])
        .exits(1)
        .says(["unknown instruction `NOTHING`", "c/Dockerfile:2:1"]);
}

#[test]
fn sarif_is_what_code_hosts_take() {
    let env = env("FROM scratch AS b\u{e4}d\n");
    env.write("c d/Dockerfile", TWO);
    let document = env
        .mkimg(["check", "--format=sarif", "c d"])
        .exits(1)
        .json();
    assert_eq!(document["version"], "2.1.0");
    let schema = document["$schema"].as_str().unwrap();
    assert!(schema.ends_with("/sarif-schema-2.1.0.json"));
    let run = &document["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "mkimg");
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        let text = |member: &str| rule[member]["text"].as_str().unwrap();
        assert!(!text("shortDescription").is_empty() && !text("help").is_empty());
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(result["level"], "warning");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        // Relative, and written as a URI.
        assert_eq!(place["artifactLocation"]["uri"], "c%20d/Dockerfile");
    }
    let place = &results[1]["locations"][0]["physicalLocation"]["region"];
    let [line, from, to] =
        ["startLine", "startColumn", "endColumn"].map(|member| place[member].as_u64().unwrap());
    assert_eq!([line, from, to], [3, 3, 11]);
    let document = env.mkimg(["check", "--format=sarif", "c"]).exits(1).json();
    let result = &document["runs"][0]["results"][0];
    assert_eq!(result["level"], "error");
    assert_eq!(result["ruleId"], "InvalidDockerfile");
}

#[test]
fn the_flags_of_a_build_count() {
    let env = env("ARG V\nFROM scratch AS a\nENV x=$nothing\nFROM scratch AS b\n");
    env.write("other", "ARG V\nFROM base$V\n");
    env.mkimg(["check", "--target", "b", "c"]).success();
    env.mkimg(["build", "--check", "--target=b", "c"]).success();
    let all = env.mkimg(["build", "--check", "c"]).exits(1);
    assert!(all.out().contains("UndefinedVar"), "{}", all.out());
    env.mkimg(["check", "--file", "other", "--build-arg", "V=:1", "c"])
        .success();
    env.mkimg(["build", "--check", "-f", "other", "c"])
        .success();
    let skip = "BUILDKIT_DOCKERFILE_CHECK=skip=UndefinedVar";
    env.mkimg(["check", "--build-arg", skip, "c"]).success();
    env.mkimg(["check", "--target", "no", "c"])
        .exits(1)
        .says(["no stage \"no\""]);
    assert!(!env.store().exists());
}

#[test]
fn an_image_of_the_store_says_what_it_defines() {
    let env = env("FROM base\nENV a=$KNOWN b=$UNKNOWN\n");
    env.mkimg(["check", "c"]).success();
    env.write("base/Dockerfile", "FROM scratch\nENV KNOWN=1\n");
    env.mkimg(["build", "-t", "base", "base"]).success();
    let ran = env.mkimg(["check", "c"]).exits(1);
    assert!(ran.out().contains("`UNKNOWN`"), "{}", ran.out());
    assert!(ran.out().contains("1 warning\n"), "{}", ran.out());
}

#[test]
fn a_build_warns_by_the_names_of_rules() {
    let env = env("FROM scratch as base\nCOPY a /\n# check=skip=JSONArgsRecommended\nCMD a\n");
    let ran = env
        .mkimg(["build", "c"])
        .success()
        .says(["warning[FromAsCasing]", "(line 1)"]);
    assert!(!ran.err().contains("JSONArgs"), "{}", ran.err());
}

#[test]
fn a_build_whose_warnings_are_errors_does_nothing() {
    let env = env("# check=error=true;skip=FromAsCasing\nFROM scratch as base\nCOPY a /\nCMD a\n");
    let ran = env.mkimg(["build", "-t", "x", "c"]).exits(1).says([
        "warning[JSONArgsRecommended]",
        "errors here: JSONArgsRecommended",
    ]);
    assert!(!ran.err().contains("#1"), "{}", ran.err());
    assert_eq!(env.mkimg(["images", "-q"]).success().out(), "");
    env.mkimg(["check", "c"])
        .exits(1)
        .says(["errors here: JSONArgsRecommended"]);
    let skip = "BUILDKIT_DOCKERFILE_CHECK=skip=all";
    env.mkimg(["build", "--build-arg", skip, "c"]).success();
}

#[test]
fn a_build_that_fails_has_warned_before() {
    let env = env("FROM scratch as base\nFROM nowhere\n");
    env.mkimg(["build", "--offline", "c"])
        .exits(1)
        .says(["warning[FromAsCasing]", "no image \"nowhere\""]);
    env.write("c/Dockerfile", "FROM scratch as base\nFROM $nothing\n");
    env.mkimg(["build", "c"])
        .exits(1)
        .says(["warning[UndefinedArgInFrom]", "is empty"]);
}

#[test]
fn a_named_context_is_what_it_stands_for() {
    let env = env("FROM x\nENV A=$GIVEN B=$OTHER\nCOPY --from=y a /\n");
    env.write("d/a", "");
    let tar = support::base::files(&[("a", "")]);
    let import = ["import", "-c", "ENV GIVEN=1", "-", "base"];
    env.mkimg_with_input(import, &tar).success();
    let check = |command: &[&str], contexts: &[&str]| {
        let contexts = contexts.iter().flat_map(|one| ["--build-context", *one]);
        let args: Vec<&str> = command
            .iter()
            .copied()
            .chain(contexts)
            .chain(["c"])
            .collect();
        env.mkimg(args)
    };
    for command in [&["check"][..], &["build", "--check"]] {
        let undefined = |contexts: &[&str]| {
            let ran = check(command, contexts);
            ran.out().matches("warning[UndefinedVar]").count()
        };
        // Nothing is known of an image that is not at hand.
        assert_eq!(undefined(&[]), 0);
        assert_eq!(undefined(&["x=docker-image://absent", "y=d"]), 0);
        assert_eq!(undefined(&["x=docker-image://base", "y=d"]), 1);
        assert_eq!(undefined(&["x=d"]), 2);
        // Nobody answers there, and nobody is asked.
        assert_eq!(undefined(&["x=http://127.0.0.1:1/x.git"]), 2);
        let refused = check(command, &["x=nowhere"]).exits(1);
        refused.says(["nowhere", "not a directory"]);
    }
    env.write(
        "c/Dockerfile",
        "FROM scratch AS x\nMAINTAINER a\nCOPY $b /\nFROM x\n",
    );
    assert!(check(&["check"], &[]).out().contains("UndefinedVar"));
    assert!(!check(&["check"], &["x=d"]).out().contains("UndefinedVar"));
}

#[test]
fn a_dockerfile_comes_on_standard_input() {
    let env = env("FROM scratch\n");
    env.write("c/.dockerignore", "a\n");
    let check = |args: &[&str], input: &[u8]| env.mkimg_with_input(args, input);
    let dockerfile = b"FROM scratch as x\nCOPY a /\n";
    let alone = check(&["check", "-"], dockerfile).exits(1);
    assert!(alone.out().contains("FromAsCasing") && !alone.out().contains("CopyIgnoredFile"));
    let with = check(&["check", "-f", "-", "c"], dockerfile).exits(1);
    assert!(with.out().contains("FromAsCasing") && with.out().contains("CopyIgnoredFile"));
    check(&["check", "-f", "-", "-"], dockerfile)
        .exits(2)
        .says(["standard input"]);
    check(&["check", "-f", "x", "-"], dockerfile)
        .exits(2)
        .says(["-f names another"]);
    let tar = support::base::files(&[("Dockerfile", "FROM scratch\n")]);
    env.write("c.tar", &tar);
    let refused = check(&["check", "-"], &tar).exits(1);
    refused.says(["standard input is not a directory", "unpack"]);
    check(&["check", "c.tar"], b"")
        .exits(1)
        .says(["unpack or fetch it"]);
    check(&["check", "https://127.0.0.1:1/x.git"], b"")
        .exits(1)
        .says(["unpack or fetch it"]);
}
