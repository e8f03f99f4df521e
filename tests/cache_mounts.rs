//! `mkimg cache`: what cache mounts there are, and how they come from one machine to another.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use support::{Env, User};
use tar::EntryType;

/// What a tar says of one entry: all but its path.
type Entry = (String, String);

const ID: &str = "../../root,\n é";

fn record(id: &str) -> String {
    let id = serde_json::to_string(id).unwrap();
    format!(r#"{{"id":{id},"seed":null,"mode":493,"uid":0,"gid":0,"used":1700000000}}"#)
}

/// An archive as another tool would write it.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(
        &mut self,
        kind: EntryType,
        name: &str,
        owner: u64,
        mode: u32,
        content: &str,
    ) -> &mut Self {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_600_000_000);
        if kind == EntryType::Regular {
            header.set_size(content.len() as u64);
            self.0.append_data(&mut header, name, content.as_bytes())
        } else {
            header.set_size(0);
            header.set_path(name).unwrap();
            if !content.is_empty() {
                header.set_link_name(content).unwrap();
            }
            header.set_cksum();
            self.0.append(&header, std::io::empty())
        }
        .unwrap();
        self
    }

    /// A cache mount with one directory, to which more can be added.
    fn mount(&mut self, name: &str, id: &str) -> &mut Self {
        let own = format!("{name}/0");
        self.add(EntryType::Directory, name, 0, 0o755, "")
            .add(EntryType::Directory, &own, 0, 0o700, "")
            .add(EntryType::Directory, &format!("{own}/data"), 12, 0o1777, "")
            .add(
                EntryType::Regular,
                &format!("{own}/mount.json"),
                0,
                0o600,
                &record(id),
            )
    }

    fn bytes(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.0, tar::Builder::new(Vec::new()))
            .into_inner()
            .unwrap()
    }
}

/// The data in an archive, by path.
fn data(archive: &[u8]) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let Some((_, path)) = path.split_once("/0/data") else {
            continue;
        };
        let mut pax = Vec::new();
        for extension in entry.pax_extensions().unwrap().into_iter().flatten() {
            let extension = extension.unwrap();
            pax.push(format!(
                "{}={:?}",
                extension.key().unwrap(),
                extension.value_bytes()
            ));
        }
        let header = entry.header();
        let meta = format!(
            "{:?} {:o} {}:{} {} {:?} {pax:?}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
            entry
                .link_name_bytes()
                .map(|name| String::from_utf8_lossy(&name).into_owned()),
        );
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        entries.insert(path.to_owned(), (meta, content));
    }
    entries
}

/// The directory of the one cache mount in the store.
fn directory(env: &Env) -> PathBuf {
    let all = env.store().join("cache/v1/mounts");
    let mut keys: Vec<_> = std::fs::read_dir(all).unwrap().collect();
    assert_eq!(keys.len(), 1);
    keys.remove(0).unwrap().path().join("0")
}

fn list(env: &Env) -> Vec<serde_json::Value> {
    let ran = env.mkimg(["cache", "ls", "--format", "json"]).success();
    let lines = ran.out().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_is_saved_by_one_user_is_loaded_by_another() {
    let mut archive = Archive::new();
    archive
        .mount("x", ID)
        .add(EntryType::Regular, "x/0/data/suid", 1000, 0o4755, "program")
        .add(
            EntryType::Regular,
            "x/0/data/large",
            0,
            0o644,
            &"\0".repeat(1 << 20),
        )
        .add(EntryType::Directory, "x/0/data/closed", 33, 0o000, "")
        .add(
            EntryType::Link,
            "x/0/data/closed/name",
            0,
            0o644,
            "x/0/data/suid",
        )
        .add(EntryType::Symlink, "x/0/data/link", 7, 0o777, "/etc/passwd")
        .add(EntryType::Fifo, "x/0/data/pipe", 1, 0o640, "");
    let archive = archive.bytes();
    let mut saved = Vec::new();
    for from in User::with_ids() {
        for to in User::with_ids() {
            let (old, new) = (Env::new(*from), Env::new(*to));
            old.mkimg_with_input(["cache", "load"], &archive).success();
            old.mkimg(["cache", "save", "-o", "saved.tar", ID])
                .success();
            let bytes = std::fs::read(old.path("saved.tar")).unwrap();
            new.write("saved.tar", &bytes);
            let loaded = new.mkimg(["cache", "load", "-i", "saved.tar"]).success();
            assert_eq!(loaded.out(), "Loaded cache mount: ../../root,\\n é\n");
            let again = new.mkimg(["cache", "save"]).success();
            assert_eq!(data(again.bytes()), data(&bytes));
            saved.push(data(&bytes));
        }
    }
    for other in &saved {
        assert_eq!(other, &saved[0]);
    }
    let names: Vec<&str> = saved[0].keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "/",
            "/closed/",
            "/closed/name",
            "/large",
            "/link",
            "/pipe",
            "/suid"
        ]
    );
    assert!(
        saved[0]["/"].0.contains("1777 12:12 1600000000"),
        "{:?}",
        saved[0]["/"]
    );
    assert!(
        saved[0]["/suid"].0.contains("closed/name"),
        "{:?}",
        saved[0]["/suid"]
    );
}

