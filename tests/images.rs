//! `mkimg images` and `mkimg ls`.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, User};

#[test]
fn lists_in_dockers_columns() {
    for &user in User::all() {
        let env = Env::new(user);
        let empty = env.mkimg(["images"]).success();
        assert_eq!(
            empty.out(),
            "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
        );
        let id = env.import_files("localhost:5000/some/app:1", &[("a", "1")]);
        let short = &id["sha256:".len()..][..12];
        env.mkimg(["tag", "localhost:5000/some/app:1", "debian"])
            .success();
        let listed = env.mkimg(["ls"]).success();
        let lines: Vec<&str> = listed.out().lines().collect();
        assert_eq!(lines.len(), 3, "{listed}");
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(lines[1])[..3], ["debian", "latest", short]);
        assert_eq!(
            words(lines[2])[..3],
            ["localhost:5000/some/app", "1", short]
        );
        assert!(lines[1].ends_with("2.048kB"), "{listed}");
        // columns begin below their headings
        for heading in ["TAG", "IMAGE ID", "CREATED", "SIZE"] {
            let at = lines[0].find(heading).unwrap();
            assert_eq!(&lines[1][at - 1..at], " ", "{listed}");
            assert_ne!(&lines[1][at..=at], " ", "{listed}");
        }
        assert_eq!(listed.out(), env.mkimg(["images"]).out());
    }
}

#[test]
fn quiet_prints_each_id_once() {
    let env = Env::new(User::Own);
    let first = env.import_files("a", &[("a", "1")]);
    env.mkimg(["tag", "a", "b"]).success();
    let second = env.import_files("c", &[("a", "2")]);
    let long = env.mkimg(["images", "-q", "--no-trunc"]).success();
    assert_eq!(long.out(), format!("{second}\n{first}\n"));
    let short = env.mkimg(["images", "-q"]).success();
    assert_eq!(
        short.out(),
        format!("{}\n{}\n", &second[7..19], &first[7..19])
    );
}

#[test]
fn json_is_an_object_a_line() {
    let env = Env::new(User::Own);
    let id = env.import_files("a", &[("a", "1")]);
    env.import_files("b:2", &[("a", "2")]);
    let ran = env
        .mkimg(["images", "--format", "json", "--no-trunc"])
        .success();
    let lines: Vec<serde_json::Value> = ran
        .out()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["Repository"], "a");
    assert_eq!(lines[1]["Tag"], "latest");
    assert_eq!(lines[1]["ID"], id);
    assert_eq!(lines[1]["CreatedAt"], "1980-01-01T00:00:00Z");
    let wrong = env.mkimg(["images", "--format", "{{.ID}}"]).exits(2);
    assert!(wrong.err().contains("table, json"), "{wrong}");
}

#[test]
fn a_name_selects() {
    let env = Env::new(User::Own);
    for name in ["a:1", "a:2", "b:1"] {
        env.import_files(name, &[("a", name)]);
    }
    let tags = |args: &[&str]| {
        let ran = env.mkimg([&["images"], args].concat()).success();
        let lines = ran.out().lines().skip(1);
        let tag = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
        lines.map(tag).collect::<Vec<_>>()
    };
    assert_eq!(tags(&["a"]), ["2", "1"]);
    assert_eq!(tags(&["docker.io/library/a:1"]), ["1"]);
    assert!(tags(&["c"]).is_empty());
    env.mkimg(["images", "A B"]).exits(1).says(["\"A B\""]);
}

#[test]
fn names_taken_away_leave_an_image_without() {
    let env = Env::new(User::Own);
    env.import_files("a", &[("a", "1")]);
    env.import_files("a", &[("a", "2")]);
    let ran = env.mkimg(["images", "--digests"]).success();
    let none = ran.out().lines().last().unwrap().to_owned();
    assert!(none.starts_with("<none>       <none>    <none>"), "{ran}");
}

#[test]
fn filters_select() {
    let env = Env::new(User::Own);
    let nameless = env.import_files("a", &[("a", "1")]);
    let labelled = env
        .mkimg_with_input(
            ["import", "-c", "LABEL one=1 two=2", "-", "a"],
            &support::base::files(&[("b", "2")]),
        )
        .success();
    let ids = |filters: &[&str]| {
        let ran = env.mkimg([&["images", "-aq", "--no-trunc"], filters].concat());
        ran.success().out().to_owned()
    };
    assert_eq!(ids(&["-f", "dangling=true"]), format!("{nameless}\n"));
    let named = labelled.out();
    for filters in [
        &["-f", "dangling=false"][..],
        &["--filter", "label=one"],
        &["-f", "label=one=1", "-f", "label=two"],
    ] {
        assert_eq!(ids(filters), named, "{filters:?}");
    }
    assert_eq!(ids(&["-f", "label=one=2"]), "");
    env.mkimg(["images", "-f", "since=x"])
        .exits(2)
        .says(["dangling=true"]);
}

#[test]
fn a_damaged_image_does_not_hide_the_others() {
    let env = Env::new(User::Own);
    env.import_files("good", &[("a", "1")]);
    let bad = env.import_files("bad", &[("a", "2")]);
    let config = env.store().join("blobs/sha256").join(&bad[7..]);
    std::fs::write(config, "{}").unwrap();
    let ran = env.mkimg(["images"]).success().says(["warning", &bad[7..]]);
    assert!(ran.out().contains("good"), "{ran}");
    assert!(!ran.out().contains("bad"), "{ran}");
}

#[test]
fn a_closed_reader_is_no_failure_worth_a_word() {
    let env = Env::new(User::Own);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = env.command(["images"]);
    let child = command
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 13));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
