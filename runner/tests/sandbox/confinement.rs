//! What a payload cannot do, and cannot see.

use runner::sandbox::{Capability, Limit, Network};

use super::fixture::{Fixture, rootless, run, said};

pub const TESTS: &[(&str, fn())] = &[
    ("root_has_dockers_capabilities_and_filter", capabilities),
    ("others_have_no_capabilities", no_capabilities),
    ("only_what_was_asked_for_is_kept", fewer_capabilities),
    (
        "a_capability_that_is_not_there_is_an_error",
        missing_capability,
    ),
    ("no_new_privs_is_as_asked", no_new_privs),
    ("masked_and_read_only_paths_are", masks),
    ("no_mount_names_the_host", mounts),
    ("namespaces_and_mounts_are_denied", denied),
    ("init_cannot_be_looked_into", init),
    ("devices_are_few_and_inert", devices),
    ("limits_are_set_or_told_of", limits),
    ("nothing_is_inherited_but_three_descriptors", descriptors),
    ("signals_have_their_default_effects", signals),
    ("the_network_is_a_loopback", loopback),
    ("the_hosts_network_can_be_shared", host_network),
    ("all_namespaces_are_its_own", namespaces),
];

fn status(fixture: &Fixture, user: &str) -> String {
    let mut spec = fixture.spec(&["cat", "/proc/self/status"]);
    spec.user = user.into();
    said(&spec)
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches(':').trim()
}

fn capabilities() {
    let status = status(&Fixture::new(), "");
    for (name, value) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "00000000a80425fb"),
        ("CapEff", "00000000a80425fb"),
        ("CapBnd", "00000000a80425fb"),
        ("CapAmb", "0000000000000000"),
        ("Seccomp", "2"),
        ("NoNewPrivs", "0"),
    ] {
        assert_eq!(field(&status, name), value, "{name}");
    }
}

fn no_capabilities() {
    let status = status(&Fixture::new(), "ann");
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&status, name), "0000000000000000", "{name}");
    }
    assert_eq!(field(&status, "CapBnd"), "00000000a80425fb");
    assert_eq!(field(&status, "Seccomp"), "2");
    assert_eq!(field(&status, "Uid"), "1000\t1000\t1000\t1000");
}

fn fewer_capabilities() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["cat", "/proc/self/status"]);
    spec.capabilities = vec![Capability::Chown];
    spec.seccomp = false;
    let status = said(&spec);
    assert_eq!(field(&status, "CapEff"), "0000000000000001");
    assert_eq!(field(&status, "CapBnd"), "0000000000000001");
    assert_eq!(field(&status, "Seccomp"), "0");
}

fn missing_capability() {
    let fixture = Fixture::new();
    let held = std::fs::read_to_string("/proc/self/status").unwrap();
    let held = u64::from_str_radix(field(&held, "CapPrm"), 16).unwrap();
    for capability in Capability::ALL {
        let mut spec = fixture.spec(&["true"]);
        spec.capabilities = vec![*capability];
        let there = held & (1 << *capability as u64) != 0;
        assert_eq!(run(&spec).is_ok(), there, "{capability}");
    }
}

fn no_new_privs() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["cat", "/proc/self/status"]);
    spec.no_new_privs = true;
    assert_eq!(field(&said(&spec), "NoNewPrivs"), "1");
}

fn masks() {
    let fixture = Fixture::new();
    let script = "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c
                  ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : | grep .
                  for file in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_seqnum; do
                      echo x 2>/dev/null > $file && echo wrote $file
                  done
                  true";
    assert_eq!(
        said(&fixture.sh(&script.replace("grep", "busybox grep"))),
        "0\n"
    );
}

fn mounts() {
    let fixture = Fixture::new();
    let mountinfo = said(&fixture.spec(&["cat", "/proc/self/mountinfo"]));
    let place = fixture.place.path().to_str().unwrap();
    assert!(!mountinfo.contains(place), "{mountinfo}");
    let root: Vec<_> = mountinfo
        .lines()
        .filter(|line| line.split(' ').nth(4) == Some("/"))
        .collect();
    assert_eq!(root.len(), 1, "{mountinfo}");
    assert!(root[0].contains(" - overlay "), "{mountinfo}");
    for line in mountinfo.lines() {
        let point = line.split(' ').nth(4).unwrap();
        assert!(
            ["/", "/dev", "/proc", "/sys"]
                .iter()
                .any(|top| point == *top || (*top != "/" && point.starts_with(top))),
            "{line}"
        );
        assert!(
            !line.contains("shared:") && !line.contains("master:"),
            "{line}"
        );
    }
}

