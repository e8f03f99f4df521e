//! `RUN --mount`, `--network`, and what else a build gives its commands, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};

use support::{Env, Ran, User};

/// A user's place with the busybox base and a context in `c`.
fn env(user: User, dockerfile: &str) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env.write("c/Dockerfile", dockerfile);
    env
}

fn build(env: &Env, flags: &[&str]) -> Ran {
    let args = ["build", "--progress", "plain", "-t", "app"].iter();
    let ran = env.mkimg(args.chain(flags).chain(&["c"]));
    nothing_is_left(env);
    ran
}

/// Nothing is mounted in the place, and no process's directory is left in the store.
fn nothing_is_left(env: &Env) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let dir = env.path("").display().to_string();
    assert!(!mounts.contains(dir.trim_end_matches('/')), "{mounts}");
    let left: Vec<_> = std::fs::read_dir(env.store().join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The layers of the image, base first.
fn layers(env: &Env) -> usize {
    let inspected = env.mkimg(["inspect", "app"]).success().json();
    inspected[0]["RootFS"]["Layers"].as_array().unwrap().len()
}

const TYPES: &str = "\
FROM busybox AS made
RUN mkdir -p /made/dir && echo from-stage > /made/dir/file && chown 7:8 /made/dir/file && chmod 751 /made
RUN ln -s dir /made/link && ln -s /made/dir/file /made/absolute
FROM busybox
WORKDIR /w
ENV WHERE=given
RUN --mount=source=sub,target=sub --mount=target=/all,ro=true --mount=source=file,target=deep/er/file \\
    stat -c '%a %u %g %Y %F' sub sub/x /all /all/file deep/er/file > /out-context && \\
    cat sub/x /all/file deep/er/file >> /out-context && ls /all >> /out-context && \\
    ! touch sub/y 2> /dev/null && ! rm /all/file 2> /dev/null
RUN --mount=from=made,source=/made,target=/from --mount=from=made,src=made/dir/file,dst=/single \\
    --mount=from=made,source=made/link,target=/link \\
    stat -c '%a %u %g' /from /from/dir/file /single > /out-stage && cat /single /link/file >> /out-stage
RUN --mount=from=busybox,target=/image,rw --mount=source=sub,rw,target=/writable \\
    echo changed > /image/etc/passwd && rm -r /image/bin && echo more > /writable/x && cat /writable/x > /out-rw && \\
    echo $WHERE >> /out-rw
RUN --mount=source=sub,rw,target=/writable cat /writable/x >> /out-rw
RUN --mount=type=tmpfs,target=$WHERE/$WHERE,size=64k \\
    stat -c %a given/given > /out-tmpfs && df -k given/given | tail -1 | tr -s ' ' | cut -d' ' -f2 >> /out-tmpfs && \\
    ! dd if=/dev/zero of=given/given/x bs=1k count=65 2> /dev/null
RUN --mount=type=cache,target=/cache,uid=1000,gid=2000,mode=0750 stat -c '%a %u %g' /cache > /out-cache && echo 1 > /cache/kept
RUN --mount=type=cache,target=/cache,uid=1000,gid=2000,mode=0750 cat /cache/kept >> /out-cache
RUN --mount=type=cache,target=/other,id=/cache ls -A /other | wc -l >> /out-cache
RUN --mount=type=cache,target=/seeded,from=made,source=made cat /seeded/dir/file >> /out-cache && echo x > /seeded/dir/file
RUN --mount=type=cache,target=/seeded,from=made,source=made,ro cat /seeded/dir/file >> /out-cache
RUN ls -d /all /from /single /cache /other /seeded /image /writable /w/sub /w/deep /w/given 2> /dev/null | wc -l > /out-left
";

#[test]
fn every_type_shows_what_docker_shows_and_leaves_nothing() {
    let mut ids = Vec::new();
    for user in User::with_ids() {
        let env = env(*user, TYPES);
        env.write("c/sub/x", "x\n");
        env.write("c/file", "file\n");
        env.write("c/left", "out\n");
        env.write("c/.dockerignore", "left\n");
        let mode = |name: &str, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(env.path(name), mode).unwrap();
        };
        mode("c/sub", 0o750);
        mode("c/file", 0o640);
        build(&env, &[]).success();
        let read = |name: &str| {
            let args = ["run", "--rm", "--network", "none", "app", "cat"];
            let ran = env.mkimg(args.iter().chain(&[name])).success();
            ran.out().to_owned()
        };
        assert_eq!(
            read("/out-context"),
            "750 0 0 315532800 directory\n644 0 0 315532800 regular file\n755 0 0 315532800 directory\n\
             640 0 0 315532800 regular file\n640 0 0 315532800 regular file\n\
             x\nfile\nfile\nDockerfile\nfile\nsub\n"
        );
        assert_eq!(
            read("/out-stage"),
            "751 0 0\n644 7 8\n644 7 8\nfrom-stage\nfrom-stage\n"
        );
        assert_eq!(read("/out-rw"), "more\ngiven\nx\n");
        assert_eq!(read("/out-tmpfs"), "1777\n64\n");
        assert_eq!(read("/out-cache"), "750 1000 2000\n1\n0\nfrom-stage\nx\n");
        assert_eq!(read("/out-left"), "0\n");
        ids.push(env.mkimg(["inspect", "app"]).json()[0]["Id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_mount_makes_no_layer_and_its_key_is_what_it_shows() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\n\
             RUN --mount=source=a,target=/var/deep/a --mount=type=tmpfs,target=/etc/t \
                 --mount=type=cache,target=/home/c --mount=type=secret,id=s test -e /var/deep/a\n",
        );
        env.write("c/a", "1");
        env.write("c/b", "1");
        build(&env, &[]).success();
        assert_eq!(layers(&env), 1);
        build(&env, &[]).success().says(["CACHED"]);
        // What is not mounted is not asked, nor is whether there is a secret.
        env.write("c/b", "2");
        env.write("s", "a secret");
        build(&env, &["--secret", "id=s,src=s"])
            .success()
            .says(["CACHED"]);
        env.write("c/a", "2");
        build(&env, &[]).success().says(["a changed"]);
        env.write("c/a", "1");
        build(&env, &[]).success().says(["CACHED"]);
    }
}

/// What each of these says, and that nothing is built then.
#[test]
fn mistakes_are_told_before_anything_is_built() {
    let env = env(User::Own, "");
    for (mount, said) in [
        ("typ=tmpfs", "did you mean `type`?"),
        ("type=cahce,target=/a", "did you mean `cache`?"),
        ("type=tmpfs,target=/a,mode=1777", "takes no `mode`"),
        ("target=/a,ro=maybe", "true or false"),
        ("type=bind,target=/", "cannot be /"),
        ("from=$X,target=/a", "no variables"),
        ("from=later,target=/a", "later"),
    ] {
        let text = format!(
            "FROM busybox\nRUN echo begun\nRUN --mount={mount} true\nFROM busybox AS later\nFROM busybox\nCOPY --from=0 /bin /bin\n"
        );
        env.write("c/Dockerfile", text);
        let failed = build(&env, &[]).exits(1);
        let failed = failed.says([said, "Dockerfile:3"]);
        assert!(!failed.err().contains("begun"), "{failed}");
    }
    // Not where nobody needs the stage.
    env.write(
        "c/Dockerfile",
        "FROM busybox AS x\nRUN --mount=typ=tmpfs true\nFROM busybox\nRUN true\n",
    );
    build(&env, &[]).success();
}

#[test]
fn what_is_not_there_is_told_by_its_name() {
    for user in User::with_ids() {
        let env = env(*user, "");
        env.write("c/there", "x");
        for (mount, said) in [
            ("source=theer,target=/a", vec!["there"]),
            (
                "from=busybox,source=etc/paswd,target=/a",
                vec!["/etc/passwd"],
            ),
            ("type=cache,target=/a,source=no/such", vec!["no/such"]),
            (
                "type=secret,id=tokn,required",
                vec!["tokn", "did you mean", "token"],
            ),
            (
                "type=secret,id=other,required",
                vec!["other", "--secret id=other"],
            ),
            ("type=ssh,required", vec!["--ssh default"]),
        ] {
            env.write(
                "c/Dockerfile",
                format!("FROM busybox\nRUN --mount={mount} true\n"),
            );
            let failed = build(&env, &["--secret", "id=token,src=c/there"]).exits(1);
            let failed = said
                .into_iter()
                .fold(failed, |failed, word| failed.says([word]));
            failed.says(["Dockerfile:2"]);
        }
    }
}

#[test]
fn nothing_leads_out() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\n\
             RUN ln -s ../../../../../../../../tmp /out && ln -s /no/such /dangling && mkdir /real && ln -s /real /inner\n\
             RUN --mount=source=../../..,target=/whole ls /whole > /seen\n\
             RUN --mount=source=up,target=/up ls -a /up >> /seen; true\n\
             RUN --mount=source=f,target=/out/through --mount=source=f,target=/dangling/x \
                 --mount=type=tmpfs,target=/inner/t test -f /tmp/through -a -f /no/such/x -a -d /real/t\n\
             RUN --mount=source=f,target=/etc/passwd grep -q mine /etc/passwd && ! grep root /etc/passwd\n\
             RUN --mount=type=cache,id=../../../../escape,target=/c touch /c/x\n\
             RUN --mount=type=cache,target=/c,id=l rm -rf /c/sel && ln -s /etc /c/sel\n\
             RUN --mount=type=cache,target=/d,id=l,source=sel ls /d > /cache-link; true\n\
             RUN grep -q root /etc/passwd && ! ls /no /real/t /tmp/through 2> /dev/null\n",
        );
        env.write("c/f", "mine\n");
        env.write("c/up", "");
        std::fs::remove_file(env.path("c/up")).unwrap();
        symlink("../../..", env.path("c/up")).unwrap();
        let ran = build(&env, &[]);
        // The last mount of a cache's link that leads nowhere inside of it.
        ran.exits(1).says(["sel"]);
        let text = std::fs::read_to_string(env.path("c/Dockerfile")).unwrap();
        let text: String = text
            .lines()
            .filter(|line| !line.contains("cache-link"))
            .map(|line| format!("{line}\n"))
            .collect();
        env.write("c/Dockerfile", text);
        build(&env, &[]).success();
        let seen = env
            .mkimg(["run", "--rm", "--network", "none", "app", "cat", "/seen"])
            .success();
        assert_eq!(seen.out(), "Dockerfile\nf\nup\n.\n..\nDockerfile\nf\nup\n");
        assert!(!env.path("escape").exists() && !env.store().join("escape").exists());
        assert!(!std::path::Path::new("/tmp/through").exists());
    }
}

