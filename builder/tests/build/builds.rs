use std::fs;
use std::time::{Duration, Instant};

use builder::{BuildError, step::RunError};
use libtest_mimic::{Failed, Trial};

use crate::bench::Bench;

/// The ID of the image that [`image_id`] builds, by another user.
pub const EXPECTED: &str = "MKIMG_TEST_EXPECTED_ID";

const EVERYTHING: &str = "FROM base AS tools
WORKDIR /work
COPY in.txt .
RUN cat in.txt > made && touch empty && rm in.txt
FROM base
ENV GREETING=hello
COPY --from=tools /work /from
COPY --chown=app in.txt /home/
USER app
WORKDIR /home/sub/dir
RUN echo $GREETING > said; ls -ln /home/in.txt > listed
CMD [\"cat\", \"said\"]
";

pub fn image_id() -> Result<String, Failed> {
    let bench = Bench::new(EVERYTHING);
    bench.file("in.txt", "input\n");
    Ok(bench.build()?.id.to_string())
}

macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        pub fn trials() -> Vec<Trial> {
            vec![$(Trial::test(stringify!($name), || {
                $name();
                Ok(())
            })),*]
        }
    };
}

trials![
    commands_make_layers,
    the_same_image_everywhere,
    a_cached_build_is_the_same,
    nothing_of_the_host_is_in_a_layer,
    commands_see_their_environment,
    a_failed_command_is_told_of,
    a_program_that_is_not_there,
    scratch_has_no_shell,
    a_cancelled_command_ends,
    a_step_sees_what_the_one_before_made,
    sixteen_builds_at_once,
];

fn commands_make_layers() {
    let bench = Bench::new(EVERYTHING);
    bench.file("in.txt", "input\n");
    bench.build().unwrap();
    let config = bench.config();
    assert_eq!(config.rootfs.diff_ids.len(), 5);
    let copied = bench.layer(1);
    assert_eq!(copied["/from/made"], "input\n");
    assert!(copied.contains_key("/from/empty") && !copied.contains_key("/from/in.txt"));
    let said = bench.layer(4);
    assert_eq!(said["/home/sub/dir/said"], "hello\n");
    assert!(said["/home/sub/dir/listed"].contains("1000"), "{said:?}");
    assert_eq!(bench.left_behind(), 0);
    assert!(bench.request.store.verify().unwrap().is_empty());
}

fn the_same_image_everywhere() {
    let id = image_id().unwrap();
    assert_eq!(image_id().unwrap(), id);
    if let Ok(expected) = std::env::var(EXPECTED) {
        assert_eq!(id, expected, "another user's build");
    }
}

fn a_cached_build_is_the_same() {
    let mut bench = Bench::new(EVERYTHING);
    bench.file("in.txt", "input\n");
    let built = bench.build().unwrap();
    assert_eq!(bench.cached(), [0usize; 0]);
    let start = Instant::now();
    assert_eq!(bench.build().unwrap().manifest, built.manifest);
    println!("cached build: {:?}", start.elapsed());
    assert_eq!(bench.cached().len(), 7);
    bench.request.no_cache = true;
    assert_eq!(bench.build().unwrap().manifest, built.manifest);
    // a step on what the cache gave sees the same as on what was just made
    bench.request.no_cache = false;
    bench.forget_snapshots();
    let text = &mut bench.request.dockerfile.text;
    *text = text.replace(
        "ls -ln /home/in.txt > listed",
        "ls -ln /home/in.txt > listed ; true",
    );
    bench.cached();
    let again = bench.build().unwrap();
    assert_eq!(bench.cached().len(), 6);
    assert_ne!(again.manifest, built.manifest);
    assert_eq!(bench.layer(4)["/home/sub/dir/said"], "hello\n");
}

