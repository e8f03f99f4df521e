//! Root file systems as tar: one with a shell, from what Debian has, and small ones.

use std::process::Command;

/// The tar of a root file system made of the host's static busybox.
pub fn busybox() -> Vec<u8> {
    let binary = std::fs::read("/bin/busybox").expect("busybox-static: tests/install installs it");
    let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("proc", 0o755),
        ("root", 0o700),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("usr/bin", 0o755),
        ("var", 0o755),
    ] {
        append(&mut tar, tar::EntryType::Directory, name, mode, &[]);
    }
    append(
        &mut tar,
        tar::EntryType::Regular,
        "bin/busybox",
        0o755,
        &binary,
    );
    for applet in std::str::from_utf8(&list.stdout).unwrap().lines() {
        if applet != "busybox" {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            header.set_mtime(0);
            tar.append_link(&mut header, format!("bin/{applet}"), "busybox")
                .unwrap();
        }
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n";
    let group = "root:x:0:\napp:x:1000:\nextra:x:2000:app\n";
    append(
        &mut tar,
        tar::EntryType::Regular,
        "etc/passwd",
        0o644,
        passwd.as_bytes(),
    );
    append(
        &mut tar,
        tar::EntryType::Regular,
        "etc/group",
        0o644,
        group.as_bytes(),
    );
    tar.into_inner().unwrap()
}

/// The tar of these files, in this order.
pub fn files(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        append(
            &mut tar,
            tar::EntryType::Regular,
            name,
            0o644,
            content.as_bytes(),
        );
    }
    tar.into_inner().unwrap()
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    name: &str,
    mode: u32,
    content: &[u8],
) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    tar.append_data(&mut header, name, content).unwrap();
}