#[test]
fn the_kernel_s_own_files_are_not_mounted_over() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\nRUN ln -s /proc /p\nRUN --mount=type=tmpfs,target=/p/sys true\n",
        );
        build(&env, &[]).exits(1).says(["/proc"]);
    }
}

#[test]
fn one_cache_is_locked_and_another_shared() {
    let env = env(
        User::Own,
        "FROM busybox AS a\n\
         RUN --mount=type=cache,id=l,target=/c,sharing=locked --mount=type=cache,id=s,target=/s \
             mkdir /c/only && touch /s/a && sleep 0.3 && rmdir /c/only\n\
         FROM busybox AS b\n\
         RUN --mount=type=cache,id=l,target=/c,sharing=locked --mount=type=cache,id=s,target=/s \
             mkdir /c/only && touch /s/b && sleep 0.3 && rmdir /c/only\n\
         FROM busybox\n\
         RUN --mount=from=a,source=bin,target=/a --mount=from=b,source=bin,target=/b \
             --mount=type=cache,id=s,target=/s ls /s > /seen\n",
    );
    build(&env, &[]).success();
    let seen = env
        .mkimg(["run", "--rm", "--network", "none", "app", "cat", "/seen"])
        .success();
    assert_eq!(seen.out(), "a\nb\n");
}

