use super::*;
use crate::layer::{LayerReader, Timestamp};
use std::process::Command;

fn closure(root: &Path, programs: &[&str]) -> Result<Vec<String>, ClosureError> {
    let mut closure = Closure::new(root)?;
    for program in programs {
        closure.add_program(program)?;
    }
    let paths = closure.paths().into_iter();
    let paths = paths.map(|path| path.display().to_string());
    Ok(paths.collect())
}

/// The libraries that the loader itself reports.
fn loaded(program: &str) -> Vec<PathBuf> {
    let output = Command::new(program)
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

#[test]
fn finds_what_the_loader_finds() {
    let mut seen = 0;
    for program in [
        "/bin/bash",
        "/bin/ls",
        "/usr/bin/git",
        "/usr/bin/gpgv",
        "/usr/bin/podman",
    ] {
        if !Path::new(program).exists() {
            continue;
        }
        let paths = closure(Path::new("/"), &[program]).unwrap();
        for library in loaded(program) {
            let path = library.canonicalize().unwrap().display().to_string();
            assert!(paths.contains(&path), "{program}: {path} not in {paths:?}");
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn a_bare_name_is_there_under_each_path() {
    let paths = closure(Path::new("/"), &["sh"]).unwrap();
    for path in ["/bin", "/usr/bin/sh"] {
        assert!(paths.contains(&path.to_owned()), "{path}: {paths:?}");
    }
}

#[test]
fn scripts_bring_their_interpreters() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
    std::fs::create_dir(dir.path().join("lib")).unwrap();
    for (path, text) in [
        ("usr/bin/one", "#! /usr/bin/env -S A=1 two x\n"),
        ("usr/bin/loop", "#!/usr/bin/loop\n"),
        ("usr/bin/none", "hello\n"),
    ] {
        std::fs::write(dir.path().join(path), text).unwrap();
    }
    let missing = closure(dir.path(), &["one"]).unwrap_err();
    assert!(
        matches!(&missing, ClosureError::Missing { needed, .. } if needed == "/usr/bin/env"),
        "{missing}"
    );
    std::fs::copy("/bin/busybox", dir.path().join("usr/bin/env")).unwrap();
    std::os::unix::fs::symlink("env", dir.path().join("usr/bin/two")).unwrap();
    assert_eq!(
        closure(dir.path(), &["one"]).unwrap(),
        [
            "/usr",
            "/usr/bin",
            "/usr/bin/env",
            "/usr/bin/one",
            "/usr/bin/two"
        ]
    );
    let wrong = closure(dir.path(), &["loop"]).unwrap_err();
    assert!(matches!(wrong, ClosureError::Interpreters(_)), "{wrong}");
    let wrong = closure(dir.path(), &["none"]).unwrap_err();
    assert!(matches!(wrong, ClosureError::NotAProgram(_)), "{wrong}");
    let wrong = closure(dir.path(), &["tow"]).unwrap_err();
    assert_eq!(wrong.hint().as_deref(), Some("did you mean \"two\"?"));
}

#[test]
fn links_stay_inside_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("bin")).unwrap();
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, dir.path().join("bin").join(name)).unwrap();
    };
    link("../../../../../../bin/busybox", "up");
    link("/bin/busybox", "absolute");
    link("ring", "ring");
    for name in ["up", "absolute"] {
        let missing = closure(dir.path(), &[name]).unwrap_err();
        assert!(
            matches!(missing, ClosureError::NoProgram { .. }),
            "{missing}"
        );
    }
    let wrong = closure(dir.path(), &["ring"]).unwrap_err();
    assert!(matches!(wrong, ClosureError::Read { .. }), "{wrong}");
    std::fs::copy("/bin/busybox", dir.path().join("bin/busybox")).unwrap();
    assert_eq!(
        closure(dir.path(), &["up", "absolute"]).unwrap(),
        ["/bin", "/bin/absolute", "/bin/busybox", "/bin/up"]
    );
}

/// Runpaths and the needs of libraries, with programs that a real linker made.
#[test]
fn runpaths_are_followed_and_damage_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    for name in ["opt/lib", "opt/bin"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::write(at("deep.c"), "int deep(void){return 1;}").unwrap();
    std::fs::write(
        at("near.c"),
        "int deep(void);int near(void){return deep();}",
    )
    .unwrap();
    std::fs::write(
        at("main.c"),
        "int near(void);int main(void){return near();}",
    )
    .unwrap();
    let gcc = |args: &[&str]| {
        let status = Command::new("gcc").args(args).status().unwrap();
        assert!(status.success());
    };
    gcc(&[
        "-shared",
        "-fPIC",
        "-o",
        &at("opt/lib/libdeep.so.1"),
        &at("deep.c"),
        "-Wl,-soname,libdeep.so.1",
    ]);
    gcc(&[
        "-shared",
        "-fPIC",
        "-o",
        &at("opt/lib/libnear.so"),
        &at("near.c"),
        &at("opt/lib/libdeep.so.1"),
        "-Wl,-rpath,$ORIGIN",
    ]);
    gcc(&[
        "-nostartfiles",
        "-o",
        &at("opt/bin/main"),
        &at("main.c"),
        "-Wl,-e,main",
        &at("opt/lib/libnear.so"),
        "-nodefaultlibs",
        "-Wl,-rpath,$ORIGIN/../lib",
        &format!("-Wl,-rpath-link,{}", at("opt/lib")),
    ]);
    let missing = closure(dir.path(), &["/opt/bin/main"]).unwrap_err();
    assert!(
        matches!(&missing, ClosureError::Missing { needed, .. } if needed.contains("ld-")),
        "{missing}"
    );
    let loader = Command::new("gcc")
        .arg("-print-file-name=ld-linux-x86-64.so.2")
        .output()
        .unwrap();
    let loader = String::from_utf8(loader.stdout).unwrap();
    std::fs::create_dir_all(at("lib64")).unwrap();
    std::fs::write(at("lib64/ld-linux-x86-64.so.2"), loader).unwrap();
    // The linker kept the path it was given, as there is no soname.
    let near = at("opt/lib/libnear.so");
    let inside = dir.path().join(near.trim_start_matches('/'));
    std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
    std::fs::copy(&near, &inside).unwrap();
    std::fs::copy(
        at("opt/lib/libdeep.so.1"),
        inside.with_file_name("libdeep.so.1"),
    )
    .unwrap();
    let paths = closure(dir.path(), &["/opt/bin/main"]).unwrap();
    for path in [near.clone(), near.replace("libnear.so", "libdeep.so.1")] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    let bytes = std::fs::read(at("opt/bin/main")).unwrap();
    for end in [5, 20, 64, 200, bytes.len() / 2] {
        std::fs::write(at("opt/bin/cut"), &bytes[..end]).unwrap();
        assert!(closure(dir.path(), &["/opt/bin/cut"]).is_err(), "{end}");
    }
}

#[test]
fn packs_sorted_and_owned_by_root() {
    let mut found = Closure::new(Path::new("/")).unwrap();
    found.add_program("sh").unwrap();
    let tar = found.pack(Vec::new(), Timestamp::DEFAULT_EPOCH).unwrap();
    let mut reader = LayerReader::new(tar.as_slice());
    let mut seen = 0;
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!((entry.meta.uid, entry.meta.gid), (0, 0));
        seen += 1;
    }
    assert_eq!(seen, found.paths().len());
}
