//! The file system: the root, volumes, files, the working directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use image_format::snapshot::RootMount;
use runner::sandbox::{Exit, Failure, Hidden, Mount, MountSource, Sandbox, SandboxError, Step};

use super::fixture::{Fixture, run, said};

pub const TESTS: &[(&str, fn())] = &[
    ("writes_go_to_the_upper_directory", writes),
    ("a_plain_directory_is_a_root_too", plain),
    ("a_read_only_root_is", read_only),
    ("volumes_are_mounted", volumes),
    ("files_are_mounted_and_their_targets_told", files),
    ("a_target_behind_a_link_is_inside", links),
    ("memory_is_mounted", memory),
    ("a_snapshot_is_mounted", snapshots),
    ("a_secret_has_its_owner_and_is_never_shown", secrets),
    ("nothing_is_mounted_onto_proc", onto_proc),
    ("many_large_secrets_come_whole", large_secrets),
    ("a_file_is_not_mounted_onto_a_directory", mismatched),
    ("shared_memory_has_its_size", shared_memory),
    ("the_working_directory_is_made_or_missed", working_directory),
    ("a_link_in_place_of_proc_is_refused", link_for_proc),
    ("a_source_that_is_missing_is_named", missing_source),
    ("many_layers_are_stacked", many_layers),
];

fn mount(source: MountSource, target: &str) -> Mount {
    Mount {
        source,
        target: target.into(),
        read_only: false,
    }
}

fn writes() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("echo data > /new; mkdir -p /a/b");
    spec.volatile = true;
    said(&spec);
    assert_eq!(
        fs::read_to_string(fixture.path("upper/new")).unwrap(),
        "data\n"
    );
    assert!(fixture.path("upper/a/b").is_dir());
    assert!(!fixture.path("lower/new").exists());
    let mode = fs::metadata(fixture.path("upper/new"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
}

fn plain() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("echo data > /new; ls -d /proc/1");
    spec.root = RootMount::Bind {
        path: fixture.path("lower"),
    };
    assert_eq!(said(&spec), "/proc/1\n");
    assert!(fixture.path("lower/new").exists());
    // Nothing stays mounted where anybody else sees it.
    assert_eq!(fs::read_dir(fixture.path("lower/proc")).unwrap().count(), 0);
}

fn read_only() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("touch /x 2>/dev/null && echo wrote; touch /dev/shm/x && echo ok");
    spec.read_only = true;
    assert_eq!(said(&spec), "ok\n");
}

fn volumes() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("volume")).unwrap();
    fs::write(fixture.path("volume/file"), "volume\n").unwrap();
    let source = || MountSource::Bind {
        path: fixture.path("volume"),
    };
    let mut spec = fixture
        .sh("cat /data/file; echo x > /data/new; touch /fixed/no 2>/dev/null && echo wrote; true");
    spec.mounts = vec![
        mount(source(), "/data"),
        Mount {
            read_only: true,
            ..mount(source(), "/fixed")
        },
    ];
    assert_eq!(said(&spec), "volume\n");
    assert_eq!(
        fs::read_to_string(fixture.path("volume/new")).unwrap(),
        "x\n"
    );
}

fn files() {
    let fixture = Fixture::new();
    fs::write(fixture.path("lower/etc/hosts"), "image's\n").unwrap();
    let file = |contents: &str| MountSource::File {
        contents: contents.into(),
        mode: 0o644,
    };
    let mut spec =
        fixture.sh("cat /etc/hosts /etc/resolv.conf /run/secrets/one; stat -c %a /etc/hosts");
    spec.mounts = vec![
        mount(file("hosts\n"), "/etc/hosts"),
        mount(file("resolver\n"), "/etc/resolv.conf"),
        mount(file("secret\n"), "/run/secrets/one"),
    ];
    let mut running = Sandbox::spawn(&spec).unwrap();
    let created: Vec<_> = [
        "/proc",
        "/sys",
        "/dev",
        "/etc/resolv.conf",
        "/run",
        "/run/secrets",
        "/run/secrets/one",
    ]
    .map(PathBuf::from)
    .into();
    assert_eq!(running.created_targets(), created);
    let text = std::io::read_to_string(running.stdout.take().unwrap()).unwrap();
    assert_eq!(text, "hosts\nresolver\nsecret\n644\n");
    assert_eq!(running.wait().unwrap(), Exit::Code(0));
    // What was made is empty, and the image's own file is as it was.
    assert_eq!(
        fs::read(fixture.path("upper/etc/resolv.conf")).unwrap(),
        b""
    );
    assert!(!fixture.path("upper/etc/hosts").exists());
}

