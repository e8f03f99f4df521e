//! A hostile program tries to get out of its sandbox, or at what is another's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use support::{Env, Ran, User, run};

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env
}

/// Runs a command in a container without a network, which is removed.
fn sh(env: &Env, flags: &[&str], script: &str) -> Ran {
    let fixed = ["run", "--rm", "--network", "none"];
    let args = fixed.iter().chain(flags);
    env.mkimg(args.chain(&["busybox", "sh", "-c", script]))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Opening `/proc/self/fd/0` anew, or changing its mode, would reach a file of the host.
#[test]
fn the_standard_streams_are_no_files_of_the_host() {
    for user in User::with_ids() {
        let env = env(*user);
        let input = env.write("in", "input\n");
        let output = env.write("out", "old\n");
        for file in [&input, &output] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let script = "cat; for fd in 0 1 2; do chmod 4777 /proc/self/fd/$fd; done
                      (echo pwned > /proc/self/fd/0); (cat /proc/self/fd/1 > /tmp/read) & sleep 0.2
                      cat /tmp/read >&2";
        let mut command = env.command(["run", "--rm", "-i", "--network", "none"]);
        command.args(["busybox", "sh", "-c", script]);
        command.stdin(File::open(&input).unwrap());
        command.stdout(File::options().append(true).open(&output).unwrap());
        let ran = run(command.stderr(Stdio::piped()));
        assert!(!ran.err().contains("old"), "{ran}");
        assert_eq!(fs::read_to_string(&input).unwrap(), "input\n");
        assert_eq!(fs::read_to_string(&output).unwrap(), "old\ninput\n");
        assert_eq!((mode(&input), mode(&output)), (0o640, 0o640));
    }
}

/// Root of the machine could take it from everybody.
#[test]
fn the_mode_of_the_hosts_null_device_cannot_be_changed() {
    for user in User::with_ids() {
        let env = env(*user);
        // To what it is, so that nothing is lost where it can.
        let script = "for file in /dev/null /dev/stdin; do
                          chmod 666 $file 2>/dev/null && echo changed $file; done; true";
        assert_eq!(sh(&env, &[], script).success().out(), "");
        let script = script.replace('\n', " ");
        env.write(
            "c/Dockerfile",
            format!("FROM busybox\nRUN {script}\n").as_bytes(),
        );
        let built = env.mkimg(["build", "--progress", "plain", "c"]).success();
        assert!(!built.err().contains("changed /dev"), "{built}");
    }
}

/// CVE-2024-21626: a directory that mkimg's caller left open.
#[test]
fn no_descriptor_leads_out() {
    for user in User::with_ids() {
        let env = env(*user);
        let leak = env.dir("leak");
        let mkimg = env.command(["run", "--rm", "--network", "none"]);
        for directory in [
            "/proc/self/fd/9",
            "/proc/self/fd/9/made",
            "/missing/../proc/self/fd/9/made",
            "/proc/1/fd/9/made",
        ] {
            let mut shell = env.program("sh");
            let script = "exec 9<leak; exec \"$@\"";
            shell.args(["-c", script, "sh"]).arg(mkimg.get_program());
            shell.args(mkimg.get_args()).env("MKIMG_ROOT", env.store());
            shell.args(["-w", directory, "busybox"]);
            shell.args(["sh", "-c", "echo >made; ls /proc/self/fd"]);
            let ran = run(&mut shell);
            assert!(!ran.out().contains('9'), "{directory}: {ran}");
            assert_eq!(fs::read_dir(&leak).unwrap().count(), 0, "{directory}");
        }
    }
}

/// Each is denied with EPERM, but for clone3(2), whose flags no filter can see.
#[test]
fn what_docker_denies_is_denied() {
    use nix::libc::*;
    let calls = [
        ("keyctl", SYS_keyctl),
        ("add_key", SYS_add_key),
        ("request_key", SYS_request_key),
        ("bpf", SYS_bpf),
        ("perf_event_open", SYS_perf_event_open),
        ("io_uring_setup", SYS_io_uring_setup),
        ("userfaultfd", SYS_userfaultfd),
        ("open_by_handle_at", SYS_open_by_handle_at),
        ("unshare", SYS_unshare),
        ("setns", SYS_setns),
        ("mount", SYS_mount),
        ("umount2", SYS_umount2),
        ("pivot_root", SYS_pivot_root),
        ("open_tree", SYS_open_tree),
        ("move_mount", SYS_move_mount),
        ("fsopen", SYS_fsopen),
        ("mount_setattr", SYS_mount_setattr),
        ("init_module", SYS_init_module),
        ("finit_module", SYS_finit_module),
        ("kexec_load", SYS_kexec_load),
        ("reboot", SYS_reboot),
        ("swapon", SYS_swapon),
        ("syslog", SYS_syslog),
        ("acct", SYS_acct),
        ("settimeofday", SYS_settimeofday),
        ("clock_settime", SYS_clock_settime),
        ("quotactl", SYS_quotactl),
        ("fanotify_init", SYS_fanotify_init),
        ("kcmp", SYS_kcmp),
        ("pidfd_getfd", SYS_pidfd_getfd),
    ];
    let mut script =
        "sub ask { my ($name, $call) = (shift, shift); syscall($call, @_); print \"$name \", $!+0, \"\\n\" }\n"
            .to_owned();
    for (name, number) in calls {
        script += &format!("ask '{name}', {number}, 0, 0, 0, 0, 0;\n");
    }
    let more = [
        (
            "clone user",
            format!("{SYS_clone}, {}, 0, 0, 0, 0", CLONE_NEWUSER),
        ),
        ("unshare user", format!("{SYS_unshare}, {CLONE_NEWUSER}")),
        (
            "AF_VSOCK",
            format!("{SYS_socket}, {AF_VSOCK}, {SOCK_STREAM}, 0"),
        ),
        (
            "AF_ALG",
            format!("{SYS_socket}, {AF_ALG}, {SOCK_SEQPACKET}, 0"),
        ),
        (
            "ptrace init",
            format!("{SYS_ptrace}, {PTRACE_ATTACH}, 1, 0, 0"),
        ),
    ];
    for (name, call) in &more {
        script += &format!("ask '{name}', {call};\n");
    }
    script += &format!("ask 'clone3', {SYS_clone3}, 0, 0;\n");
    for user in User::with_ids() {
        let env = Env::new(*user);
        env.mkimg(["import", "--binary", "perl", "-t", "perl"])
            .success();
        let args = [
            "run",
            "--rm",
            "--network",
            "none",
            "perl",
            "perl",
            "-e",
            &script,
        ];
        let ran = env.mkimg(args).success();
        let mut expected = String::new();
        for name in calls
            .iter()
            .map(|call| call.0)
            .chain(more.iter().map(|call| call.0))
        {
            expected += &format!("{name} {EPERM}\n");
        }
        expected += &format!("clone3 {ENOSYS}\n");
        assert_eq!(ran.out(), expected);
    }
}

/// Docker gives a RUN a network of its own, where listening to all of it is listening to itself.
#[test]
fn a_build_step_cannot_listen_to_the_hosts_network() {
    for user in User::with_ids() {
        let env = Env::new(*user);
        env.mkimg(["import", "--binary", "perl", "-t", "perl"])
            .success();
        let packet = "socket(S, 17, 3, 0x300) and print 'heard';";
        let raw = "socket(S, 2, 3, 1) and print 'heard';";
        env.write(
            "c/Dockerfile",
            format!("FROM perl\nRUN [\"perl\", \"-e\", \"{packet} {raw}\"]\n"),
        );
        let built = env.mkimg(["build", "--progress", "plain", "c"]).success();
        assert!(
            !built.err().lines().any(|line| line.ends_with("heard")),
            "{built}"
        );
    }
}

#[test]
fn devices_and_settings_of_the_machine_are_out_of_reach() {
    let partitions = fs::read_to_string("/proc/partitions").unwrap();
    let disk = partitions.lines().nth(2).unwrap();
    let disk: Vec<&str> = disk.split_whitespace().collect();
    let script = format!(
        "try() {{ mknod $1 $2 $3 $4 2>/dev/null && head -c 1 $1 >/dev/null 2>&1 && echo opened $1; }}
         for dir in /tmp /dev /dev/shm /vol; do
             try $dir/disk b {} {}; try $dir/mem c 1 1; try $dir/kmsg c 1 11; try $dir/tun c 10 200
         done
         for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/drop_caches \\
                     /proc/sysrq-trigger /proc/sys/kernel/modprobe /sys/kernel/uevent_helper \\
                     /sys/kernel/mm/ksm/run /proc/irq/default_smp_affinity; do
             (cat $file >/tmp/value && cat /tmp/value >$file) 2>/dev/null && echo wrote $file
         done
         mkdir /tmp/new && chroot /tmp/new true 2>/dev/null
         ls /proc/1/root/ /proc/1/cwd/ 2>/dev/null
         kill -9 1; kill -9 -1 2>/dev/null
         true",
        disk[0], disk[1]
    );
    for user in User::with_ids() {
        let env = env(*user);
        let volume = format!("{}:/vol", env.dir("volume").display());
        assert_eq!(sh(&env, &["-v", &volume], &script).out(), "");
    }
}

/// CVE-2019-5736.
#[test]
fn mkimg_itself_cannot_be_reached_by_who_runs_in_it() {
    for user in User::with_ids() {
        let env = env(*user);
        let binary = env.command(["version"]).get_program().to_owned();
        let before = fs::read(&binary).unwrap();
        let write = "for file in /proc/*/exe; do
                         chmod 777 $file; echo pwned > $file; ln $file /tmp/mkimg; done 2>/dev/null; true";
        sh(&env, &[], write).success();
        for program in ["/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"] {
            let args = [
                "run",
                "--rm",
                "--network",
                "none",
                "--entrypoint",
                program,
                "busybox",
            ];
            let ran = env.mkimg(args);
            assert_ne!(ran.code(), 0, "{ran}");
            sh(&env, &["-w", program], "true").exits(125);
        }
        env.write(
            "c/Dockerfile",
            "FROM busybox\nRUN echo '#!/proc/self/exe' >/bin/x && chmod +x /bin/x\nCMD [\"x\"]\n",
        );
        env.mkimg(["build", "-q", "-t", "script", "c"]).success();
        let ran = env.mkimg(["run", "--rm", "--network", "none", "script"]);
        assert_ne!(ran.code(), 0, "{ran}");
        assert!(fs::read(&binary).unwrap() == before);
    }
}

#[test]
fn a_read_only_volume_is_so_to_its_depths() {
    if !support::is_root() {
        return;
    }
    let env = env(User::Own);
    env.dir("volume/deep/er");
    let volume = format!("{}:/vol:ro", env.path("volume").display());
    let mkimg = env.command(["run", "--rm", "--network", "none", "-v", &volume, "busybox"]);
    let script = "mount -t tmpfs none volume/deep && mkdir volume/deep/er &&
                  mount -t tmpfs none volume/deep/er && touch volume/deep/er/there && exec \"$@\"";
    let mut unshare = env.program("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]);
    unshare
        .arg(mkimg.get_program())
        .args(mkimg.get_args())
        .env("MKIMG_ROOT", env.store());
    unshare.args(["sh", "-c", "ls /vol/deep/er; for dir in . deep deep/er; do touch /vol/$dir/new; done 2>/dev/null; find /vol -name new"]);
    assert_eq!(run(&mut unshare).success().out(), "there\n");
}

#[test]
fn the_store_is_for_its_owner_alone_and_layers_stay_as_they_are() {
    for user in User::with_ids() {
        let env = Env::new(*user);
        // Made before, open to all.
        let store = env.dir("store");
        env.import_busybox("busybox");
        let script = "rm -rf /bin/cat /etc/passwd; echo x >>/bin/busybox; chmod 777 /tmp /etc; echo >/etc/resolv.conf";
        sh(&env, &[], script);
        env.write("c/Dockerfile", "FROM busybox\nRUN cp /bin/busybox /su && chmod 4755 /su\nRUN rm -rf /bin /etc /tmp || true\n");
        env.mkimg(["build", "-q", "c"]);
        sh(
            &env,
            &[],
            "test -s /etc/passwd && cat /dev/null && busybox true",
        )
        .success();
        env.mkimg(["verify"]).success();
        for entry in fs::read_dir(&store).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                assert_eq!(mode(&entry.path()), 0o700, "{entry:?}");
            }
        }
    }
}

