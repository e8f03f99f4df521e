//! What other tools unpack of an image that mkimg built, and what mkimg unpacks of theirs, file by file.
//!
//! The image has the tools to list itself: in a container of mkimg's, and in the trees that others unpacked.
#![allow(clippy::unwrap_used)]

mod servers;
mod support;

use std::path::Path;

use servers::registry::Registry;
use support::{Env, Ran, User, run};

/// One line an entry, but for what containers mount something on: kind, mode, owner, time, device, content or
/// target, attributes, and the first name of the same file.
const LIST: &str = r#"
cd /
declare -A first
find . -mindepth 1 -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./etc \) -prune \
    -o -print0 | sort -z | while IFS= read -r -d '' name; do
    printf '%q %s' "$name" "$(stat -c '%F %a %u:%g %Y %t,%T' "$name")"
    if [ -L "$name" ]; then
        printf ' -> %q' "$(readlink "$name")"
    elif [ -f "$name" ]; then
        inode=$(stat -c %i "$name")
        printf ' %s is %q' "$(sha256sum < "$name")" "${first[$inode]:=$name}"
    fi
    echo "" $(getfattr -h -d -m - -e hex "$name" | grep = | sort)
done
"#;

const DOCKERFILE: &str = r#"
FROM tools
COPY list steps /
RUN ["bash", "-ec", ". /steps; one"]
RUN ["bash", "-ec", ". /steps; two"]
RUN ["bash", "-ec", ". /steps; three"]
COPY dir /kept/
"#;

/// What becomes whiteouts and opaque directories, and every kind of file with every kind of metadata.
const STEPS: &str = r#"
one() {
    mkdir -p /opaque/old/deep /gone/in /kept /was-dir
    touch /opaque/a /opaque/old/b /opaque/old/deep/c /gone/in/x /was-file /kept/one /kept/two /was-dir/x
    echo content > /kept/file
    echo linked > /kept/linked
}
two() {
    rm -rf /opaque /gone /kept/one /was-dir /was-file
    mkdir -m 750 /opaque
    mkdir /opaque/old /was-file
    echo new > /opaque/x
    touch /was-file/in
    echo file > /was-dir
    ln /kept/linked /kept/again
    ln -s /nowhere/at/all /kept/link
    chmod 600 /kept/file
    touch /setuid /setgid /attributes /capable /large /.whx
    chown 5:6 /setuid /setgid
    chmod 4755 /setuid
    chmod 2711 /setgid
    mkdir -m 3777 /sticky
    mkfifo -m 640 /fifo
    mknod -m 600 /null c 1 3 || true
    mknod /disk b 8 1 || true
    chown 40000:60000 /large
    chown -h 7:8 /kept/link
    setfattr -n user.note -v 'of ours' /attributes
    # no empty value: umoci and podman lose it
    setfattr -n user.other -v 1 /sticky
    setcap cap_net_raw+ep /capable
    long=$(printf 'n%.0s' {1..250})
    mkdir -p /$long/$long
    touch /$long/$long/$long $'/new\nline' $'/not-\xff-utf8'
    ln -s /$long/$long/$long /to-long
    truncate -s 3M /sparse
    echo end >> /sparse
}
three() {
    mv /kept/two /kept/moved
    rm /opaque/x
    touch -d 1971-02-03 /kept/dated
}
"#;

/// An environment with the base and the context of the image.
fn with_context(user: User) -> Env {
    let env = Env::new(user);
    let programs = "bash chmod chown find getfattr grep ln mkdir mkfifo mknod mv readlink rm setcap setfattr \
                    sha256sum sort stat touch truncate";
    let programs = programs
        .split_whitespace()
        .flat_map(|program| ["--binary", program]);
    let import = ["import", "-t", "tools", "-c", "ENV PATH=/usr/bin:/usr/sbin"];
    env.mkimg(import.into_iter().chain(programs)).success();
    env.write("context/list", LIST);
    env.write("context/steps", STEPS);
    env.write("context/dir/moved", "copied\n");
    env.write("context/dir/sub/file", "copied\n");
    env.write("context/Dockerfile", DOCKERFILE);
    env
}

/// The lines of an image in a container of mkimg's.
fn listed(env: &Env, image: &str) -> Vec<String> {
    let run = ["run", "--rm", "--network", "none", image, "bash", "/list"];
    lines(env.mkimg(run))
}

/// The lines of a tree.
fn listed_in(env: &Env, root: &Path) -> Vec<String> {
    let mut chroot = env.program("chroot");
    lines(run(chroot.arg(root).args(["bash", "/list"])))
}

fn lines(ran: Ran) -> Vec<String> {
    let lines: Vec<_> = ran.success().out().lines().map(str::to_owned).collect();
    assert!(lines.len() > 60, "{lines:#?}");
    lines
}

fn umoci(env: &Env, layout: &str, bundle: &str) -> Vec<String> {
    let mut unpack = env.program("umoci");
    run(unpack.args(["unpack", "--image", layout, bundle])).success();
    listed_in(env, &env.path(bundle).join("rootfs"))
}