fn links() {
    let fixture = Fixture::new();
    symlink("../run/stub", fixture.path("lower/etc/resolv.conf")).unwrap();
    symlink("/", fixture.path("lower/loop")).unwrap();
    let victim = fixture.path("victim");
    symlink(&victim, fixture.path("lower/etc/evil")).unwrap();
    let file = || MountSource::File {
        contents: "x".into(),
        mode: 0o600,
    };
    let mut spec = fixture.sh("cat /etc/resolv.conf /loop/loop/deep /etc/evil");
    spec.mounts = ["/etc/resolv.conf", "/loop/../loop/deep", "/etc/evil"]
        .map(|target| mount(file(), target))
        .into();
    assert_eq!(said(&spec), "xxx");
    assert!(!victim.exists());
    assert!(fixture.path("upper/run/stub").exists());
}

fn memory() {
    let fixture = Fixture::new();
    let source = MountSource::Tmpfs {
        size: Some(64 << 10),
        mode: 0o1777,
    };
    let mut spec = fixture.sh(
        "stat -c %a /tmp; busybox dd if=/dev/zero of=/tmp/big bs=1k count=100 2>/dev/null; stat -c %s /tmp/big",
    );
    spec.mounts = vec![mount(source, "/tmp")];
    assert_eq!(said(&spec), "1777\n65536\n");
    assert!(!fixture.path("upper/tmp/big").exists());
}

fn snapshots() {
    let fixture = Fixture::new();
    let other = Fixture::new();
    fs::write(other.path("lower/etc/only-there"), "there\n").unwrap();
    let source = |path: &str| MountSource::Snapshot {
        root: other.root(),
        path: path.into(),
    };
    let mut spec = fixture.sh("cat /mnt/only-there");
    spec.mounts = vec![mount(source("/etc"), "/mnt")];
    assert_eq!(said(&spec), "there\n");

    let file = Fixture::new();
    fs::write(file.path("lower/one"), "one\n").unwrap();
    let mut spec = fixture.sh("cat /here/one");
    spec.mounts = vec![mount(
        MountSource::Snapshot {
            root: file.root(),
            path: "/../../one".into(),
        },
        "/here/one",
    )];
    assert_eq!(said(&spec), "one\n");
}

fn secrets() {
    let fixture = Fixture::new();
    let secret = MountSource::Secret {
        contents: Hidden(vec![b'a', 0, 0xff, b'\n']),
        mode: 0o440,
        uid: 5,
        gid: 6,
    };
    let mut spec = fixture.sh("stat -c '%a %u %g' /s; busybox od -An -tx1 /s");
    spec.mounts = vec![mount(secret, "/s")];
    assert!(format!("{spec:?}").contains("contents: …"));
    assert_eq!(said(&spec), "440 5 6\n 61 00 ff 0a\n");
    assert_eq!(fs::read(fixture.path("upper/s")).unwrap(), b"");
}

fn large_secrets() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("cat /s* | busybox md5sum; busybox wc -c < /s1");
    let contents = |number: usize| vec![number as u8 + 250; 500_000 + number];
    let secret = |number| MountSource::Secret {
        contents: Hidden(contents(number)),
        mode: 0o400,
        uid: 0,
        gid: 0,
    };
    spec.mounts = (0..6)
        .map(|number| mount(secret(number), &format!("/s{number}")))
        .collect();
    let all: Vec<u8> = (0..6).flat_map(contents).collect();
    let expected = fixture.path("expected");
    fs::write(&expected, all).unwrap();
    let mut sum = std::process::Command::new("md5sum");
    sum.stdin(fs::File::open(expected).unwrap());
    let sum = sum.output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert_eq!(said(&spec), format!("{sum}500001\n"));
}

