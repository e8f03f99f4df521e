//! A full disk: nothing is lost, nothing is left, and the error says what to do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Env, Ran, User, run};

/// A store with the busybox base on a file system of its own, of 13 MiB, which nobody else sees; and what this
/// script does with it, with mkimg as `$MKIMG`.
fn on_small_disk(env: &Env, script: &str) -> Ran {
    let mut command = env.program("unshare");
    let all = format!(
        "mount -t tmpfs -o size=13m,mode=755 none /mnt && export MKIMG_ROOT=/mnt/store && \
         $MKIMG load -q -i base.tar >&2 || exit 90\n\
         fill() {{ dd if=/dev/zero of=/mnt/fill bs=4k 2> /dev/null; }}\n\
         whole() {{ $MKIMG verify > /dev/null || exit 91; ls /mnt/store/tmp; ls -A /mnt; $MKIMG images -q; }}\n\
         {script}"
    );
    command.args(["--mount", "--propagation", "private", "sh", "-c", &all]);
    command.env("MKIMG", env.command([""; 0]).get_program());
    run(&mut command)
}

/// A place with `base.tar`, and `big` of 4 MiB and `huge` of 20 in the context; `None`, and a word, where no
/// disk can be mounted.
fn place() -> Option<(Env, String)> {
    if !support::is_root() {
        println!("only root can mount a small disk: not run");
        return None;
    }
    let env = Env::new(User::Own);
    env.import_busybox("busybox");
    let id = env.mkimg(["images", "-q"]).success().line().to_owned();
    env.mkimg(["save", "-o", "base.tar", "busybox"]).success();
    env.write("c/big", vec![b'x'; 4 << 20]);
    env.write("huge/file", vec![b'x'; 20 << 20]);
    env.mkimg(["import", "huge", "huge"]).success();
    env.mkimg(["save", "-o", "huge.tar", "huge"]).success();
    Some((env, id))
}

#[test]
fn in_a_build() {
    let Some((env, id)) = place() else { return };
    for dockerfile in [
        "FROM busybox\nCOPY big /1\nCOPY big /2\nCOPY big /3\n",
        // at the unpacking, in the command, at the packing of what it wrote
        "FROM busybox\nCOPY big /1\nCOPY big /2\nRUN true\n",
        "FROM busybox\nRUN dd if=/dev/zero of=/x bs=1M count=12\n",
        "FROM busybox\nRUN head -c 5000000 /dev/urandom > /x\n",
    ] {
        env.write("c/Dockerfile", dockerfile);
        let ran = on_small_disk(&env, "$MKIMG build -t full c; code=$?; whole; exit $code");
        let ran = ran.exits(1).says(["Dockerfile:", "No space left"]);
        assert_eq!(ran.out(), format!("store\n{id}\n"), "{ran}");
        if !dockerfile.contains("dd") {
            ran.says(["make room"]);
        }
    }
}

#[test]
fn in_an_import_a_load_and_a_save() {
    let Some((env, id)) = place() else { return };
    for command in [
        "import huge huge",
        "load -i huge.tar",
        "save -o /mnt/base.tar busybox",
        "save --format oci-dir -o /mnt/base busybox",
    ] {
        let script = match command.starts_with("save") {
            true => "fill; truncate -s -1M /mnt/fill",
            false => "touch /mnt/fill",
        };
        let script = format!("{script}; $MKIMG {command}; code=$?; whole; exit $code");
        let ran = on_small_disk(&env, &script).exits(1);
        let ran = ran.says(["cannot write", "No space left", "make room"]);
        assert_eq!(ran.out(), format!("fill\nstore\n{id}\n"), "{ran}");
    }
}

#[test]
fn in_the_writing_of_a_name_and_of_a_container() {
    let Some((env, id)) = place() else { return };
    for (command, code) in [
        ("tag busybox other", 1),
        ("rmi busybox", 1),
        ("run --rm --network none busybox true", 125),
    ] {
        let script = format!("fill; $MKIMG {command}; code=$?; whole; exit $code");
        let ran = on_small_disk(&env, &script).exits(code);
        let ran = ran.says(["No space left", "make room"]);
        assert_eq!(ran.out(), format!("fill\nstore\n{id}\n"), "{ran}");
    }
}

#[test]
fn with_room_again_the_same_build_works() {
    let Some((env, _)) = place() else { return };
    env.write("c/Dockerfile", "FROM busybox\nCOPY small /\nRUN true\n");
    env.write("c/small", "x");
    // at every block that a small build takes
    let script = "for blocks in $(seq 0 2 60); do rm -f /mnt/fill; fill; truncate -s -${blocks}k /mnt/fill; \
                  $MKIMG build -q -t app c > /dev/null 2>&1; $MKIMG verify >&2 || exit 92; done; \
                  rm /mnt/fill; $MKIMG build -q -t app c && whole";
    let ran = on_small_disk(&env, script).success();
    assert_eq!(ran.out().lines().count(), 4, "{ran}");
}