#[test]
fn times_attributes_and_holes_come_along() {
    for user in User::with_ids() {
        let env = Env::new(*user);
        env.mkimg_with_input(["cache", "load"], &Archive::new().mount("x", "a").bytes())
            .success();
        let script = "cd \"$1/data\" && truncate -s 100M hole && touch -d '2021-03-04 05:06:07.123456789' hole \
             && setfattr -n user.note -v word hole";
        let dir = directory(&env);
        let shell = |words: &[&str]| {
            let mut command = env.program("unshare");
            if env.user() != User::Own {
                command.args(["--map-root-user", "--map-auto"]);
            }
            command.args(["sh", "-ec"]).args(words);
            support::run(&mut command).success()
        };
        let dir = dir.to_str().unwrap();
        shell(&[script, "sh", dir]);
        let packed = env.mkimg(["cache", "save", "a"]).success();
        assert!(packed.bytes().len() > 100 << 20);
        env.mkimg(["cache", "prune", "a"]).success();
        let loaded = env.mkimg_with_input(["cache", "load", "-i", "-"], packed.bytes());
        loaded.success();
        let look =
            "cd \"$1/data\" && stat -c '%y %s %b' hole && getfattr --only-values -n user.note hole";
        let seen = shell(&[look, "sh", dir]);
        let expected = "2021-03-04 05:06:07.123456789 +0000 104857600 0\nword";
        assert_eq!(seen.out(), expected);
    }
}

#[test]
fn they_are_listed_and_pruned_by_id() {
    let env = Env::new(User::Own);
    let mut archive = Archive::new();
    let long = "y".repeat(2000);
    archive
        .mount("1", "apt")
        .add(
            EntryType::Regular,
            "1/0/data/file",
            0,
            0o644,
            &"x".repeat(100_000),
        )
        .mount("2", ID)
        .mount("3", &long);
    env.mkimg_with_input(["cache", "load"], &archive.bytes())
        .success();
    let listed = list(&env);
    let ids: Vec<_> = listed
        .iter()
        .map(|row| row["ID"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [ID, "apt", &long]);
    let size = listed[1]["Size"].as_u64().unwrap();
    assert!((100_000..120_000).contains(&size), "{size}");
    assert_eq!(listed[1]["LastUsedAt"], "2023-11-14T22:13:20Z");
    assert_eq!(listed[1]["InUse"], false);
    let key = listed[0]["Key"].as_str().unwrap();
    let quiet = env.mkimg(["cache", "ls", "-q"]).success();
    assert_eq!(quiet.out(), format!("{key}\napt\n{long}\n"));
    let table = env.mkimg(["cache", "ls"]).success();
    assert!(table.out().starts_with("CACHE ID "), "{table}");
    assert!(
        !table.out().contains(&long) && table.out().lines().count() == 4,
        "{table}"
    );

    env.mkimg(["cache", "prune", "atp"])
        .exits(1)
        .says(["no cache mount \"atp\"", "did you mean \"apt\"?"]);
    let pruned = env.mkimg(["cache", "prune", key]).success();
    assert!(
        pruned.out().starts_with("Deleted: ../../root,\\n é\nTotal"),
        "{pruned}"
    );
    assert_eq!(list(&env).len(), 2);
    let pruned = env.mkimg(["cache", "prune"]).success();
    assert!(pruned.out().contains("Deleted: apt\n"), "{pruned}");
    assert_eq!(list(&env).len(), 0);
    env.mkimg(["cache", "save", "apt"])
        .exits(1)
        .says(["no cache mount \"apt\""]);
}

#[test]
fn one_in_use_is_left_alone_and_named() {
    let env = Env::new(User::Own);
    let archive = Archive::new().mount("1", "apt").mount("2", "npm").bytes();
    env.mkimg_with_input(["cache", "load"], &archive).success();
    let apt = list(&env)
        .into_iter()
        .find(|row| row["ID"] == "apt")
        .unwrap();
    let mounts = env.store().join("cache/v1/mounts");
    let dir = mounts.join(apt["Key"].as_str().unwrap()).join("0");
    let user = File::open(&dir).unwrap();
    user.lock_shared().unwrap();
    assert_eq!(list(&env)[0]["InUse"], true);
    let says = ["the cache mount \"apt\" is in use", "help: wait"];
    env.mkimg(["cache", "prune", "apt"]).exits(1).says(says);
    env.mkimg(["cache", "save", "-o", "saved"])
        .exits(1)
        .says(says);
    assert!(!env.path("saved").exists());
    let other = Archive::new().mount("1", "apt").bytes();
    env.mkimg_with_input(["cache", "load"], &other)
        .exits(1)
        .says(says);
    env.mkimg(["cache", "prune"])
        .success()
        .says(["\"apt\" is in use: it stays"]);
    assert_eq!(list(&env).len(), 1);
    drop(user);
    env.mkimg(["cache", "prune", "apt"]).success();
    assert_eq!(list(&env).len(), 0);
}

#[test]
fn nothing_else_removes_them() {
    let env = Env::new(User::Own);
    env.import_files("image", &[("a", "1")]);
    let archive = Archive::new().mount("1", "apt").bytes();
    env.mkimg_with_input(["cache", "load"], &archive).success();
    env.mkimg(["rmi", "image"]).success();
    env.mkimg(["verify"]).success();
    assert_eq!(list(&env).len(), 1);
}

#[test]
fn a_hostile_archive_changes_nothing() {
    let env = Env::new(User::Own);
    let mut archive = Archive::new();
    archive
        .mount("x", "a")
        .add(EntryType::Regular, "x/0/data/kept", 0, 0o644, "1");
    let good = archive.bytes();
    env.mkimg_with_input(["cache", "load"], &good).success();
    env.write("outside/file", "x");
    let outside = env.path("outside");
    let outside = outside.to_str().unwrap();
    let json = record("a");
    let hostile = [
        b"no tar at all".to_vec(),
        Archive::new().bytes(),
        // An image.
        Archive::new()
            .add(EntryType::Regular, "oci-layout", 0, 0o644, "{}")
            .bytes(),
        Archive::new()
            .mount("x", "a")
            .add(EntryType::Regular, "x/more", 0, 0o644, "")
            .bytes(),
        // Data or record that lead out.
        Archive::new()
            .add(EntryType::Symlink, "x/0/data", 0, 0o777, outside)
            .add(EntryType::Regular, "x/0/mount.json", 0, 0o644, &json)
            .bytes(),
        Archive::new()
            .add(EntryType::Directory, "x/0/data", 0, 0o755, "")
            .add(
                EntryType::Symlink,
                "x/0/mount.json",
                0,
                0o777,
                "/proc/self/environ",
            )
            .bytes(),
        Archive::new()
            .add(EntryType::Directory, "x/0/data", 0, 0o755, "")
            .add(EntryType::Fifo, "x/0/mount.json", 0, 0o644, "")
            .bytes(),
        Archive::new()
            .add(EntryType::Symlink, "x", 0, 0o777, outside)
            .bytes(),
        // One twice.
        Archive::new().mount("x", "a").mount("y", "a").bytes(),
        good[..good.len() / 2 + 100].to_vec(),
    ];
    for (number, archive) in hostile.iter().enumerate() {
        let ran = env.mkimg_with_input(["cache", "load"], archive);
        assert_eq!(ran.code(), 1, "{number}: {ran}");
        let kept = directory(&env).join("data/kept");
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "1", "{number}");
    }
    // A link within the data is no more than data.
    let archive = Archive::new()
        .mount("x", "a")
        .add(EntryType::Symlink, "x/0/data/out", 0, 0o777, outside)
        .add(EntryType::Regular, "x/0/data/out/file", 0, 0o644, "bad")
        .bytes();
    env.mkimg_with_input(["cache", "load"], &archive);
    assert_eq!(
        std::fs::read_to_string(env.path("outside/file")).unwrap(),
        "x"
    );
    assert_eq!(std::fs::read_dir(env.path("outside")).unwrap().count(), 1);
    let temporary = std::fs::read_dir(env.store().join("tmp")).unwrap();
    assert_eq!(temporary.count(), 0);
}