fn mismatched() {
    let fixture = Fixture::new();
    for (source, target, directory) in [
        (
            MountSource::Tmpfs {
                size: None,
                mode: 0o755,
            },
            "/etc/passwd",
            true,
        ),
        (
            MountSource::File {
                contents: String::new(),
                mode: 0o644,
            },
            "/etc",
            false,
        ),
    ] {
        let mut spec = fixture.sh("true");
        spec.mounts = vec![mount(source, target)];
        let error = Sandbox::spawn(&spec).unwrap_err();
        let path = PathBuf::from(target);
        let wanted = Failure::Mismatch { path, directory };
        assert!(
            matches!(&error, SandboxError::Failed(failure) if *failure == wanted),
            "{error}"
        );
    }
}

fn onto_proc() {
    let fixture = Fixture::new();
    symlink("proc", fixture.path("lower/p")).unwrap();
    for target in ["/proc", "/proc/sys", "/p/self/attr", "/dev/../proc/1"] {
        let mut spec = fixture.sh("true");
        let source = MountSource::Tmpfs {
            size: None,
            mode: 0o755,
        };
        spec.mounts = vec![mount(source, target)];
        let error = Sandbox::spawn(&spec).unwrap_err();
        let path = PathBuf::from(target);
        assert!(
            matches!(&error, SandboxError::Failed(Failure::OntoProc { path: at }) if *at == path),
            "{target}: {error}"
        );
    }
}

fn shared_memory() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2");
    assert_eq!(said(&spec), "65536\n");
    spec.shm_size = 1 << 20;
    assert_eq!(said(&spec), "1024\n");
}

fn working_directory() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("pwd");
    spec.cwd = "/srv/app/x".into();
    spec.user = "ann".into();
    assert_eq!(said(&spec), "/srv/app/x\n");
    let mode = fs::metadata(fixture.path("upper/srv/app"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    spec.create_cwd = false;
    spec.cwd = "/not/there".into();
    let failed = run(&spec).unwrap_err();
    assert_eq!(failed.exit_code(), 125);
    assert!(matches!(
        failed,
        SandboxError::Failed(Failure::System {
            step: Step::WorkingDirectory,
            ..
        })
    ));
    // What init holds open is no way out.
    for fd in 3..20 {
        spec.cwd = format!("/proc/self/fd/{fd}").into();
        assert!(run(&spec).is_err());
    }
}

fn link_for_proc() {
    let fixture = Fixture::new();
    symlink("/tmp", fixture.path("lower/proc")).unwrap();
    let failed = run(&fixture.spec(&["true"])).unwrap_err();
    assert!(matches!(
        failed,
        SandboxError::Failed(Failure::Unreachable { .. })
    ));
}

fn missing_source() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["true"]);
    let path = PathBuf::from("/no/such/source");
    spec.mounts = vec![mount(MountSource::Bind { path: path.clone() }, "/x")];
    let failed = run(&spec).unwrap_err();
    assert!(matches!(
        &failed,
        SandboxError::Failed(Failure::System { step: Step::Mount, path: Some(named), .. }) if *named == path
    ));
    // Nothing of it was left behind.
    assert_eq!(fs::read_dir(fixture.path("upper")).unwrap().count(), 0);
}

fn many_layers() {
    let fixture = Fixture::new();
    let mut lowers = vec![PathBuf::from("lower")];
    for number in 0..150 {
        let name = format!("layer: {number}, with a long name that has \\ and : and , in it");
        fs::create_dir(fixture.path(&name)).unwrap();
        fs::write(fixture.path(&name).join(format!("file{number}")), "").unwrap();
        lowers.insert(0, name.into());
    }
    let RootMount::Overlay {
        base,
        upper,
        work,
        user_xattr,
        ..
    } = fixture.root()
    else {
        unreachable!()
    };
    let mut spec = fixture.sh("ls / | busybox grep -c file");
    spec.root = RootMount::Overlay {
        base,
        lowers,
        places: None,
        upper,
        work,
        user_xattr,
    };
    assert_eq!(said(&spec), "150\n");
}
