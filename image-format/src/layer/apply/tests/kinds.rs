//! Every kind of entry with all that can be said of it, and what whiteouts do to them.

use std::os::unix::fs::MetadataExt;

use super::*;

const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// An ACL as the kernel stores it: the owner, user 1000, the group, the mask, others.
fn acl(user: u8) -> Vec<u8> {
    let mut acl = vec![2, 0, 0, 0];
    for (tag, permissions, id) in [
        (0x01, 7, u32::MAX),
        (0x02, user, 1000),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ] {
        acl.extend_from_slice(&[tag, 0, permissions, 0]);
        acl.extend_from_slice(&id.to_le_bytes());
    }
    acl
}

#[track_caller]
fn stack(tars: Vec<Vec<u8>>) -> Stack {
    Stack::new(tars, XattrNamespace::Trusted).unwrap()
}

/// The paths that all the forms of a stack agree on.
#[track_caller]
fn agreed_paths(tars: Vec<Vec<u8>>) -> Vec<String> {
    paths(&stack(tars).agreed())
}

#[test]
fn keeps_all_that_an_entry_says() {
    let meta = |mode, id: u32| Meta {
        mode,
        uid: id,
        gid: id + 1,
        mtime: Timestamp {
            secs: 999_999_999,
            nanos: 987_654_321,
        },
        ..Meta::default()
    };
    let mut closed = meta(0o4001, 7);
    closed.xattrs = [
        xattr("system.posix_acl_access", &acl(3)),
        xattr("system.posix_acl_default", &acl(6)),
        xattr("user.note", b"\n\0="),
    ]
    .into();
    // What the mask of the ACL makes of it.
    closed.mode = 0o4770;
    let mut capable = meta(0o6755, 4_000_000_000);
    capable.xattrs = [xattr("security.capability", CAPABILITY)].into();
    let long = vec![vec![0xff; 250]; 20].join(&b'/');
    let target = vec![b'/'; 4095];
    let entries: Vec<(&[u8], Kind, Meta, &[u8])> = vec![
        (b"", Kind::Dir, meta(0o711, 1), b""),
        (b"closed", Kind::Dir, closed, b""),
        (b"closed/in", Kind::Dir, meta(0o1000, 3), b""),
        (b"closed/run", Kind::File { size: 3 }, capable, b"run"),
        (b"link", Kind::Symlink(target), meta(0o777, 9), b""),
        (b"null", Kind::Char(1, 3), meta(0o666, 2), b""),
        (b"disk", Kind::Block(259, 1_000_000), meta(0o660, 5), b""),
        (b"fifo", Kind::Fifo, meta(0o622, 6), b""),
        (&long, Kind::File { size: 1 }, meta(0, 8), b"x"),
    ];
    let mut tar = Tar::new();
    for (path, kind, meta, content) in &entries {
        tar = tar.add(path, kind.clone(), meta.clone(), content);
    }
    let seen = stack(vec![tar.link("again", "closed/run").end()]).agreed();
    for (path, kind, meta, content) in entries {
        let meta = match path {
            b"" => Meta::root(meta.mtime),
            _ => meta,
        };
        let path: PathBuf = OsStr::from_bytes(path).into();
        let there = &seen[&path];
        assert_eq!((&there.kind, &there.meta), (&kind, &meta), "{path:?}");
        assert_eq!(there.content, content, "{path:?}");
    }
    assert_eq!(seen[Path::new("closed/run")].first, Path::new("again"));
    assert_eq!(seen.len(), 9 + 19 + 1);
    let parent = &seen[Path::new(OsStr::from_bytes(&long[..250]))];
    assert_eq!(parent.meta, Meta::implied_dir());
}

#[test]
fn implied_directories_are_those_of_the_layers_below() {
    let mut meta = with_mode(0o2711);
    meta.uid = 33;
    meta.xattrs = [
        xattr("user.x", b"y"),
        xattr("system.posix_acl_default", &acl(7)),
    ]
    .into();
    let base = Tar::new()
        .add(b"d", Kind::Dir, meta.clone(), b"")
        .dir("d/e");
    let upper = Tar::new().file("d/e/f", "f").file("d/new/f", "f");
    let seen = stack(vec![base.end(), upper.end()]).agreed();
    assert_eq!(seen[Path::new("d")].meta, meta);
    assert_eq!(seen[Path::new("d/e")].meta, with_mode(0o750));
    assert_eq!(seen[Path::new("d/new")].meta, Meta::implied_dir());
    assert_eq!(seen[Path::new("d/new/f")].meta, with_mode(0o644));
}

