//! What the tests compare: all that can be seen of a tree, and trees made by chance.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

/// What of a tree is compared.
#[derive(Clone, Copy)]
pub struct Look {
    /// Which names are one file, and times of directories.
    pub all: bool,
    /// Later times count as this one, in seconds.
    pub epoch: i64,
}

/// All that can be seen of a tree, a line an entry.
pub fn tree(dir: &Path, look: Look) -> Vec<String> {
    let (mut lines, mut links) = (Vec::new(), BTreeMap::new());
    visit(dir, Path::new("."), look, &mut links, &mut lines);
    lines
}

fn visit(
    root: &Path,
    path: &Path,
    look: Look,
    links: &mut BTreeMap<u64, String>,
    lines: &mut Vec<String>,
) {
    let full = root.join(path);
    let metadata = fs::symlink_metadata(&full).unwrap();
    let kind = metadata.file_type();
    let name = path.as_os_str().as_bytes().escape_ascii().to_string();
    let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
    let mut line = format!("{name} {mode:o} {uid}:{gid}");
    if look.all || !kind.is_dir() {
        let late = metadata.mtime() >= look.epoch;
        let nanos = if late { 0 } else { metadata.mtime_nsec() };
        write!(line, " {}.{nanos}", metadata.mtime().min(look.epoch)).unwrap();
    }
    if kind.is_symlink() {
        write!(line, " -> {}", fs::read_link(&full).unwrap().display()).unwrap();
    } else if kind.is_file() {
        let digest = crate::digest::Digest::of(&fs::read(&full).unwrap());
        write!(line, " {} {}", metadata.len(), &digest.hex()[..8]).unwrap();
    } else if kind.is_char_device() || kind.is_block_device() {
        write!(line, " {:x}", metadata.rdev()).unwrap();
    }
    if look.all && !kind.is_dir() {
        let first = links.entry(metadata.ino()).or_insert_with(|| name.clone());
        write!(line, " ={first}").unwrap();
    }
    let mut buffer = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(&full, buffer.as_mut_slice()).unwrap();
    let mut names: Vec<_> = buffer[..length].split(|byte| *byte == 0).collect();
    names.sort();
    for name in names.iter().map(|name| std::ffi::OsStr::from_bytes(name)) {
        if crate::layer::whiteout::is_carried(name) {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(&full, name, value.as_mut_slice()).unwrap();
            let value = value[..length].escape_ascii();
            write!(line, " {}={value}", name.display()).unwrap();
        }
    }
    lines.push(line);
    if kind.is_dir() {
        let mut names: Vec<_> = fs::read_dir(&full)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            visit(root, &path.join(name), look, links, lines);
        }
    }
}

/// Runs a shell's commands in a directory and a mount namespace of its own.
pub fn shell(dir: &Path, script: &str) {
    let script = format!("set -eu; umask 022; {script}");
    let out = Command::new("unshare")
        .args(["-m", "bash", "-c", &script])
        .current_dir(dir)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script}\n{errors}");
}

/// Commands that make entries of all kinds and change and remove them again; those that cannot
/// work where they come do nothing.
pub fn commands(devices: bool) -> impl Strategy<Value = String> {
    let path = || {
        let names = prop::sample::select(vec!["a", "b", "a-", "c.d", "\\303\\251\\377"]);
        prop::collection::vec(names, 1..4).prop_map(|names| format!("$'{}'", names.join("/")))
    };
    let device = if devices { "mknod -m 640 p c 1 3" } else { ":" };
    let command = prop::sample::select(vec![
        "rm -rf p; echo one > p",
        "rm -rf p; echo two > p",
        "[ -p p ] || echo more >> p",
        "[ -p p ] || { truncate -s 300k p; echo x >> p; }",
        "[ -p p ] || head -c 70000 /dev/zero > p",
        "mkdir -p p",
        "mkdir -p p",
        "rm -rf p; mkdir p",
        "rm -rf p; mkdir -p p; echo new > p/a",
        "ln -sfn to p",
        "ln -f q p",
        "ln -f q p",
        "mv -fT q p",
        "rm -rf p; mkfifo p",
        device,
        "rm -rf p",
        "rm -rf p",
        "chmod 4711 p",
        "chmod 1700 p",
        "chown -h 7:65533 p",
        "touch -h -d @1000000.5 p",
        "touch -h p",
        "touch -h -d @-1.25 p",
        "setfattr -n user.k -v $'v\\n=' p",
        "setfacl -m u:5:r p",
        "setfacl -dm u:5:rx p",
        "setcap cap_net_raw+ep p",
        "chmod u+r p; touch -a p",
    ]);
    let commands = (command, path(), path()).prop_map(|(command, p, q)| {
        let command = command.replace(" p", &format!(" {p}"));
        format!(
            "({}) 2> /dev/null || :",
            command.replace(" q", &format!(" {q}"))
        )
    });
    prop::collection::vec(commands, 1..25).prop_map(|commands| commands.join("\n"))
}
