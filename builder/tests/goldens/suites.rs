//! The suites, where their contexts are, and what is known to differ.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::BuildError;
use libtest_mimic::Trial;

use crate::bench::Bench;
use crate::case::{Case, corpora};
use crate::image::{Difference, config_history_layers};

/// The tar of the debian base's root file system, which takes minutes to make:
/// `mmdebstrap --variant=minbase --include=adduser,ca-certificates bookworm FILE`.
const DEBIAN: &str = "MKIMG_GOLDENS_DEBIAN";

/// Files that hold the day of the build: `useradd` notes when a password was set, and a case keeps what `date` said.
const DATED: &[&str] = &["etc/shadow", "etc/shadow-", "date"];

pub fn trials() -> Vec<Trial> {
    let copies: Chosen = |case| !case.runs() && !case.is_on_debian();
    let commands: Chosen = |case| case.runs() && !case.is_on_debian();
    vec![
        trial("buildah_copies", &BUILDAH, copies, [34, 3, 0]),
        trial("buildah_commands", &BUILDAH, commands, [17, 1, 0]),
        trial("kaniko_copies", &KANIKO, copies, [16, 1, 0]),
        trial("kaniko_commands", &KANIKO, commands, [24, 2, 0]),
        trial("buildah_on_debian", &BUILDAH, Case::is_on_debian, [3, 0, 1]),
        trial("kaniko_on_debian", &KANIKO, Case::is_on_debian, [23, 0, 5]),
    ]
}

type Chosen = fn(&Case) -> bool;

/// A suite, and what its corpus has lost since BuildKit built it.
struct Suite {
    directory: &'static str,
    /// Makes a case's context and the directory of its Dockerfile in the empty directory; returns both paths.
    context: fn(&Path, &Case, &Path) -> (PathBuf, PathBuf),
    /// The bits of modes to compare.
    modes: u32,
    /// Files not to compare.
    left_out: fn(&str) -> bool,
}

const BUILDAH: Suite = Suite {
    directory: "builds-buildah",
    context: unpacked,
    modes: 0o7777,
    left_out: |_| false,
};

/// The corpus lies read-only; its list of cases has changed since, a file is gone, and the copy of it here has
/// no executables.
const KANIKO: Suite = Suite {
    directory: "builds-kaniko",
    context: copied,
    modes: 0o7555,
    left_out: |path| path.ends_with("cases.jsonl") || path.ends_with("Dockerfile_relative_copy"),
};

fn unpacked(suite: &Path, case: &Case, dir: &Path) -> (PathBuf, PathBuf) {
    let tar = suite.join(case.record["context"].as_str().unwrap());
    succeeds(Command::new("tar").arg("-xpf").arg(tar).current_dir(dir));
    let dockerfile = dir.join(case.record["dockerfile"].as_str().unwrap());
    (dir.to_owned(), dockerfile)
}

fn copied(suite: &Path, case: &Case, dir: &Path) -> (PathBuf, PathBuf) {
    let root = dir.join("c");
    succeeds(Command::new("cp").arg("-rp").arg(suite).arg(&root));
    succeeds(Command::new("chmod").args(["-R", "u+w"]).arg(&root));
    // What BuildKit made was not there when it did.
    fs::remove_dir_all(root.join("golden")).unwrap();
    let dockerfile = root.join(case.record["dockerfile"].as_str().unwrap());
    (
        root.join(case.record["context"].as_str().unwrap()),
        dockerfile,
    )
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Builds the chosen cases; of them so many are the same, fail in both, and are refused.
fn trial(name: &str, suite: &'static Suite, chosen: Chosen, expected: [usize; 3]) -> Trial {
    Trial::test(name, move || {
        if let Some(found) = run(suite, chosen) {
            assert_eq!(found, expected);
        }
        Ok(())
    })
}

fn run(suite: &Suite, chosen: Chosen) -> Option<[usize; 3]> {
    let corpora = corpora()?;
    let directory = corpora.join(suite.directory);
    let cases = Case::all(&directory);
    let cases: Vec<Case> = cases.into_iter().filter(chosen).collect();
    let bench = Bench::new(&corpora);
    if cases.iter().any(Case::is_on_debian) {
        match std::env::var_os(DEBIAN) {
            Some(tar) => bench.add_debian(Path::new(&tar)),
            None => {
                println!("no {DEBIAN}: the cases on debian were not run");
                return None;
            }
        }
    }
    let (mut counts, mut wrong) = ([0; 3], Vec::new());
    for case in &cases {
        match compare(suite, &directory, &bench, case) {
            Ok(outcome) => counts[outcome as usize] += 1,
            Err(difference) => wrong.push(format!("{}: {difference}", case.name())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Some(counts)
}

/// What became of a case, in the order of the counts.
#[derive(Clone, Copy)]
enum Outcome {
    Same,
    BothFail,
    /// The language is not there yet.
    Refused,
}

fn compare(suite: &Suite, directory: &Path, bench: &Bench, case: &Case) -> Result<Outcome, String> {
    let dir = tempfile::tempdir().unwrap();
    let (context, dockerfile) = (suite.context)(directory, case, dir.path());
    // It is copied in some cases, as it was when BuildKit built it: with its base replaced.
    fs::write(&dockerfile, case.text()).unwrap();
    let built = bench.build(case, &context, &dockerfile);
    let works = case.golden["ok"] == true;
    let image = match built {
        Ok(image) if works => image,
        Ok(_) => return Err("was to fail".to_owned()),
        Err(BuildError::Parse(error)) if error.to_string().contains("not supported") => {
            return Ok(Outcome::Refused);
        }
        Err(_) if !works => return Ok(Outcome::BothFail),
        Err(error) => return Err(format!("{error:?}")),
    };
    let base = match case.golden["base"].as_str().unwrap() {
        "scratch" => None,
        base => Some(bench.store.resolve(base).unwrap()),
    };
    let found = Difference::of(&bench.store, &image, base.as_ref(), suite.modes);
    let expected = Difference::golden(&case.golden, suite.modes);
    let [found, expected] = [found, expected].map(|all| all.without(suite.left_out).undated(DATED));
    if found != expected {
        return Err(format!("files\n{found:#?}\nand not\n{expected:#?}"));
    }
    let golden = &case.golden;
    let found = config_history_layers(&image, golden);
    let expected = (
        golden["config"].clone(),
        golden["history"].as_array().unwrap().clone(),
        golden["layers"].as_u64().unwrap(),
    );
    if found != expected {
        return Err(format!(
            "config, history, layers\n{found:#?}\nand not\n{expected:#?}"
        ));
    }
    let again = bench.build(case, &context, &dockerfile).unwrap();
    if again.descriptor != image.descriptor {
        return Err("another image out of the cache".to_owned());
    }
    Ok(Outcome::Same)
}