#[test]
fn a_directory_again_takes_its_last_description() {
    let mut first = with_mode(0o700);
    first.xattrs = [xattr("user.old", b"1")].into();
    let base = Tar::new().add(b"d", Kind::Dir, first, b"").file("d/f", "");
    let upper = Tar::new().dir("d");
    let seen = stack(vec![base.end(), upper.end()]).agreed();
    assert_eq!(seen[Path::new("d")].meta, with_mode(0o750));
    assert_eq!(paths(&seen), ["d/", "d/f"]);
}

#[test]
fn whiteouts_are_for_the_layers_below_in_either_order() {
    let base = || Tar::new().dir("d").file("d/old", "").file("f", "old").end();
    let marker_first = Tar::new().marker(".wh.f").file("f", "new");
    let marker_last = Tar::new().file("f", "new").marker(".wh.f");
    for upper in [marker_first, marker_last] {
        let stack = stack(vec![base(), upper.end()]);
        assert_eq!(stack.agreed()[Path::new("f")].content, b"new");
    }
    for marker in [".wh.d", "d/.wh..wh..opq", ".wh..wh..opq"] {
        for upper in [
            Tar::new().dir("d").marker(marker).file("d/new", ""),
            Tar::new().dir("d").file("d/new", "").marker(marker),
            Tar::new().file("d/new", "").marker(marker),
            Tar::new().marker(marker).file("d/new", ""),
        ] {
            let mut paths = agreed_paths(vec![base(), upper.end()]);
            paths.retain(|path| path != "f");
            assert_eq!(paths, ["d/", "d/new"], "{marker}");
        }
    }
}

#[test]
fn an_opaque_root_hides_all_that_is_below() {
    let base = Tar::new()
        .dir("a")
        .file("a/b", "")
        .symlink("c", "a")
        .file("d", "");
    let upper = Tar::new()
        .file("d", "")
        .marker(".wh..wh..opq")
        .file("e", "");
    assert_eq!(agreed_paths(vec![base.end(), upper.end()]), ["d", "e"]);
}

#[test]
fn what_is_only_passed_through_does_not_survive() {
    let base = || Tar::new().dir("a").dir("a/b").file("a/b/c", "").end();
    for upper in [
        Tar::new().marker("a/b/.wh.c").marker("a/.wh.b"),
        Tar::new().marker("a/b/.wh.c").marker("a/.wh..wh..opq"),
    ] {
        assert_eq!(agreed_paths(vec![base(), upper.end()]), ["a/"]);
    }
}

#[test]
fn what_takes_a_directorys_place_hides_it_for_good() {
    let base = || Tar::new().dir("a").file("a/old", "").end();
    let upper = Tar::new().file("a", "").dir("a").file("a/new", "");
    let expected = ["a/", "a/new"];
    assert_eq!(agreed_paths(vec![base(), upper.end()]), expected);
    let middle = Tar::new().file("a", "");
    let upper = Tar::new().file("other", "").dir("a").file("a/new", "");
    let all = vec![base(), middle.end(), upper.end()];
    assert_eq!(agreed_paths(all), ["a/", "a/new", "other"]);
    let middle = Tar::new().marker(".wh.a");
    let upper = Tar::new().file("a/new", "");
    let all = vec![base(), middle.end(), upper.end()];
    assert_eq!(agreed_paths(all), expected);
}