#[test]
fn a_compressed_archive_is_loaded_and_a_lone_user_is_told() {
    let env = Env::new(User::Own);
    let path = env.write("a.tar", Archive::new().mount("x", "a").bytes());
    support::run(env.program("gzip").arg(&path)).success();
    env.mkimg(["cache", "load", "-i", "a.tar.gz"]).success();
    assert_eq!(list(&env).len(), 1);
    if support::is_root() {
        let lone = Env::new(User::Lone);
        let archive = Archive::new().mount("x", "a").bytes();
        lone.mkimg_with_input(["cache", "load"], &archive)
            .exits(1)
            .says(["no subordinate ids"]);
        assert_eq!(list(&lone).len(), 0);
    }
}

#[test]
fn what_a_build_fetched_comes_to_another_store() {
    for user in User::with_ids() {
        let (old, new) = (Env::new(*user), Env::new(*user));
        let dockerfile = "FROM base\nRUN --mount=type=cache,target=/cache \
             echo fetched $(ls /cache) && echo x > /cache/package && chown 1000 /cache/package\n";
        for env in [&old, &new] {
            env.import_busybox("base");
            env.write("context/Dockerfile", dockerfile);
        }
        let build = |env: &Env| {
            let flags = ["build", "--no-cache", "--progress", "plain", "context"];
            env.mkimg(flags).success()
        };
        assert!(!build(&old).err().contains("fetched package"));
        assert_eq!(list(&old)[0]["ID"], "/cache");
        old.mkimg(["cache", "save", "-o", "saved.tar"]).success();
        new.write("saved.tar", std::fs::read(old.path("saved.tar")).unwrap());
        new.mkimg(["cache", "load", "-i", "saved.tar"]).success();
        let ran = build(&new);
        assert!(ran.err().contains("fetched package"), "{ran}");
        new.mkimg(["cache", "prune"]).success();
        assert!(!build(&new).err().contains("fetched package"));
    }
}
