//! What is written to do harm: nothing outside is touched, and the error names the entry.

use super::*;

/// A tar of one header, with any name.
fn raw(name: &str, flag: u8, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(tar::EntryType::new(flag));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Unpacks layers in every form, all of which refuse them the same way.
#[track_caller]
fn refused(tars: Vec<Vec<u8>>) -> String {
    match Stack::new(tars, XattrNamespace::Trusted) {
        Ok(_) => panic!("it was unpacked"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn accepted(tars: Vec<Vec<u8>>) -> Vec<String> {
    let stack = Stack::new(tars, XattrNamespace::Trusted).unwrap();
    paths(&stack.agreed())
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in [
        "../victim/x",
        "a/../../victim/x",
        "..",
        "/../victim/.wh.hello",
    ] {
        let error = refused(vec![raw(name, b'0', "")]);
        assert_eq!(error, format!("{name}: leads out of the image"));
    }
    let error = refused(vec![raw("x", b'1', "../victim/hello")]);
    assert_eq!(
        error,
        "x: links to ../victim/hello, which is out of the image"
    );
}

#[test]
fn absolute_names_are_within_the_image() {
    let tar = [raw("/a/b", b'0', ""), raw("/c", b'1', "/a/b")].concat();
    assert_eq!(accepted(vec![tar]), ["a/", "a/b", "c"]);
}

#[test]
fn links_that_lead_out_end_at_the_root() {
    let tar = Tar::new()
        .symlink("up", "../victim")
        .symlink("far", "/../../../victim")
        .symlink("deep/up", "../../../victim")
        .file("up/hello", "mine")
        .file("far/a", "")
        .file("deep/up/b", "")
        .marker("up/.wh.hello");
    assert_eq!(
        accepted(vec![tar.end()]),
        [
            "deep/",
            "deep/up",
            "far",
            "up",
            "victim/",
            "victim/a",
            "victim/b",
            "victim/hello"
        ]
    );
    let base = Tar::new()
        .symlink("up", "../victim")
        .file("victim/hello", "");
    let upper = Tar::new().marker("up/.wh.hello").link("x", "up/none");
    let error = refused(vec![base.end(), upper.end()]);
    assert!(error.starts_with("cannot unpack x: "), "{error}");
}

#[test]
fn a_link_is_replaced_and_not_written_through() {
    let tar = Tar::new()
        .symlink("f", "../victim/hello")
        .file("f", "mine")
        .symlink("d", "../victim")
        .dir("d")
        .file("d/hello", "mine");
    assert_eq!(accepted(vec![tar.end()]), ["d/", "d/hello", "f"]);
    let base = Tar::new().symlink("d", "/etc").file("etc/f", "");
    let upper = Tar::new().dir("d").file("d/g", "");
    let all = vec![base.end(), upper.end()];
    assert_eq!(accepted(all), ["d/", "d/g", "etc/", "etc/f"]);
}

#[test]
fn a_directory_that_becomes_a_link_midway_is_walked_anew() {
    let tar = Tar::new()
        .file("a/b/c", "")
        .symlink("a/b", "/elsewhere")
        .file("a/b/d", "")
        .symlink("a", "../../victim")
        .file("a/b/e", "");
    let expected = [
        "a",
        "elsewhere/",
        "elsewhere/d",
        "victim/",
        "victim/b/",
        "victim/b/e",
    ];
    assert_eq!(accepted(vec![tar.end()]), expected);
}

#[test]
fn links_in_a_circle_end() {
    let tar = Tar::new()
        .symlink("a", "b")
        .symlink("b", "a")
        .file("a/f", "");
    let error = refused(vec![tar.end()]);
    assert!(error.contains("a/f: the way to it"), "{error}");
    let tar = Tar::new().symlink("a", "a/a/a").file("a/f", "");
    assert!(refused(vec![tar.end()]).contains("40 symbolic links"));
}

#[test]
fn devices_that_read_as_whiteouts_are_refused() {
    let error = refused(vec![raw("dev/x", b'3', "")]);
    assert!(
        error.starts_with("cannot unpack dev/x: a character device 0/0"),
        "{error}"
    );
    assert_eq!(accepted(vec![raw("x", b'4', "")]), ["x"]);
}

#[test]
fn the_root_stays_a_directory() {
    for (name, flag) in [("/", b'2'), ("./", b'1'), (".", b'0')] {
        let error = refused(vec![raw(name, flag, "etc")]);
        assert!(error.starts_with("cannot unpack .: "), "{error}");
    }
    for name in [".wh.", ".wh..", ".wh...", "d/.wh..", ".wh..wh.x"] {
        let error = refused(vec![raw(name, b'0', "")]);
        assert!(error.contains("whiteout"), "{error}");
    }
}

#[test]
fn nothing_lies_in_a_file() {
    let in_layer = Tar::new().file("f", "").file("f/g", "");
    let error = refused(vec![in_layer.end()]);
    assert_eq!(
        error,
        "cannot unpack f/g: what it lies in is not a directory"
    );
    let base = Tar::new().file("f", "");
    let upper = Tar::new().file("f/g", "");
    assert_eq!(refused(vec![base.end(), upper.end()]), error);
}

#[test]
fn hard_links_need_a_file() {
    for (name, base) in [("none", Tar::new()), ("d", Tar::new().dir("d"))] {
        let error = refused(vec![base.end(), Tar::new().link("x", name).end()]);
        assert!(
            error.starts_with("cannot unpack x: it is a hard link to a"),
            "{error}"
        );
    }
    let base = Tar::new().file("f", "");
    let upper = Tar::new().marker(".wh.f").link("x", "f");
    let error = refused(vec![base.end(), upper.end()]);
    assert!(error.contains("not there"), "{error}");
}

/// A directory in memory: some disks take milliseconds to free one of thousands of directories.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

#[test]
fn depth_has_an_end() {
    let file = |depth: usize| Tar::new().file(&["d/".repeat(depth), "f".into()].concat(), "x");
    let listing = |tar: &[u8]| Tree::new(vec![LayerIndex::read(tar).unwrap()]);
    let (deepest, too_deep) = (file(4096).end(), file(4097).end());
    let dir = in_memory();
    apply(deepest.as_slice(), dir.path(), Target::InPlace).unwrap();
    listing(&deepest).unwrap();
    let dir = in_memory();
    let error = apply(too_deep.as_slice(), dir.path(), Target::InPlace).unwrap_err();
    let ending = "it lies more than 4096 directories deep";
    assert!(error.to_string().ends_with(ending), "{error}");
    let error = listing(&too_deep).err().unwrap();
    assert!(error.to_string().ends_with(ending), "{error}");
}

#[test]
fn a_deep_tree_can_be_replaced() {
    let deep = "d/".repeat(3000);
    let tar = Tar::new()
        .file(&format!("{deep}f"), "")
        .file(&format!("{deep}g"), "");
    let tar = tar.marker(".wh.d").file("d", "now a file");
    let dir = in_memory();
    apply(tar.end().as_slice(), dir.path(), Target::InPlace).unwrap();
    assert_eq!(std::fs::read(dir.path().join("d")).unwrap(), b"now a file");
}

#[test]
fn a_size_that_lies_names_the_entry() {
    let whole = Tar::new()
        .file("first", "")
        .file("second", &"x".repeat(2000))
        .end();
    let dir = tempfile::tempdir().unwrap();
    let error = apply(&whole[..2048], dir.path(), Target::InPlace).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the content of second");
    assert!(LayerIndex::read(&whole[..2048]).is_err());
    let file = dir.path().join("cut");
    std::fs::write(&file, &whole[..2048]).unwrap();
    let file = std::fs::File::open(&file).unwrap();
    assert!(LayerIndex::of_file(file).is_err());
}

#[test]
fn reads_on_to_the_end_of_the_input() {
    let mut tar = std::io::Cursor::new([Tar::new().file("f", "").end(), vec![0; 9000]].concat());
    let dir = tempfile::tempdir().unwrap();
    apply(&mut tar, dir.path(), Target::InPlace).unwrap();
    assert_eq!(tar.position(), 512 + 1024 + 9000);
}