#[test]
fn hard_links_reach_the_layers_below() {
    let mut meta = with_mode(0o4755);
    meta.xattrs = [xattr("security.capability", CAPABILITY)].into();
    let base = Tar::new()
        .dir("d")
        .add(b"d/run", Kind::File { size: 3 }, meta.clone(), b"run")
        .symlink("d/link", "run")
        .add(b"d/null", Kind::Char(1, 3), with_mode(0o666), b"")
        .symlink("way", "/d");
    let upper = Tar::new()
        .link("a", "way/run")
        .link("b", "d/link")
        .link("c", "d/null")
        .link("a", "a");
    let seen = stack(vec![base.end(), upper.end()]).agreed();
    let run = &seen[Path::new("d/run")];
    assert_eq!(
        (&run.meta, run.content.as_slice()),
        (&meta, b"run".as_slice())
    );
    for (name, first) in [("d/run", "a"), ("d/link", "b"), ("d/null", "c")] {
        assert_eq!(seen[Path::new(name)].first, Path::new(first));
    }
    assert_eq!(seen[Path::new("d")].meta, with_mode(0o750));
}

#[test]
fn a_file_that_is_linked_to_and_gone_leaves_the_link() {
    let base = || Tar::new().dir("d").file("d/old", "content").end();
    for marker in ["d/.wh.old", ".wh.d", "d/.wh..wh..opq"] {
        let upper = Tar::new().link("new", "d/old").marker(marker);
        let seen = stack(vec![base(), upper.end()]).agreed();
        assert_eq!(seen[Path::new("new")].content, b"content");
        assert!(!seen.contains_key(Path::new("d/old")), "{marker}");
    }
}

#[test]
fn holes_stay_holes() {
    let tmp = tempfile::tempdir().unwrap();
    let size = 64 << 20;
    let mut content = vec![0; size];
    content[10 << 20..][..5].copy_from_slice(b"data!");
    std::fs::write(tmp.path().join("file"), &content).unwrap();
    let tar = |arguments: &[&str]| {
        let mut tar = Command::new("tar");
        tar.arg("-c").args(arguments).arg("-C").arg(tmp.path());
        tar.arg("file").output().unwrap().stdout
    };
    for (number, tar) in [
        tar(&[]),
        tar(&["-S", "--format=gnu"]),
        tar(&["-S", "--format=pax"]),
    ]
    .iter()
    .enumerate()
    {
        let dir = tmp.path().join(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        apply(tar.as_slice(), &dir, Target::InPlace).unwrap();
        let file = dir.join("file");
        assert!(std::fs::metadata(&file).unwrap().blocks() < 64, "{number}");
        assert!(std::fs::read(&file).unwrap() == content, "{number}");
    }
}

#[test]
fn marks_of_overlayfs_in_a_tar_are_not_taken_over() {
    let mut meta = with_mode(0o755);
    meta.xattrs = [
        xattr("trusted.overlay.opaque", b"y"),
        xattr("user.overlay.opaque", b"y"),
        xattr("user.overlay.redirect", b"/etc"),
        xattr("trusted.overlay.whiteout", b""),
        xattr("trusted.mine", b""),
        xattr("security.selinux", b"label"),
    ]
    .into();
    let base = Tar::new().dir("d").file("d/f", "").end();
    let upper = Tar::new().add(b"d", Kind::Dir, meta.clone(), b"").add(
        b"e",
        Kind::File { size: 0 },
        meta,
        b"",
    );
    for xattrs in [XattrNamespace::Trusted, XattrNamespace::User] {
        let tars = vec![base.clone(), Tar(upper.0.clone()).end()];
        let stack = Stack::new(tars, xattrs).unwrap();
        assert_eq!(paths(&stack.agreed()), ["d/", "d/f", "e"]);
        let mut names = vec![0; 1000];
        let dir = stack.layers[1].join("d");
        assert_eq!(rustix::fs::listxattr(dir, names.as_mut_slice()), Ok(0));
    }
}

#[test]
fn a_refused_attribute_is_an_error_that_names_it() {
    let mut meta = with_mode(0o777);
    meta.xattrs = [xattr("user.note", b"")].into();
    let tar = Tar::new().add(b"d/link", Kind::Symlink(b"x".to_vec()), meta, b"");
    let dir = tempfile::tempdir().unwrap();
    let error = apply(tar.end().as_slice(), dir.path(), Target::InPlace).unwrap_err();
    let error = error.to_string();
    assert_eq!(
        error,
        "cannot set the extended attribute user.note of d/link"
    );
}