#[test]
fn a_command_has_the_network_it_asks_for_if_the_build_has_it() {
    let env = env(
        User::Own,
        "FROM busybox\nRUN --network=none ls /sys/class/net > /none\nRUN --network=host true\nRUN --network=default --security=sandbox true\n",
    );
    build(&env, &[]).success();
    let seen = env
        .mkimg(["run", "--rm", "--network", "none", "app", "cat", "/none"])
        .success();
    assert_eq!(seen.out(), "lo\n");
    build(&env, &["--network", "none"])
        .exits(1)
        .says(["Dockerfile:3", "--network none"]);
    for (flag, said) in [
        ("--security=insecure", "not granted"),
        ("--device=nvidia.com/gpu=all", "not granted"),
        ("--network=bridge", "default, none and host"),
        ("--security=x", "there is sandbox"),
    ] {
        env.write("c/Dockerfile", format!("FROM busybox\nRUN {flag} true\n"));
        build(&env, &[]).exits(1).says([said]);
    }
}

#[test]
fn hosts_limits_and_shared_memory_are_as_asked() {
    for user in User::with_ids() {
        let env = env(
            *user,
            "FROM busybox\n\
             RUN grep -w db /etc/hosts > /hosts || true; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2 > /shm; \
                 (ulimit -Sn; ulimit -Hn; ulimit -c) > /limits\n\
             RUN ! grep -w db /etc/passwd\n",
        );
        let flags = [
            "--add-host",
            "db:10.1.2.3",
            "--add-host",
            "db=[::7]",
            "--shm-size",
            "1m",
            "--ulimit",
            "nofile=64:128",
            "--ulimit",
            "core=0",
        ];
        build(&env, &flags).success();
        let read = |name: &str| {
            let args = ["run", "--rm", "--network", "none", "app", "cat", name];
            env.mkimg(args).success().out().to_owned()
        };
        assert_eq!(read("/hosts"), "10.1.2.3\tdb\n::7\tdb\n");
        assert_eq!(read("/shm"), "1024\n");
        assert_eq!(read("/limits"), "64\n128\n0\n");
        // Another address is no other build; another size is.
        let mut other = flags;
        other[1] = "db:10.1.2.4";
        build(&env, &other).success().says(["CACHED"]);
        other[5] = "2m";
        build(&env, &other).success().says(["/dev/shm changed"]);
        let ordinary = *user != User::Own || !support::is_root();
        if ordinary {
            let failed = build(&env, &["--ulimit", "nofile=99999999"]).exits(1);
            failed.says(["nofile", "most that this user may set"]);
        }
        for (flag, value, said) in [
            ("--ulimit", "nofile=9:5", "above its hard"),
            ("--ulimit", "nofiles=9", "did you mean"),
            ("--shm-size", "much", "64m"),
            ("--add-host", "x:host-gateway", "127.0.0.1"),
            ("--add-host", "x", "no address"),
        ] {
            let failed = build(&env, &[flag, value]);
            let failed = failed.says([flag, said]);
            assert_ne!(failed.code(), 0);
        }
    }
}

