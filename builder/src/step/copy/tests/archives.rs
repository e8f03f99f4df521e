//! `ADD` of archives.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use image_format::layer::{Entry, LayerWriter, Meta};

use super::*;

const UNPACKED: Flags<'static> = Flags {
    add: Some(ADD),
    workdir: None,
    chown: None,
    chmod: None,
    from: None,
    link: false,
    parents: false,
    closure: false,
    exclude: &[],
    heredocs: &[],
};

fn dir() -> Kind {
    Kind::Dir
}

fn file(size: u64) -> Kind {
    Kind::File { size }
}

fn link(target: &str) -> Kind {
    Kind::Symlink(target.as_bytes().to_vec())
}

/// A tar of entries that belong to 1:2.
fn tar(entries: &[(&str, Kind, &str)]) -> Vec<u8> {
    let mut out = LayerWriter::new(Vec::new(), Timestamp::from_secs(i64::MAX >> 24));
    for (path, kind, content) in entries {
        let entry = Entry {
            path: Path::new(path).to_owned(),
            kind: kind.clone(),
            meta: Meta {
                mode: if *kind == Kind::Dir { 0o750 } else { 0o640 },
                uid: 1,
                gid: 2,
                mtime: Timestamp::from_secs(DEFAULT_EPOCH + 5),
                ..Meta::default()
            },
        };
        out.append(&entry, content.as_bytes()).unwrap();
    }
    out.finish().unwrap()
}

fn simple() -> Vec<u8> {
    tar(&[
        ("d", dir(), ""),
        ("d/f", file(1), "F"),
        ("d/g", Kind::Hardlink("d/f".into()), ""),
        ("implied/x", file(1), "X"),
        ("l", link("/etc/passwd"), ""),
    ])
}

const SIMPLE: [&str; 6] = [
    "d 750 1:2 dir",
    "d/f 640 1:2 file F",
    "d/g 640 1:2 = d/f",
    "implied 755 0:0 dir",
    "implied/x 640 1:2 file X",
    "l 777 1:2 -> /etc/passwd",
];

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(data).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn an_archive_is_unpacked_wherever_its_destination_is() {
    let mut bench = Bench::new();
    bench.bytes("a.tar", &simple(), 0o600);
    bench.bytes("a.txt", &gzip(&simple()), 0o600);
    for source in ["a.tar", "a.txt"] {
        let (layer, _) = bench.try_copy(&[source], "/", &UNPACKED).unwrap();
        assert_eq!(bench.list(&layer), SIMPLE, "{source}");
    }
    let (layer, _) = bench.try_copy(&["a.tar"], "/new/t", &UNPACKED).unwrap();
    let list = bench.list(&layer);
    assert_eq!(
        list[..3],
        [
            "new 755 0:0 dir",
            "new/t 755 0:0 dir",
            "new/t/d 750 1:2 dir"
        ]
    );
    let flags = Flags {
        chown: Some("7:8"),
        chmod: Some("600"),
        ..UNPACKED
    };
    let (layer, _) = bench.try_copy(&["a.tar"], "/new/t", &flags).unwrap();
    assert_eq!(
        bench.list(&layer),
        [
            "new 755 7:8 dir",
            "new/t 755 7:8 dir",
            "new/t/d 750 7:8 dir",
            "new/t/d/f 640 7:8 file F",
            "new/t/d/g 640 7:8 = new/t/d/f",
            "new/t/implied 755 0:0 dir",
            "new/t/implied/x 640 7:8 file X",
            "new/t/l 777 7:8 -> /etc/passwd",
        ]
    );
    bench.file("f", "", 0o644);
    symlink("t", bench.context.path().join("link")).unwrap();
    fs::create_dir(bench.context.path().join("t")).unwrap();
    bench.copy(&["."], "/", &Flags::default());
    let (layer, _) = bench.try_copy(&["a.tar"], "/link", &UNPACKED).unwrap();
    assert_eq!(bench.list(&layer)[1], "t/d 750 1:2 dir");
    let error = bench.refused(&["a.tar"], "/f", &UNPACKED);
    assert!(
        matches!(error, CopyError::NotADirectory { .. }),
        "{error:?}"
    );
}

