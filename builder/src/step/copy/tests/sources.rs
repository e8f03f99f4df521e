//! What sources name in the context.

use super::*;

#[test]
fn links_of_a_source_stay_in_the_context() {
    let bench = Bench::new();
    bench.file("real/f", "F", 0o644);
    let path = |name: &str| bench.context.path().join(name);
    symlink("/real", path("abs")).unwrap();
    symlink("../../../../etc", path("up")).unwrap();
    symlink("b", path("a")).unwrap();
    symlink("a", path("b")).unwrap();
    let (layer, _) = bench.try_copy(&["abs/f"], "/", &Flags::default()).unwrap();
    assert_eq!(bench.list(&layer), ["f 644 0:0 file F"]);
    for (source, error) in [
        ("up/passwd", "Missing"),
        ("a", "Loop"),
        ("real/f/x", "Missing"),
    ] {
        let CopyError::Context { source: found, .. } =
            bench.refused(&[source], "/", &Flags::default())
        else {
            panic!("{source}");
        };
        assert!(format!("{found:?}").starts_with(error), "{found:?}");
    }
}

#[test]
fn what_the_ignore_file_leaves_out_is_not_there() {
    let bench = Bench::new();
    bench.file(
        ".dockerignore",
        "# no logs\nlog\n!log/keep\n**/*.tmp\n",
        0o600,
    );
    bench.file("log/a", "", 0o644);
    bench.file("log/keep", "K", 0o644);
    bench.file("src/a.tmp", "", 0o644);
    bench.file("src/a", "A", 0o644);
    let copied = |source: &str| {
        let copied = bench.try_copy(&[source], "/t/", &Flags::default());
        copied.map(|(layer, _)| bench.list(&layer).split_off(1))
    };
    assert_eq!(copied("log").unwrap(), ["t/keep 644 0:0 file K"]);
    assert_eq!(copied("src/*").unwrap(), ["t/a 644 0:0 file A"]);
    let error = copied("log/a").unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "\"log/a\" is left out of the build context by line 2 of .dockerignore"
    );
    assert!(error.hint().unwrap().contains("line 2"));
    assert!(copied("src/a.tmp").is_err());
}

#[test]
fn odd_kinds() {
    let bench = Bench::new();
    fs::create_dir(bench.context.path().join("d")).unwrap();
    let fifo = bench.context.path().join("d/fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let (layer, _) = bench.try_copy(&["d"], "/t", &Flags::default()).unwrap();
    assert_eq!(bench.list(&layer)[1], "t/fifo 600 0:0 Fifo");
    let _socket = std::os::unix::net::UnixListener::bind(bench.context.path().join("d/s")).unwrap();
    let error = bench.refused(&["d"], "/t", &Flags::default());
    assert!(error.hint().unwrap().contains(".dockerignore"), "{error:?}");
}

#[test]
fn a_file_that_changes_is_noticed() {
    let bench = Bench::new();
    bench.file("f", "F", 0o644);
    let context = bench.open();
    let cancel = Cancel::new();
    let maker = Maker::new(&bench.store, &[], DEFAULT_EPOCH, &cancel);
    let copy = Copy::plain(vec![word("f")], word("/f"));
    let step = CopyStep {
        copy: Cow::Borrowed(&copy),
        add: None,
        workdir: "/",
        from: CopySource::Context(&context),
        keep_top: false,
        literal: false,
        span: SPAN,
    };
    let found = find::find(&maker, &step, &mut |_, _| {}).unwrap();
    let words = Words::of(&step).unwrap();
    for (change, replaced) in [("longer", false), ("G", false), ("F", true), ("", false)] {
        if replaced {
            fs::remove_file(bench.context.path().join("f")).unwrap();
        }
        bench.file("f", change, 0o644);
        let cancel = Cancel::new();
        let maker = Maker::new(&bench.store, &[], DEFAULT_EPOCH, &cancel);
        let made = maker.make(&found, &words, &mut |_, _| {}, &mut |_, _, _| {});
        let Err(CopyError::Context { source, .. }) = made else {
            panic!("{change}: {made:?}");
        };
        assert!(
            matches!(*source, crate::context::ContextError::Changed { .. }),
            "{source:?}"
        );
    }
}
