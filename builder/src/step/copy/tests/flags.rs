//! `--link`, `--parents`, `--exclude`, `--chmod` by changes, and heredocs.

use super::*;

const PLAIN: Flags<'static> = Flags {
    workdir: None,
    chown: None,
    chmod: None,
    from: None,
    link: false,
    parents: false,
    closure: false,
    exclude: &[],
    heredocs: &[],
    add: None,
};

fn paths(bench: &Bench, layer: &Layer) -> Vec<String> {
    let list = bench.list(layer).into_iter();
    list.map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn changes_to_permissions_are_of_each_file_its_own() {
    let bench = Bench::new();
    bench.file("d/run", "", 0o700);
    bench.file("d/read", "", 0o600);
    let flags = Flags {
        chmod: Some("go=u,go-w"),
        ..PLAIN
    };
    let (layer, first) = bench.try_copy(&["d"], "/new/t", &flags).unwrap();
    assert_eq!(
        bench.list(&layer)[1..],
        [
            "new/t 755 0:0 dir",
            "new/t/read 644 0:0 file ",
            "new/t/run 755 0:0 file ",
        ]
    );
    // Unlike those that are set, they are part of the key.
    bench.file("d/read", "", 0o640);
    let (_, second) = bench.try_copy(&["d"], "/new/t", &flags).unwrap();
    assert_ne!(first, second);
    let flags = Flags {
        chmod: Some("rwx"),
        ..PLAIN
    };
    bench.refused(&["d"], "/t", &flags);
}

#[test]
fn a_linked_layer_knows_nothing_of_the_image_below() {
    let mut bench = Bench::new();
    bench.file("f", "F", 0o644);
    let flags = Flags {
        link: true,
        chown: Some("7:8"),
        workdir: Some("/link"),
        ..PLAIN
    };
    let (alone, key) = bench.try_copy(&["f"], "d/", &flags).unwrap();
    assert_eq!(
        bench.list(&alone),
        [
            "link 755 7:8 dir",
            "link/d 755 7:8 dir",
            "link/d/f 644 7:8 file F"
        ]
    );
    bench.file("l/x", "", 0o644);
    symlink("/x", bench.context.path().join("l/link")).unwrap();
    bench.file("l/etc/passwd", "app:x:1:1::/:\n", 0o644);
    bench.copy(&["l"], "/", &PLAIN);
    assert_eq!(bench.try_copy(&["f"], "d/", &flags).unwrap(), (alone, key));
    let named = Flags {
        chown: Some("app"),
        ..flags
    };
    let error = bench.refused(&["f"], "d/", &named);
    assert!(error.hint().unwrap().contains("--link"), "{error:?}");
    // With permissions it is no link, as docker has it.
    let flags = Flags {
        chmod: Some("600"),
        ..named
    };
    let layer = bench.try_copy(&["f"], "/link", &flags);
    assert!(matches!(layer, Ok((layer, _)) if bench.list(&layer) == ["x 600 1:1 file F"]));
}

fn tree() -> Bench {
    let bench = Bench::new();
    for path in [
        "a/b/c/d/foo",
        "a/b/c/d/e/bay",
        "a/b2/c/d/e/bar",
        "a/b/c2/d/e2/baz",
        "top",
    ] {
        bench.file(path, path, 0o644);
    }
    for path in ["a", "a/b"] {
        let path = bench.context.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    bench
}

#[test]
fn parents_come_along() {
    let mut bench = tree();
    let root = bench.copy(&["."], "/test", &PLAIN);
    let stack = [root.into()];
    bench.base.clear();
    for (source, expected) in [
        (
            "a/b/c/d",
            "a a/b a/b/c a/b/c/d a/b/c/d/e a/b/c/d/e/bay a/b/c/d/foo",
        ),
        ("./a/b/./c/d/e", "c c/d c/d/e c/d/e/bay"),
        (
            "/a/b/c/d/.",
            "a a/b a/b/c a/b/c/d a/b/c/d/e a/b/c/d/e/bay a/b/c/d/foo",
        ),
        ("a/./b2/./c", "b2 b2/c b2/c/d b2/c/d/e b2/c/d/e/bar"),
        ("a/./*/c/d/foo", "b b/c b/c/d b/c/d/foo"),
        ("a/b*/./c/**/e", "c c/d c/d/e c/d/e/bar c/d/e/bay"),
        ("a/b/c*/./**/ba[yz]", "d d/e d/e/bay d/e2 d/e2/baz"),
        ("a/b/./x*", ""),
        ("x*/./y", ""),
        ("top", "top"),
        ("../../top", "top"),
    ] {
        for from in [None, Some(&stack[..])] {
            let flags = Flags {
                parents: true,
                from,
                ..PLAIN
            };
            let source = match from {
                Some(_) => format!("/test/./{}", source.trim_start_matches("./")),
                None => source.to_owned(),
            };
            // Two pivots are one.
            if source.matches("/./").count() > 1 || from.is_some() && source.contains("..") {
                continue;
            }
            let (layer, _) = bench.try_copy(&[&source], "/out/", &flags).unwrap();
            let found = paths(&bench, &layer);
            let found: Vec<&str> = found
                .iter()
                .filter_map(|path| path.strip_prefix("out/"))
                .collect();
            assert_eq!(found.join(" "), expected, "{source}");
        }
    }
    let flags = Flags {
        parents: true,
        ..PLAIN
    };
    for missing in ["a/x", "a/x/./y", "a/./x", ".", "x/./*"] {
        bench.refused(&[missing], "/out/", &flags);
    }
    let layer = bench.copy(&["a/b/c/d/foo"], "/", &flags);
    let list = bench.list(&layer);
    assert_eq!(list[..2], ["a 700 0:0 dir", "a/b 700 0:0 dir"]);
    // Of a directory that is there, what is only on the way changes nothing but the permissions.
    let owned = Flags {
        chown: Some("5"),
        chmod: Some("755"),
        ..flags
    };
    let layer = bench.copy(&["a/b/c/d/foo"], "/", &owned);
    let list = bench.list(&layer);
    assert_eq!(list[..2], ["a 700 0:0 dir", "a/b 700 0:0 dir"]);
    assert_eq!(list.last().unwrap(), "a/b/c/d/foo 755 5:5 file a/b/c/d/foo");
}

#[test]
fn nothing_is_entered_that_parents_do_not_want() {
    let bench = tree();
    // Deeper than is walked.
    let deep = "x/".repeat(400);
    fs::create_dir_all(bench.context.path().join("big").join(deep)).unwrap();
    let flags = Flags {
        parents: true,
        ..PLAIN
    };
    let (layer, _) = bench.try_copy(&["a/b2"], "/", &flags).unwrap();
    assert_eq!(paths(&bench, &layer).len(), 6);
    bench.refused(&["**/foo"], "/", &flags);
    let flags = Flags {
        exclude: &["big"],
        ..PLAIN
    };
    bench.try_copy(&["."], "/", &flags).unwrap();
}

#[test]
fn what_is_excluded_stays_away() {
    let mut bench = tree();
    let stack = [bench.copy(&["."], "/", &PLAIN).into()];
    bench.base.clear();
    for from in [None, Some(&stack[..])] {
        let with = |exclude| Flags {
            exclude,
            from,
            ..PLAIN
        };
        let copied = |sources: &[&str], exclude: &'static [&'static str]| {
            let (layer, reads) = bench.try_copy(sources, "/o/", &with(exclude)).unwrap();
            let found = paths(&bench, &layer);
            let found = found.iter().filter_map(|path| path.strip_prefix("o/"));
            (found.collect::<Vec<_>>().join(" "), reads)
        };
        assert_eq!(copied(&["a"], &["b", "b2/c/d"]).0, "b2 b2/c");
        assert_eq!(copied(&["a/b*"], &["c2", "**/e"]).0, "c c/d c/d/foo");
        assert_eq!(
            copied(&["a"], &["*", "!b2"]).0,
            "b2 b2/c b2/c/d b2/c/d/e b2/c/d/e/bar"
        );
        assert_eq!(copied(&["a"], &["**"]).0, "");
        // Of a file that is named nothing is left out, as docker has it.
        assert_eq!(copied(&["t*"], &["top"]).0, "top");
        assert_ne!(copied(&["a"], &["x"]).1, copied(&["a"], &[]).1);
        assert_eq!(copied(&["a"], &["x"]).0, copied(&["a"], &[]).0);
        bench.refused(&["a"], "/o/", &with(&["[a"]));
    }
    let flags = Flags {
        exclude: &["**/foo"],
        parents: true,
        ..PLAIN
    };
    let (layer, _) = bench.try_copy(&["a/b/c"], "/", &flags).unwrap();
    assert_eq!(paths(&bench, &layer).last().unwrap(), "a/b/c/d/e/bay");
    bench.refused(&["a/b/c/d/foo"], "/", &flags);
}

#[test]
fn heredocs_are_files_of_the_dockerfile() {
    let mut bench = Bench::new();
    bench.file("f", "F", 0o600);
    let flags = Flags {
        heredocs: &[("EOF", "one\n"), ("two", "")],
        ..PLAIN
    };
    let (layer, reads) = bench.try_copy(&["f"], "d/", &flags).unwrap();
    assert_eq!(
        bench.list(&layer),
        [
            "d 755 0:0 dir",
            "d/EOF 644 0:0 file one\n",
            "d/f 600 0:0 file F",
            "d/two 644 0:0 file ",
        ]
    );
    let other = Flags {
        heredocs: &[("EOF", "two\n"), ("two", "")],
        ..flags
    };
    assert_ne!(bench.try_copy(&["f"], "d/", &other).unwrap().1, reads);
    let long = "0123456789abcdef".repeat(40_000);
    let alone = [("EOF", long.as_str())];
    let alone = Flags {
        heredocs: &alone,
        chown: Some("3"),
        chmod: Some("a+x"),
        ..PLAIN
    };
    let layer = bench.copy(&[], "/x", &alone);
    assert_eq!(bench.list(&layer), [format!("x 755 3:3 file {long}")]);
    // From another stage, too: after what is copied from there.
    let stack = [layer.into()];
    let from = Flags {
        from: Some(&stack),
        heredocs: &[("h", "H")],
        ..PLAIN
    };
    let (layer, reads) = bench.try_copy(&["x"], "/y/", &from).unwrap();
    assert_eq!(paths(&bench, &layer), ["y", "y/h", "y/x"]);
    let other = Flags {
        heredocs: &[("h", "I")],
        ..from
    };
    assert_ne!(bench.try_copy(&["x"], "/y/", &other).unwrap().1, reads);
    for name in ["a/b", "..", ""] {
        let heredocs = [(name, "")];
        let flags = Flags {
            heredocs: &heredocs,
            ..PLAIN
        };
        bench.refused(&[], "/x/", &flags);
    }
}