#[test]
fn what_is_no_archive_or_not_to_be_unpacked_is_copied() {
    let bench = Bench::new();
    bench.bytes("a.tar", &simple(), 0o644);
    bench.bytes("zeros.tar", &[0; 10240], 0o644);
    bench.file("empty.tar", "", 0o644);
    bench.bytes("text.gz", &gzip(b"text"), 0o644);
    bench.bytes("broken.gz", &[0x1f, 0x8b, 8, 0, 1, 2, 3], 0o644);
    bench.file("d/inside.tar", "", 0o644);
    bench.bytes("d/inside.tar", &simple(), 0o644);
    let sources = ["zeros.tar", "empty.tar", "text.gz", "broken.gz"];
    for source in sources {
        let mut flags = UNPACKED;
        for unpack in [None, Some(true)] {
            flags.add = Some(Added { unpack, ..ADD });
            let copied = bench.try_copy(&[source], "/t/", &flags).unwrap().0;
            let plain = bench
                .try_copy(&[source], "/t/", &Flags::default())
                .unwrap()
                .0;
            assert_eq!(copied, plain, "{source}");
        }
    }
    let copied = |flags: &Flags<'_>| bench.try_copy(&["a.tar"], "/t/", flags).unwrap();
    let not = Flags {
        add: Some(Added {
            unpack: Some(false),
            ..ADD
        }),
        ..UNPACKED
    };
    assert_eq!(copied(&not).0, copied(&Flags::default()).0);
    assert_ne!(copied(&not).1, copied(&UNPACKED).1);
    let (layer, _) = bench.try_copy(&["d"], "/t/", &UNPACKED).unwrap();
    assert_eq!(
        layer,
        bench.try_copy(&["d"], "/t/", &Flags::default()).unwrap().0
    );
    // Several, by a pattern: what is an archive is unpacked.
    let (layer, _) = bench.try_copy(&["[ae]*.tar"], "/t/", &UNPACKED).unwrap();
    assert_eq!(
        bench.list(&layer)[0..2],
        ["t 755 0:0 dir", "t/d 750 1:2 dir"]
    );
    assert!(
        bench
            .list(&layer)
            .contains(&"t/empty.tar 644 0:0 file ".to_owned())
    );
}

#[test]
fn the_key_is_the_archives_content_whatever_is_in_it() {
    let bench = Bench::new();
    bench.bytes("a.tar", &simple(), 0o644);
    let first = bench.try_copy(&["a.tar"], "/", &UNPACKED).unwrap();
    let again = bench.try_copy(&["a.tar"], "/", &UNPACKED).unwrap();
    assert_eq!(first, again);
    bench.bytes("a.tar", &tar(&[("x", dir(), "")]), 0o644);
    assert_ne!(bench.try_copy(&["a.tar"], "/", &UNPACKED).unwrap(), first);
}

#[test]
fn an_archive_takes_the_place_of_what_is_there() {
    let mut bench = Bench::new();
    bench.bytes(
        "base.tar",
        &tar(&[
            ("dir", dir(), ""),
            ("dir/old", file(0), ""),
            ("f", file(0), ""),
            ("lib", link("usr/lib"), ""),
            ("out", link("/usr"), ""),
            ("usr", dir(), ""),
            ("usr/lib", dir(), ""),
            ("usr/lib/sub", dir(), ""),
        ]),
        0o644,
    );
    bench.copy(&["base.tar"], "/", &UNPACKED);
    // What is implied may be a link; what is named takes its place.
    bench.bytes(
        "a.tar",
        &tar(&[
            ("dir", file(3), "now"),
            ("f", dir(), ""),
            ("f/x", file(0), ""),
            ("lib/sub/x", file(0), ""),
            ("out", dir(), ""),
            ("out/lib/x", file(0), ""),
        ]),
        0o644,
    );
    let (layer, _) = bench.try_copy(&["a.tar"], "/", &UNPACKED).unwrap();
    assert_eq!(
        bench.list(&layer),
        [
            "dir 640 1:2 file now",
            "f 750 1:2 dir",
            "f/x 640 1:2 file ",
            "out 750 1:2 dir",
            "out/lib 755 0:0 dir",
            "out/lib/x 640 1:2 file ",
            "usr 750 1:2 dir",
            "usr/lib 750 1:2 dir",
            "usr/lib/sub 750 1:2 dir",
            "usr/lib/sub/x 640 1:2 file ",
        ]
    );
    // Links lead nowhere out of where it is unpacked.
    bench.bytes("b.tar", &tar(&[("l", link("/usr"), "")]), 0o644);
    bench.copy(&["b.tar"], "/new", &UNPACKED);
    bench.bytes("c.tar", &tar(&[("l/x", file(0), "")]), 0o644);
    let (layer, _) = bench.try_copy(&["c.tar"], "/new", &UNPACKED).unwrap();
    assert_eq!(
        bench.list(&layer)[1..],
        ["new/usr 755 0:0 dir", "new/usr/x 640 1:2 file "]
    );
}

