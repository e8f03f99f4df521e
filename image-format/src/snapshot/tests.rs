use super::*;
use crate::layer::Timestamp;
use crate::layer::observe::{Look, commands, shell, tree};
use crate::layer::pack::pack_tree;
use crate::layout::{Roots, Store};
use proptest::prelude::*;
use std::process::Command;

const EPOCH: Timestamp = Timestamp::DEFAULT_EPOCH;
const ALL: Look = Look {
    all: true,
    epoch: i64::MAX,
};
/// What a step's snapshot has in common with what the step saw at its end.
const SETTLED: Look = Look {
    all: false,
    epoch: EPOCH.secs,
};

struct Place {
    dir: tempfile::TempDir,
    store: Store,
    snapshots: Box<dyn Snapshotter>,
}

impl Place {
    fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let snapshots = detect(&store, Some(kind)).unwrap();
        Self {
            dir,
            store,
            snapshots,
        }
    }

    /// A layer with what a script makes.
    fn layer(&self, script: &str) -> LayerSource {
        let made = tempfile::tempdir_in(&self.dir).unwrap();
        shell(made.path(), &format!("chmod 755 .; {script}"));
        let blob = self.store.blob_writer().unwrap();
        let blob = pack_tree(made.path(), blob, EPOCH).unwrap();
        remove(made);
        let (diff_id, size) = blob.finish().unwrap();
        Layer { diff_id, size }.into()
    }

    /// Runs a script in what is mounted.
    fn run(&self, prepared: &Prepared, script: &str) {
        match prepared.mount() {
            RootMount::Bind { path } => shell(path, script),
            RootMount::Overlay {
                base,
                lowers,
                upper,
                work,
                user_xattr,
                ..
            } => {
                let lowers: Vec<_> = lowers.iter().map(|path| path.to_str().unwrap()).collect();
                let (upper, work) = (upper.display(), work.display());
                let more = if *user_xattr {
                    "userxattr"
                } else {
                    "redirect_dir=off,metacopy=off"
                };
                let options = format!(
                    "lowerdir={},upperdir={upper},workdir={work},index=off,{more}",
                    lowers.join(":")
                );
                let root = self.dir.path().join("root");
                let _ = fs::create_dir(&root);
                let root = root.display();
                let mount = format!("mount -t overlay overlay -o '{options}' {root}; cd {root}");
                shell(base, &format!("{mount}; {script}"));
            }
        }
    }

    /// What a stack looks like.
    fn look(&self, stack: &[Digest], look: Look) -> Vec<String> {
        let prepared = self.snapshots.prepare(stack).unwrap();
        self.copy_out(&prepared, ":", look)
    }

    /// Runs a script and tells what is there at its end.
    fn copy_out(&self, prepared: &Prepared, script: &str, look: Look) -> Vec<String> {
        let out = tempfile::tempdir_in(&self.dir).unwrap();
        let to = out.path().display();
        self.run(prepared, &format!("{script}\ncp -a . {to}"));
        let seen = tree(out.path(), look);
        remove(out);
        seen
    }
}

/// Also what no mode lets be removed.
fn remove(dir: tempfile::TempDir) {
    crate::layout::remove_tree(&dir.keep()).unwrap();
}