fn denied() {
    let fixture = Fixture::new();
    for command in [
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /proc/sys",
        "unshare -U true",
        "unshare -m true",
        "hostname other",
    ] {
        let outcome = run(&fixture.sh(command)).unwrap();
        assert_ne!(outcome.exit.code(), 0, "{command}: {outcome:?}");
    }
}

fn init() {
    let fixture = Fixture::new();
    let script = "cd /proc/1
                  for file in exe mem environ maps root/etc/passwd; do
                      cat $file >/tmp/read 2>/dev/null
                      [ -s /tmp/read ] && echo read $file
                  done
                  busybox readlink exe; busybox readlink root; busybox readlink cwd
                  for fd in fd/*; do busybox readlink $fd; done
                  ls root/ cwd/ 2>/dev/null
                  (echo x > mem) 2>/dev/null && echo wrote
                  true";
    let mut spec = fixture.sh(script);
    assert_eq!(said(&spec), "");
    spec.user = "ann".into();
    assert_eq!(said(&spec), "");
    // The script would find something out where there is something to find out.
    let mut own = fixture.sh(&script.replace("/proc/1", "/proc/$$"));
    own.capabilities.push(Capability::SysPtrace);
    assert!(said(&own).contains("/bin/busybox"));
}

fn devices() {
    let fixture = Fixture::new();
    let listed = said(&fixture.spec(&["ls", "/dev"]));
    let names: Vec<_> = listed.lines().collect();
    assert_eq!(
        names,
        [
            "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
            "stdout", "tty", "urandom", "zero"
        ]
    );
    let script = "echo x > /dev/null && busybox head -c 4 /dev/zero | wc -c
                  chmod 600 /dev/null 2>/dev/null && echo changed the mode
                  mknod /tmp/null c 1 3 2>/dev/null && cat /tmp/null 2>/dev/null && echo opened
                  mknod /dev/own c 1 3 2>/dev/null && cat /dev/own 2>/dev/null && echo opened
                  true";
    assert_eq!(said(&fixture.sh(script)), "4\n");
}

fn descriptors() {
    let fixture = Fixture::new();
    // The fourth is the directory itself.
    let listed = said(&fixture.spec(&["ls", "/proc/self/fd"]));
    assert_eq!(listed, "0\n1\n2\n3\n");
    let processes = said(&fixture.sh("echo /proc/[0-9]*"));
    assert_eq!(processes, "/proc/1 /proc/2\n");
}

fn signals() {
    let fixture = Fixture::new();
    let status = said(&fixture.spec(&["cat", "/proc/self/status"]));
    for name in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(field(&status, name), "0000000000000000", "{name}");
    }
}

fn loopback() {
    let fixture = Fixture::new();
    let links = said(&fixture.spec(&["ip", "-o", "link"]));
    let up: Vec<_> = links.lines().filter(|line| line.contains("UP")).collect();
    assert_eq!(up.len(), 1, "{links}");
    assert!(up[0].contains("lo:"), "{links}");
    assert!(said(&fixture.spec(&["ip", "addr"])).contains("127.0.0.1/8"));
}

fn host_network() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh(
        "ls -l /proc/self/ns/net; ls /sys/class/net; touch /sys/x 2>/dev/null && echo wrote; true",
    );
    spec.network = Network::Host;
    let said = said(&spec);
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert!(said.contains(own.to_str().unwrap()), "{said}");
    assert!(said.contains("lo") && !said.contains("wrote"), "{said}");
}

fn namespaces() {
    let fixture = Fixture::new();
    let inside = said(&fixture.spec(&["ls", "-l", "/proc/self/ns"]));
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "time", "uts"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert!(inside.contains(name), "{inside}");
        assert!(!inside.contains(own.to_str().unwrap()), "{name}: {inside}");
    }
    let user = std::fs::read_link("/proc/self/ns/user").unwrap();
    assert!(inside.contains(user.to_str().unwrap()));
    if rootless() {
        assert_eq!(said(&fixture.spec(&["hostname"])), "localhost\n");
    }
}

fn limits() {
    let fixture = Fixture::new();
    let limit = |name: &str, soft, hard| Limit {
        name: name.into(),
        soft,
        hard,
    };
    let mut spec = fixture.sh("ulimit -Sn; ulimit -Hn; ulimit -c");
    spec.limits = vec![
        limit("nofile", Some(50), Some(60)),
        limit("core", Some(0), Some(0)),
    ];
    assert_eq!(said(&spec), "50\n60\n0\n");
    spec.limits = vec![limit("nofile", Some(u64::MAX - 1), Some(u64::MAX - 1))];
    let error = runner::Sandbox::spawn(&spec).unwrap_err();
    assert!(error.to_string().contains("the limit nofile"), "{error}");
}
