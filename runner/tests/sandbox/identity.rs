//! Who the payload is, and what it finds in its environment.

use runner::sandbox::{Failure, SandboxError, Stream};

use super::fixture::{Fixture, rootless, run, said};

pub const TESTS: &[(&str, fn())] = &[
    ("users_and_groups_are_the_images", users),
    ("unknown_users_are_refused", unknown),
    ("home_is_the_users_unless_set", home),
    ("an_id_beyond_the_map_is_explained", unmapped),
    ("pipes_belong_to_the_user", pipes),
    ("a_huge_user_file_is_refused", huge),
];

fn users() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["id"]);
    for (user, said_to_be) in [
        ("", "uid=0(root) gid=0(root) groups=0(root)\n"),
        (
            "ann",
            "uid=1000(ann) gid=100(users) groups=63(audio),100(users)\n",
        ),
        ("1000:63", "uid=1000(ann) gid=63(audio) groups=63(audio)\n"),
        ("4711", "uid=4711 gid=0(root) groups=0(root)\n"),
    ] {
        spec.user = user.into();
        let id = said(&spec);
        // busybox leaves out groups that are only the group itself.
        let groups = said_to_be.find(" groups").unwrap();
        assert!(
            id == said_to_be || id.trim_end() == &said_to_be[..groups],
            "{user}: {id}"
        );
    }
}

fn unknown() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["id"]);
    spec.user = "bob".into();
    assert!(matches!(
        run(&spec),
        Err(SandboxError::Failed(Failure::UnknownUser { name })) if name == "bob"
    ));
    spec.user = "ann:bobs".into();
    assert!(matches!(
        run(&spec),
        Err(SandboxError::Failed(Failure::UnknownGroup { name })) if name == "bobs"
    ));
}

fn home() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["env"]);
    spec.user = "ann".into();
    let env = said(&spec);
    let mut lines: Vec<_> = env.lines().collect();
    lines.sort_unstable();
    let path = format!("PATH={}", runner::sandbox::DEFAULT_PATH);
    assert_eq!(lines, ["HOME=/home/ann", &path]);
    spec.env = vec!["HOME=/elsewhere".into(), "PATH=/bin".into()];
    assert_eq!(said(&spec), "HOME=/elsewhere\nPATH=/bin\n");
}

fn unmapped() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["id", "-u"]);
    spec.user = "2000000000".into();
    if rootless() {
        assert!(matches!(
            run(&spec),
            Err(SandboxError::Failed(Failure::UnmappedId {
                id: 2_000_000_000,
                ..
            }))
        ));
    } else {
        assert_eq!(said(&spec), "2000000000\n");
    }
}

fn pipes() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("echo again > /dev/stdout");
    spec.user = "ann".into();
    assert_eq!(said(&spec), "again\n");
    spec.stdio.stdin = Stream::Pipe;
    assert_eq!(said(&spec), "again\n");
}

fn huge() {
    let fixture = Fixture::new();
    let passwd = std::fs::File::create(fixture.path("lower/etc/passwd")).unwrap();
    passwd.set_len(1 << 40).unwrap();
    assert!(matches!(
        run(&fixture.spec(&["true"])),
        Err(SandboxError::Failed(Failure::OversizedFile { .. }))
    ));
}