/// A step that is adopted, unpacked again elsewhere, is what its own snapshot is.
fn a_step_is_its_layer(kind: Kind, made: &str, changed: &str) {
    let here = Place::new(kind);
    let base = here.layer(made);
    here.snapshots.ensure(std::slice::from_ref(&base)).unwrap();
    let prepared = here.snapshots.prepare(&[base.diff_id]).unwrap();
    let before = here.copy_out(&prepared, changed, SETTLED);
    let committed = here.snapshots.commit(prepared, EPOCH.secs, &[]).unwrap();
    let mut layers = vec![base.clone()];
    layers.extend(committed.layer.map(LayerSource::from));
    let stack: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
    let own = here.look(&stack, ALL);
    assert_eq!(here.look(&stack, SETTLED), before, "{made}\n{changed}");

    let there = Place::new(kind);
    for digest in &stack {
        let bytes = fs::read(here.store.blob_path(digest)).unwrap();
        there.store.put_bytes(&bytes).unwrap();
    }
    there.snapshots.ensure(&layers).unwrap();
    assert_eq!(there.look(&stack, ALL), own, "{made}\n{changed}");
    let tmp = fs::read_dir(here.store.root().join("tmp")).unwrap().count();
    assert_eq!(tmp, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn an_overlays_step_is_its_layer(made in commands(true), changed in commands(true)) {
        a_step_is_its_layer(Kind::Overlay, &made, &changed);
    }

    #[test]
    fn a_copys_step_is_its_layer(made in commands(true), changed in commands(true)) {
        a_step_is_its_layer(Kind::Copy, &made, &changed);
    }
}

/// As another user runs it: this very test again, as root of a user namespace.
#[test]
fn an_ordinary_users_step_is_its_layer() {
    const INSIDE: &str = "MKIMG_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        proptest!(ProptestConfig::with_cases(12), |(made in commands(false), changed in commands(false))| {
            a_step_is_its_layer(Kind::Overlay, &made, &changed);
        });
        let place = Place::new(Kind::Overlay);
        let layer = place.layer("echo x > file; chown 7:8 file; setcap cap_net_raw+ep file");
        let tar = fs::read(place.store.blob_path(&layer.diff_id)).unwrap();
        let mut reader = crate::layer::LayerReader::new(tar.as_slice());
        reader.next_entry().unwrap();
        let meta = reader.next_entry().unwrap().unwrap().meta;
        let capability = &meta.xattrs[std::ffi::OsStr::new("security.capability")];
        assert_eq!(
            (meta.uid, meta.gid, capability[3], capability.len()),
            (7, 8, 2, 20)
        );
        return;
    }
    let name = "snapshot::tests::an_ordinary_users_step_is_its_layer";
    let out = Command::new("setpriv")
        .args(["--reuid=mkimg-test", "--regid=mkimg-test", "--clear-groups"])
        .args([
            "unshare",
            "--user",
            "--map-auto",
            "--map-root-user",
            "--mount",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(INSIDE, "1")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn nothing_changed_is_no_layer_and_mount_points_leave_no_trace() {
    for kind in [Kind::Overlay, Kind::Copy] {
        let place = Place::new(kind);
        let base = place.layer("mkdir etc; echo x > etc/file; touch -d 1990-01-01 etc");
        place.snapshots.ensure(std::slice::from_ref(&base)).unwrap();
        let commit = |stack: &[Digest], script: &str, targets: &[&str]| {
            let prepared = place.snapshots.prepare(stack).unwrap();
            place.run(&prepared, script);
            let targets: Vec<_> = targets.iter().map(PathBuf::from).collect();
            place
                .snapshots
                .commit(prepared, EPOCH.secs, &targets)
                .unwrap()
                .layer
        };
        let targets = ["/proc", "/etc/resolv.conf", "/etc/made/deep"];
        let script = "mkdir -p proc etc/made; : > etc/resolv.conf; : > etc/made/deep";
        assert_eq!(commit(&[base.diff_id], ":", &[]), None);
        assert_eq!(commit(&[], ":", &[]), None);
        assert_eq!(
            commit(
                &[base.diff_id],
                script,
                &[&targets[..], &["/etc/made"]].concat()
            ),
            None
        );
        let filled = commit(
            &[base.diff_id],
            &format!("{script}; echo x > etc/resolv.conf"),
            &targets,
        );
        let twice = commit(
            &[base.diff_id],
            "mkdir -p etc/made; echo x > etc/resolv.conf",
            &[],
        );
        assert!(filled.is_some() && filled == twice);
        let stack = [base.diff_id, filled.unwrap().diff_id];
        let seen = place.look(&stack, SETTLED);
        assert!(seen[3].starts_with("./etc/made") && seen[4].starts_with("./etc/resolv.conf"));
        assert_eq!(seen.len(), 5, "{seen:?}");
        let on_scratch = commit(&[], "echo x > file", &[]).unwrap();
        assert_eq!(place.look(&[on_scratch.diff_id], SETTLED).len(), 2);
    }
}

#[test]
fn many_want_the_same_and_one_makes_it() {
    for kind in [Kind::Overlay, Kind::Copy] {
        let place = Place::new(kind);
        let layers: Vec<_> = (0..4)
            .map(|n| {
                place.layer(&format!(
                    "mkdir d; for i in $(seq 50); do echo {n} > d/{n}-$i; done"
                ))
            })
            .collect();
        let stack: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        let other = Store::open(place.store.root()).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let store = if n % 2 == 0 { &place.store } else { &other };
                let layers = &layers;
                scope.spawn(move || detect(store, Some(kind)).unwrap().ensure(layers).unwrap());
            }
        });
        assert_eq!(place.look(&stack, SETTLED).len(), 2 + 200);
        let origin = origin::dir(place.store.root(), kind).unwrap();
        let locks = fs::read_dir(origin).unwrap();
        let mut names = locks.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(names.all(|name| !name.ends_with("lock")));
    }
}