#[test]
fn what_a_build_step_leaves_running_does_not_hold_the_build_up() {
    for user in User::with_ids() {
        let env = env(*user);
        let seconds = format!("7{}3", std::process::id());
        env.write(
            "c/Dockerfile",
            format!("FROM busybox\nRUN for i in $(seq 100); do (setsid sleep {seconds} &); done; echo done\n"),
        );
        env.mkimg(["build", "-q", "c"]).success();
        let found = run(env
            .program("pgrep")
            .args(["-f", &format!("sleep {seconds}")]));
        assert_eq!(found.out(), "");
    }
}

/// CVE-2020-15257: what listens in the network's namespace can be reached from it.
#[test]
fn mkimg_listens_on_nothing_that_a_container_of_the_hosts_network_can_reach() {
    for user in User::with_ids() {
        let env = env(*user);
        let args = [
            "run",
            "--rm",
            "--network",
            "host",
            "busybox",
            "cat",
            "/proc/net/unix",
        ];
        let ran = env.mkimg(args).success();
        assert!(!ran.out().contains("mkimg"), "{ran}");
    }
}

/// A RUN on the host's network: the abstract sockets of the host's programs are none of its business.
#[test]
fn a_build_step_reaches_no_abstract_socket_of_the_host() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("mkimg-escape-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    for user in User::with_ids() {
        let env = Env::new(*user);
        env.mkimg(["import", "--binary", "perl", "-t", "perl"])
            .success();
        // Its own it may reach.
        let script = format!(
            "sub at {{ pack 'S a*', 1, chr(0) . shift }}
             socket(L, 1, 1, 0) and bind(L, at('own')) and listen(L, 1) or die;
             socket(S, 1, 1, 0) and connect(S, at('own')) or die;
             socket(S, 1, 1, 0) and connect(S, at('{name}')) and print 'reached';"
        );
        let script = serde_json::to_string(&["perl", "-e", &script.replace('\n', " ")]).unwrap();
        env.write("c/Dockerfile", format!("FROM perl\nRUN {script}\n"));
        let built = env.mkimg(["build", "--progress", "plain", "c"]).success();
        assert!(
            !built.err().lines().any(|line| line.ends_with("reached")),
            "{built}"
        );
    }
}
