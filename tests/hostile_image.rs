//! Images that were made to harm whoever runs them or builds on them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;

use support::{Env, User};

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env
}

/// An image of busybox, with these symbolic links.
fn linked(env: &Env, name: &str, links: &[(&str, &str)]) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    let busybox = fs::read("/bin/busybox").unwrap();
    header.set_size(busybox.len() as u64);
    tar.append_data(&mut header, "bin/busybox", &*busybox)
        .unwrap();
    for (path, target) in links {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, path, target).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    env.mkimg_with_input(["import", "-", name], &tar).success();
}

#[test]
fn links_of_an_image_lead_to_nothing_of_the_host() {
    for user in User::with_ids() {
        let env = Env::new(*user);
        let outside = env.dir("outside");
        let volume = format!("{}:/data/in", env.dir("volume").display());
        let out = outside.to_str().unwrap();
        let up = format!("../../../../../..{out}");
        let file = format!("{out}/file");
        for (number, (links, code)) in [
            (&[("etc", out)][..], 0),
            (&[("etc", &up)], 0),
            (&[("etc/resolv.conf", &file), ("etc/hosts", "/dev/null")], 0),
            (&[("etc/hosts", "/proc/uptime")], 125),
            (&[("etc/resolv.conf", "/proc/version")], 125),
            (&[("data", out), ("work", out)], 0),
            (&[("data", "/proc/sys")], 125),
            (&[("proc", out)], 125),
            (&[("sys", out)], 125),
            (&[("dev", &up)], 125),
            (&[("etc/resolv.conf", "/proc/self/fd/1")], 125),
            (&[("etc/passwd", "/dev/zero")], 125),
            (&[("etc/passwd", "/proc/self/fd/0")], 125),
            (&[("etc/passwd", "passwd")], 125),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("image{number}");
            linked(&env, &name, links);
            let args = [
                "run",
                "--rm",
                "--network",
                "none",
                "-v",
                &volume,
                "-w",
                "/work/made",
            ];
            let script =
                "echo x >/work/made/x; echo x >/data/in/x; cat /etc/resolv.conf >/dev/null";
            let ran = env.mkimg(
                args.iter()
                    .chain(&[&*name, "/bin/busybox", "sh", "-c", script]),
            );
            assert_eq!(ran.code(), code, "{links:?}: {ran}");
            env.write("c/Dockerfile", format!("FROM {name}\nWORKDIR /work/made\nCOPY Dockerfile /data/\nRUN [\"/bin/busybox\", \"touch\", \"/work/made/x\"]\n"));
            let built = env.mkimg(["build", "-q", "c"]);
            assert!(built.code() == 0 || code != 0, "{links:?}: {built}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{links:?}");
        }
    }
}

/// CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881: what is mounted, on what, and what is written,
/// is chosen by no device of the image.
#[test]
fn devices_of_an_image_change_neither_masks_nor_settings() {
    let settings = || fs::read("/proc/sys/kernel/core_pattern").unwrap();
    let before = settings();
    for user in User::with_ids() {
        let env = Env::new(*user);
        let links = [
            ("dev/null", "/proc/sys/kernel/core_pattern"),
            ("dev/console", "/proc/sysrq-trigger"),
            ("dev/ptmx", "/proc/sysrq-trigger"),
            ("dev/pts", "/proc/sys"),
            ("dev/shm", "/proc/sys"),
            ("dev/fd", "/etc"),
        ];
        linked(&env, "image", &links);
        let script = "/bin/busybox ls -l /dev/null /dev/console | /bin/busybox awk '{ print $1, $5, $6, $NF }'
                      for file in keys kcore interrupts; do
                          [ -e /proc/$file ] && /bin/busybox head -c 1 /proc/$file; done
                      for file in sys/kernel/core_pattern sysrq-trigger; do
                          (echo x >/proc/$file) 2>/dev/null && echo wrote $file; done; true";
        let probe = env.write("probe", script);
        let mkimg = env.command(["run", "--rm", "-t", "--network", "none"]);
        let mut words = vec![mkimg.get_program().to_str().unwrap()];
        words.extend(mkimg.get_args().map(|arg| arg.to_str().unwrap()));
        let volume = format!("{}:/probe", probe.display());
        words.extend(["-v", &volume, "image", "/bin/busybox", "sh", "/probe"]);
        let mut terminal = env.program("script");
        terminal.env("MKIMG_ROOT", env.store());
        let ran = support::run(terminal.args(["-qec", &words.join(" "), "/dev/null"])).success();
        let said = ran.out().replace('\r', "");
        let expected = "crw--w---- 136, 0 /dev/console\ncrw-rw-rw- 1, 3 /dev/null\n";
        assert_eq!(said, expected);
        assert!(settings() == before);
    }
}

/// Who reads `/proc/kmsg` takes the messages from who waits for them; only root of the machine may.
#[test]
fn an_image_does_not_have_the_machines_messages_read() {
    let env = Env::new(User::Own);
    linked(&env, "image", &[("etc/passwd", "/proc/kmsg")]);
    let ran = env.mkimg([
        "run",
        "--rm",
        "--network",
        "none",
        "image",
        "/bin/busybox",
        "true",
    ]);
    let code = if support::is_root() { 0 } else { 125 };
    assert_eq!(ran.code(), code, "{ran}");
}

#[test]
fn user_files_that_are_none_hold_nothing_up() {
    for user in User::with_ids() {
        let env = env(*user);
        for make in [
            "mkfifo /etc/passwd",
            "truncate -s 16M /etc/passwd",
            "mkdir /etc/passwd",
        ] {
            let dockerfile = format!("FROM busybox\nRUN rm /etc/passwd && {make}\n");
            env.write("c/Dockerfile", dockerfile);
            env.mkimg(["build", "-q", "-t", "odd", "c"]).success();
            let ran = env.mkimg([
                "run",
                "--rm",
                "--network",
                "none",
                "-u",
                "app",
                "odd",
                "true",
            ]);
            ran.exits(125).says(["/etc/passwd"]);
        }
    }
}

#[test]
fn nothing_of_an_image_steers_the_terminal() {
    for user in User::with_ids() {
        let env = env(*user);
        let steer = "\u{1b}]0;title\u{7}\u{9b}31m";
        for change in [
            format!("USER {steer}"),
            "CMD [\"/\\u001b]0;title\\u0007\"]".to_owned(),
            format!("WORKDIR /etc/passwd/{steer}"),
        ] {
            let tar = support::base::busybox();
            env.mkimg_with_input(["import", "-c", &change, "-m", steer, "-", "odd"], &tar)
                .success();
            for args in [
                &["run", "--network", "none", "odd"][..],
                &["run", "--network", "none", "odd", "true"],
                &["history", "odd"],
                &["ps", "-a"],
                &["images"],
            ] {
                let ran = env.mkimg(args);
                for text in [ran.out(), ran.err()] {
                    assert!(
                        !text.chars().any(|c| c.is_control() && c != '\n'),
                        "{change:?}: {ran}"
                    );
                }
            }
        }
    }
}