/// A tar by hand: whatever name, type and size.
fn raw(name: &str, kind: u8, target: &str, size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    for at in [108, 116] {
        block[at..at + 8].copy_from_slice(b"0000000\0");
    }
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(format!("{DEFAULT_EPOCH:011o}\0").as_bytes());
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[157..157 + target.len()].copy_from_slice(target.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn hostile_archives_are_refused_with_the_name_of_what_is_wrong() {
    let bench = Bench::new();
    let end = vec![0; 1024];
    for (archive, says) in [
        (
            [raw("../evil", b'0', "", 0), end.clone()].concat(),
            "../evil",
        ),
        (
            [raw("l", b'1', "../../evil", 0), end.clone()].concat(),
            "evil",
        ),
        (
            [raw("l", b'1', "nowhere", 0), end.clone()].concat(),
            "l in layer",
        ),
        ([raw("cut", b'0', "", 5000), end.clone()].concat(), "cut"),
        (
            [
                raw("w", b'5', "", 0),
                raw(".wh.w", b'0', "", 0),
                end.clone(),
            ]
            .concat(),
            ".wh.w",
        ),
        (
            [raw("a/.wh..wh..opq", b'0', "", 0), end.clone()].concat(),
            ".wh..wh..opq",
        ),
        ([raw("odd", b'Z', "", 0), end.clone()].concat(), "odd"),
        (
            [raw("f", b'0', "", 0), raw("f/x", b'0', "", 0), end.clone()].concat(),
            "f/x",
        ),
    ] {
        bench.bytes("a.tar", &archive, 0o644);
        let error = bench.refused(&["a.tar"], "/t", &UNPACKED);
        let CopyError::Archive { name, source, .. } = &error else {
            panic!("{says}: {error:?}");
        };
        assert_eq!(name, "a.tar");
        assert!(source.to_string().contains(says), "{says}: {source}");
        assert!(error.hint().unwrap().contains("--unpack=false"));
    }
    // An absolute name is one below the destination, and none at all is nothing.
    let archive = [raw("", b'0', "", 0), raw("/abs/x", b'0', "", 0), end].concat();
    bench.bytes("a.tar", &archive, 0o644);
    let (layer, _) = bench.try_copy(&["a.tar"], "/t", &UNPACKED).unwrap();
    assert_eq!(bench.list(&layer).last().unwrap(), "t/abs/x 644 0:0 file ");
}

#[test]
fn what_comes_behind_the_end_mark_is_nobodys() {
    let bench = Bench::new();
    let archive = [simple(), b"signature".to_vec()].concat();
    bench.bytes("a.tar", &archive, 0o644);
    let mut packed = gzip(&simple());
    packed.extend_from_slice(b"garbage");
    bench.bytes("a.gz", &packed, 0o644);
    for source in ["a.tar", "a.gz"] {
        let (layer, _) = bench.try_copy(&[source], "/", &UNPACKED).unwrap();
        assert_eq!(bench.list(&layer), SIMPLE, "{source}");
    }
}
