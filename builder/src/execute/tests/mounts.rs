//! What a command gets mounted, and what of it is in its key.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::executor::{StepMount, StepMountSource};
use crate::request::{RunNetwork, Secret, Ulimit};

const SECRET: &str = "a secret that nobody keeps";

fn secrets(value: &str) -> BTreeMap<String, Secret> {
    BTreeMap::from([("s".to_owned(), Secret(value.into()))])
}

/// The last command that was run, with its mounts by target.
fn last(bench: &Bench) -> (crate::executor::RunStep, BTreeMap<String, StepMount>) {
    let step = bench.executor.ran.lock().unwrap().last().unwrap().clone();
    let mounts = step.mounts.iter();
    let mounts = mounts.map(|mount| (mount.target.clone(), mount.clone()));
    let mounts = mounts.collect();
    (step, mounts)
}

#[test]
fn mounts_come_outer_ones_first_and_of_two_in_one_place_the_later() {
    let bench = Bench::new(
        "FROM base\nRUN --mount=target=w/a/b,source=x --mount=type=tmpfs,target=/w/a,size=1k \
         --mount=type=cache,target=/same --mount=type=tmpfs,target=/same,ro --mount=from=base,target=/img,rw nothing",
    );
    std::fs::write(bench.context.join("x"), "x").unwrap();
    bench.build().unwrap();
    let (step, mounts) = last(&bench);
    let targets: Vec<_> = step
        .mounts
        .iter()
        .map(|mount| mount.target.as_str())
        .collect();
    assert_eq!(targets, ["/img", "/same", "/w/a", "/w/a/b"]);
    assert!(matches!(
        mounts["/same"].source,
        StepMountSource::Tmpfs { size: None }
    ));
    assert!(matches!(
        mounts["/w/a"].source,
        StepMountSource::Tmpfs { size: Some(1024) }
    ));
    let read_only = |target: &str| mounts[target].read_only;
    assert_eq!(
        ["/img", "/same", "/w/a", "/w/a/b"].map(read_only),
        [false, true, false, true]
    );
}

#[test]
fn a_secret_reaches_its_command_and_no_record() {
    let mut bench = Bench::new(
        "FROM base\nENV TOKEN=public\nRUN --mount=type=secret,id=s,env=TOKEN --mount=type=secret,id=s,target=/t,mode=0644,uid=5 \
         --mount=type=secret,id=no say x",
    );
    bench.request.secrets = secrets(SECRET);
    bench.build().unwrap();
    let (step, mounts) = last(&bench);
    assert_eq!(
        step.secret_env,
        [("TOKEN".to_owned(), Secret(SECRET.into()))]
    );
    assert!(!step.env.iter().any(|entry| entry.starts_with("TOKEN=")));
    assert_eq!(mounts.keys().collect::<Vec<_>>(), ["/t"]);
    let StepMountSource::Secret { value, access } = &mounts["/t"].source else {
        panic!("a secret");
    };
    assert_eq!(
        (value, access.mode, access.uid),
        (&Secret(SECRET.into()), 0o644, 5)
    );
    assert!(!format!("{step:?}").contains(SECRET));
    let mut records = Vec::new();
    for entry in std::fs::read_dir(bench.request.store.root().join("cache/v1/steps")).unwrap() {
        records.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert!(records.iter().any(|record| record.contains("\"id\":\"s\"")));
    assert!(!records.iter().any(|record| record.contains(SECRET)));
    // Another value, or none, is the same step.
    for given in [secrets("another"), BTreeMap::new()] {
        bench.request.secrets = given;
        bench.build().unwrap();
    }
    assert_eq!(bench.executor.ran.lock().unwrap().len(), 1);
}

#[test]
fn what_is_asked_for_and_not_given_is_an_error_where_it_is_written() {
    for (mount, said) in [
        ("type=secret,id=s,required", "--secret id=s"),
        ("type=ssh,id=x,required", "--ssh x="),
    ] {
        let bench = Bench::new(&format!("FROM base\nRUN --mount={mount} nothing"));
        let error = bench.build().unwrap_err();
        assert!(error.hint().unwrap().contains(said), "{error}");
        let span = error.span().unwrap();
        assert_eq!((span.line, span.len()), (2, mount.len()));
        assert!(bench.executor.commands().is_empty());
    }
}

#[test]
fn a_source_in_the_context_has_no_wildcards() {
    let bench = Bench::new("FROM base\nRUN --mount=source=[a]*,target=/m nothing");
    std::fs::write(bench.context.join("a"), "x").unwrap();
    let error = bench.build().unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("mount the files"), "{said}");
    assert_eq!(error.span().unwrap().line, 2);
    std::fs::write(bench.context.join("[a]*"), "x").unwrap();
    bench.build().unwrap();
    assert_eq!(bench.executor.commands().len(), 1);
}