/// podman with a storage of its own.
fn podman(env: &Env, args: &[&str]) -> Ran {
    let mut command = env.program("podman");
    command
        .args(["--root", "podman/root", "--runroot", "podman/run"])
        .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
        .args(args);
    run(&mut command).success()
}

fn podman_listed(env: &Env, image: &str) -> Vec<String> {
    let mounted = podman(env, &["image", "mount", image]);
    let lines = listed_in(env, Path::new(mounted.line()));
    podman(env, &["image", "unmount", image]);
    lines
}

fn differences(ours: &[String], theirs: &[String]) -> Vec<String> {
    let missing = |all: &[String], of: &[String], sign: &str| -> Vec<String> {
        let missing = of.iter().filter(|line| !all.contains(line));
        missing.map(|line| format!("{sign} {line}")).collect()
    };
    [
        missing(theirs, ours, "mkimg"),
        missing(ours, theirs, "other"),
    ]
    .concat()
}

#[track_caller]
fn same(ours: &[String], theirs: &[String], what: &str) {
    let differences = differences(ours, theirs);
    assert!(differences.is_empty(), "{what}: {differences:#?}");
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

/// Whether the tests can look into what the tools unpack for root.
fn is_root() -> bool {
    let is_root = support::is_root();
    if !is_root {
        println!("umoci and podman need root to unpack as is: not run");
    }
    is_root
}

#[test]
fn others_unpack_what_mkimg_built() {
    if !is_root() {
        return;
    }
    let env = with_context(User::Own);
    env.mkimg(["build", "-t", "odd", "context"]).success();
    let ours = listed(&env, "odd");
    let store = format!("{}:odd:latest", env.store().display());
    same(&ours, &umoci(&env, &store, "bundle"), "umoci, of the store");
    let mut copy = env.program("skopeo");
    copy.args([
        "--insecure-policy",
        "copy",
        "--dest-compress-format",
        "gzip",
    ])
    .args([&format!("oci:{store}"), "oci:copied:odd:latest"]);
    run(&mut copy).success();
    same(
        &ours,
        &umoci(&env, "copied:odd:latest", "bundle2"),
        "skopeo",
    );
    env.mkimg(["save", "-o", "saved.tar", "odd"]).success();
    podman(&env, &["load", "-i", "saved.tar"]);
    same(&ours, &podman_listed(&env, "odd"), "podman");
}

#[test]
fn others_pull_what_mkimg_pushed() {
    if !is_root() {
        return;
    }
    let registry = Registry::start();
    let env = with_context(User::Own);
    env.mkimg(["build", "-t", "odd", "context"]).success();
    let ours = listed(&env, "odd");
    for compression in ["gzip", "zstd"] {
        let name = format!("{}/odd:{compression}", registry.host());
        env.mkimg(["tag", "odd", &name]).success();
        env.mkimg(["push", "--compression", compression, &name])
            .success();
        podman(&env, &["pull", "--tls-verify=false", &name]);
        same(&ours, &podman_listed(&env, &name), "podman");
    }
    let name = format!("docker://{}/odd:gzip", registry.host());
    let mut copy = env.program("skopeo");
    copy.args(["--insecure-policy", "copy", "--src-tls-verify=false", &name])
        .arg("oci:pulled:odd");
    run(&mut copy).success();
    same(&ours, &umoci(&env, "pulled:odd", "bundle3"), "umoci");
}

#[test]
fn mkimg_unpacks_what_others_built() {
    if !is_root() {
        return;
    }
    let env = with_context(User::Own);
    env.mkimg(["save", "-o", "tools.tar", "tools"]).success();
    podman(&env, &["load", "-i", "tools.tar"]);
    podman(
        &env,
        &["build", "--isolation", "chroot", "-t", "theirs", "context"],
    );
    let theirs = podman_listed(&env, "theirs");
    let push = |compression: &str, target: &str| {
        let format = format!("--compression-format={compression}");
        podman(&env, &["push", &format, "theirs", target]);
    };
    for compression in ["gzip", "zstd"] {
        let target = format!("oci:{compression}:theirs:1");
        push(compression, &target);
        let mut inspect = env.program("skopeo");
        let manifest = run(inspect.args(["inspect", "--raw", &target])).success();
        assert!(
            manifest.out().contains(&format!("tar+{compression}")),
            "{manifest}"
        );
    }
    podman(&env, &["save", "-o", "docker.tar", "theirs"]);
    for (number, source) in ["gzip", "zstd", "docker.tar"].into_iter().enumerate() {
        for &user in User::with_ids() {
            let to = Env::new(user);
            let path = env.path(source);
            run(env.program("chmod").args(["-R", "a+rX"]).arg(&path)).success();
            to.mkimg(["load", "-i", path.to_str().unwrap()]).success();
            let name = to.mkimg(["images", "-q"]).success();
            let mut ours = listed(&to, name.line());
            let mut theirs = theirs.clone();
            if user != User::Own {
                // A user namespace can have none.
                for lines in [&mut ours, &mut theirs] {
                    lines.retain(|line| !line.contains(" special file "));
                }
            }
            same(&ours, &theirs, &format!("{number}: {source} as {user:?}"));
        }
    }
}