fn nothing_of_the_host_is_in_a_layer() {
    let bench = Bench::new(
        "FROM base\nRUN cat /etc/resolv.conf /etc/hosts /etc/hostname; touch /made\nRUN true",
    );
    bench.build().unwrap();
    assert!(bench.output().contains("127.0.0.1\tlocalhost"));
    let layer = bench.layer(1);
    let paths: Vec<_> = layer.keys().filter(|path| *path != "/").collect();
    assert_eq!(paths, ["/made"]);
    assert_eq!(bench.config().rootfs.diff_ids.len(), 2);
}

fn commands_see_their_environment() {
    let mut bench = Bench::new(
        "FROM base\nARG A=1\nENV E=2\nUSER app\nRUN echo $A $E $HOME $SOURCE_DATE_EPOCH $NOPE; echo bad >&2",
    );
    bench.request.build_args.insert("A".into(), "3".into());
    bench.build().unwrap();
    let output = bench.output();
    assert!(output.contains("3 2 /home 315532800\n"), "{output}");
    assert!(output.contains("bad\n"));
}

fn a_failed_command_is_told_of() {
    let bench = Bench::new("FROM base\nRUN echo one; echo two >&2; exit 7");
    let error = bench.build().unwrap_err();
    assert!(matches!(
        &error,
        BuildError::Run {
            source: RunError::Exit { code: 7, .. },
            ..
        }
    ));
    assert_eq!(error.span().unwrap().line, 2);
    let mut lines = error.last_lines().to_vec();
    lines.sort();
    assert_eq!(lines, ["one", "two"]);
    let log = fs::read_to_string(error.log().unwrap()).unwrap();
    assert_eq!(log.lines().count(), 2);
    assert!(bench.request.store.resolve("out").is_err());
    assert_eq!(bench.left_behind(), 0);
    let killed = Bench::new("FROM base\nRUN kill -9 $$");
    assert!(matches!(
        killed.build(),
        Err(BuildError::Run {
            source: RunError::Exit { code: 137, .. },
            ..
        })
    ));
}

fn a_program_that_is_not_there() {
    let bench = Bench::new("FROM base\nRUN [\"/nope\", \"x\"]");
    let error = bench.build().unwrap_err();
    assert!(
        matches!(
            &error,
            BuildError::Run {
                source: RunError::Executor(_),
                ..
            }
        ),
        "{error:?}"
    );
}

fn scratch_has_no_shell() {
    let bench = Bench::new("FROM scratch\nRUN true");
    let error = bench.build().unwrap_err();
    assert!(error.hint().unwrap().contains("no shell"), "{error:?}");
}

fn a_cancelled_command_ends() {
    let bench = Bench::new("FROM base\nRUN echo started; sleep 100 & sleep 100");
    let cancel = bench.request.cancel.clone();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while bench.heard.output.lock().unwrap().is_empty() && start.elapsed().as_secs() < 20 {
                std::thread::sleep(Duration::from_millis(5));
            }
            cancel.cancel();
        });
        assert!(matches!(bench.build(), Err(BuildError::Cancelled)));
    });
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(bench.left_behind(), 0);
    assert!(bench.request.store.resolve("out").is_err());
}

fn a_step_sees_what_the_one_before_made() {
    let bench = Bench::new(
        "FROM base\nRUN echo a > /a\nCOPY in.txt /\nRUN cat /a /in.txt > /b; rm /a\nRUN ls / > /c; cat /b",
    );
    bench.file("in.txt", "i\n");
    bench.build().unwrap();
    assert_eq!(bench.output(), "a\ni\n");
    let last = bench.layer(4);
    let listed: Vec<_> = last["/c"].lines().collect();
    assert!(
        listed.contains(&"b") && !listed.contains(&"a"),
        "{listed:?}"
    );
}

fn sixteen_builds_at_once() {
    let bench = Bench::new(EVERYTHING);
    bench.file("in.txt", "input\n");
    let built: Vec<_> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| bench.build().unwrap().manifest))
            .collect();
        builds.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(built.iter().all(|one| *one == built[0]));
    assert!(bench.request.store.verify().unwrap().is_empty());
    assert_eq!(bench.left_behind(), 0);
}