#[test]
fn the_key_is_of_what_is_mounted() {
    let text = |mount: &str| format!("FROM base\nRUN --mount={mount} nothing");
    let mut bench = Bench::new(&text("source=x,target=/m"));
    let context = bench.context.clone();
    let mut ran = 0;
    let mut again = |bench: &Bench, change: &str| -> Vec<String> {
        bench.heard.take();
        bench.build().unwrap();
        let commands = bench.executor.commands().len();
        let fresh = commands > ran;
        ran = commands;
        let heard = bench.heard.take();
        assert_eq!(
            fresh,
            !heard.iter().any(|line| line == "cached 1"),
            "{change}: {heard:?}"
        );
        heard
    };
    std::fs::write(context.join("x"), "1").unwrap();
    std::fs::write(context.join("y"), "1").unwrap();
    again(&bench, "the first");
    std::fs::write(context.join("y"), "2").unwrap();
    assert!(again(&bench, "a file beside").contains(&"cached 1".to_owned()));
    std::fs::write(context.join("x"), "2").unwrap();
    let heard = again(&bench, "the file");
    assert!(
        heard.iter().any(|line| line.contains("x changed")),
        "{heard:?}"
    );
    for (mount, said) in [
        ("source=x,target=/m,rw", "the mount at /m changed"),
        ("source=x,target=/n,rw", "the mount at /n is new"),
        ("type=cache,target=/n", "the mount at /n changed"),
        (
            "type=cache,target=/n,sharing=locked",
            "the mount at /n changed",
        ),
        ("type=tmpfs,target=/n", "the mount at /n changed"),
        ("type=tmpfs,target=/n,size=1k", "the mount at /n changed"),
    ] {
        bench.request.dockerfile = DockerfileText::new(text(mount));
        let heard = again(&bench, mount);
        assert!(
            heard.iter().any(|line| line.contains(said)),
            "{mount}: {heard:?}"
        );
    }
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    bench.request.add_hosts = vec![("db".to_owned(), address("10.0.0.1"))];
    again(&bench, "a host");
    bench.request.add_hosts[0].1 = address("10.0.0.2");
    assert!(again(&bench, "its address").contains(&"cached 1".to_owned()));
    bench.request.shm_size = Some(1 << 20);
    again(&bench, "the size of /dev/shm");
    bench.request.ulimits = vec![Ulimit {
        name: "nofile".to_owned(),
        soft: Some(5),
        hard: None,
    }];
    again(&bench, "a limit");
    let (step, _) = last(&bench);
    assert_eq!(
        (step.shm_size, step.hosts, step.ulimits),
        (
            Some(1 << 20),
            bench.request.add_hosts,
            bench.request.ulimits
        )
    );
}

#[test]
fn a_command_asks_for_less_network_and_not_for_more() {
    let mut bench = Bench::new("FROM base\nRUN --network=none nothing\nRUN --network=host nothing");
    bench.build().unwrap();
    let networks = |bench: &Bench| -> Vec<RunNetwork> {
        let ran = bench.executor.ran.lock().unwrap();
        ran.iter().map(|step| step.network).collect()
    };
    assert_eq!(networks(&bench), [RunNetwork::None, RunNetwork::Host]);
    bench.request.network = RunNetwork::None;
    let error = bench.build().unwrap_err();
    assert!(
        matches!(
            &error,
            BuildError::Run {
                source: RunError::NoNetwork,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.span().unwrap().line, 3);
}

#[test]
fn an_option_that_says_nothing_is_told() {
    let bench = Bench::new("FROM base\nRUN --mount=type=tmpfs,target=/t,from=base,id=x nothing");
    bench.build().unwrap();
    let heard = bench.heard.take();
    for name in ["`from`", "`id`"] {
        assert!(heard.iter().any(|line| line.contains(name)), "{heard:?}");
    }
}