#[test]
fn many_secrets_of_the_largest_size_come_whole_or_are_too_much() {
    let env = env(User::Own, "");
    let large = env.write("large", vec![0xe7; 500_000]);
    let given = |count: usize| {
        let ids = (0..count).map(|number| format!("s{number}"));
        let mounts = ids
            .clone()
            .map(|id| format!("--mount=type=secret,id={id} \\\n"));
        let run = mounts.collect::<String>();
        let text = format!(
            "FROM busybox\nRUN {run} cat /run/secrets/* | wc -c > /size; grep -x 8000000 /size\n"
        );
        env.write("c/Dockerfile", text);
        let flags = ids.map(|id| format!("--secret=id={id},src={}", large.display()));
        flags.collect::<Vec<_>>()
    };
    let run = |flags: &[String]| {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        build(&env, &flags)
    };
    run(&given(16)).success();
    run(&given(17)).exits(1).says([
        "--mount=type=secret",
        "8500000 bytes",
        "8388608 are the most",
    ]);
}

#[test]
fn what_nobody_here_is_owns_no_mount() {
    if !support::is_root() {
        return;
    }
    for mount in ["secret,id=s", "cache,target=/c"] {
        let text = format!("FROM busybox\nRUN --mount=type={mount},uid=200000 true\n");
        let env = env(User::Test, &text);
        let secret = env.write("secret", "a secret that nobody keeps");
        let secret = format!("--secret=id=s,src={}", secret.display());
        build(&env, &[&secret])
            .exits(1)
            .says(["200000", "/etc/subuid"]);
    }
}