#[test]
fn what_a_dead_maker_left_is_taken_over() {
    let place = Place::new(Kind::Overlay);
    let layer = place.layer("echo x > file");
    let origin = origin::dir(place.store.root(), Kind::Overlay).unwrap();
    fs::write(origin.join(layer.diff_id.hex()).with_extension("lock"), "").unwrap();
    place
        .snapshots
        .ensure(std::slice::from_ref(&layer))
        .unwrap();
    assert_eq!(place.look(&[layer.diff_id], SETTLED).len(), 2);
}

#[test]
fn a_corrupt_layer_is_never_seen() {
    for kind in [Kind::Overlay, Kind::Copy] {
        let place = Place::new(kind);
        let layer = place.layer("echo right > file");
        let path = place.store.blob_path(&layer.diff_id);
        let bytes = fs::read(&path).unwrap();
        let at = bytes
            .windows(5)
            .position(|window| window == b"right")
            .unwrap();
        let mut wrong = bytes.clone();
        wrong[at] = b'l';
        fs::write(&path, wrong).unwrap();
        let failed = place.snapshots.ensure(std::slice::from_ref(&layer));
        assert!(
            matches!(failed, Err(SnapshotError::Apply { .. })),
            "{failed:?}"
        );
        let missing = place.snapshots.prepare(&[layer.diff_id]).err().unwrap();
        assert!(
            matches!(missing, SnapshotError::NotUnpacked(_)),
            "{missing}"
        );
        fs::write(&path, bytes).unwrap();
        place
            .snapshots
            .ensure(std::slice::from_ref(&layer))
            .unwrap();
    }
}

#[test]
fn garbage_goes_with_its_origin() {
    let place = Place::new(Kind::Overlay);
    let (kept, gone) = (
        place.layer("echo kept > file"),
        place.layer("echo gone > file"),
    );
    for layer in [&kept, &gone] {
        place.snapshots.ensure(std::slice::from_ref(layer)).unwrap();
    }
    let all = origin::all(place.store.root());
    let other_boot = all.join("0123456789abcdef-trusted-0123456789abcdef");
    fs::create_dir_all(other_boot.join(kept.diff_id.hex()).join("d")).unwrap();
    let roots = || {
        Ok::<_, StoreError>(Roots {
            blobs: [kept.diff_id].into(),
            stacks: vec![vec![kept.diff_id]],
        })
    };
    let freed = place.store.collect_garbage(roots).unwrap().unwrap();
    assert_eq!((freed.blobs, freed.snapshots), (1, 2));
    assert!(!other_boot.exists());
    assert_eq!(place.look(&[kept.diff_id], SETTLED).len(), 2);
    assert!(place.snapshots.prepare(&[gone.diff_id]).is_err());
}

#[test]
fn a_store_on_a_plain_file_system_takes_overlays() {
    let place = Place::new(Kind::Overlay);
    assert_eq!(Kind::of(&place.store).unwrap(), Kind::Overlay);
}
