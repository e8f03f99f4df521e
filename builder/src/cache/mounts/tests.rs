use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::channel;

use super::*;

fn mounts() -> (tempfile::TempDir, CacheMounts) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, CacheMounts::new(&store))
}

fn mount(id: &str, sharing: Sharing) -> CacheMount {
    CacheMount {
        sharing,
        ..CacheMount::new(id)
    }
}

impl CacheMounts {
    fn held(&self, mount: &CacheMount) -> Held {
        let nothing = |_: &Path| Ok::<_, CacheMountError>(());
        self.acquire(mount, &Cancel::new(), nothing).unwrap()
    }
}

#[test]
fn any_text_is_an_id_and_none_is_a_path() {
    let (dir, mounts) = mounts();
    let long = "x".repeat(10_000);
    let ids = ["../../x", "/etc", "", "a\nb\0c", "ü", long.as_str()];
    let mut paths = Vec::new();
    for id in ids {
        let held = mounts.held(&CacheMount::new(id));
        assert!(held.path().starts_with(dir.path().join("cache/v1/mounts")));
        fs::write(held.path().join("file"), id).unwrap();
        paths.push(held.path().to_owned());
    }
    for (id, path) in ids.iter().zip(&paths) {
        assert_eq!(mounts.held(&CacheMount::new(*id)).path(), path);
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), *id);
    }
}

#[test]
fn the_sharing_is_dockers() {
    let (_dir, mounts) = mounts();
    let [shared, private, locked] =
        [Sharing::Shared, Sharing::Private, Sharing::Locked].map(|sharing| mount("a", sharing));
    let first = mounts.held(&shared);
    let second = mounts.held(&shared);
    assert_eq!(first.path(), second.path());
    // Who wants it alone gets another one, which is found again.
    let alone = mounts.held(&private);
    assert_ne!(alone.path(), first.path());
    let other = alone.path().to_owned();
    drop(alone);
    assert_eq!(mounts.held(&private).path(), other);
    // One that is shared comes before one that is free.
    let kept = mounts.held(&private);
    drop((first, second));
    let late = mounts.held(&private);
    let third = mounts.held(&shared);
    drop((kept, late));
    assert_eq!(mounts.held(&shared).path(), third.path());
    drop(third);
    assert_eq!(
        mounts.held(&locked).path().parent().unwrap().file_name(),
        Some("0".as_ref())
    );
}

#[test]
fn locked_waits_and_can_be_cancelled() {
    let (_dir, mounts) = mounts();
    let locked = mount("a", Sharing::Locked);
    let held = mounts.held(&locked);
    let path = held.path().to_owned();
    let cancel = Cancel::new();
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let nothing = |_: &Path| Ok::<_, CacheMountError>(());
            tell.send(mounts.acquire(&locked, &cancel, nothing))
                .unwrap();
        });
        assert!(told.recv_timeout(PAUSE * 4).is_err());
        cancel.cancel();
        let cancelled = told.recv().unwrap();
        assert!(matches!(cancelled, Err(CacheMountError::Cancelled { .. })));
        scope.spawn(|| tell.send(Ok(mounts.held(&locked))).unwrap());
        assert!(told.recv_timeout(PAUSE * 4).is_err());
        drop(held);
        assert_eq!(told.recv().unwrap().unwrap().path(), path);
    });
}

#[test]
fn a_new_directory_has_its_owner_and_mode_and_is_filled_once() {
    let (_dir, mounts) = mounts();
    let mount = CacheMount {
        mode: 0o1777,
        uid: 12,
        gid: 34,
        ..CacheMount::new("a")
    };
    let cancel = Cancel::new();
    let fill = |path: &Path| fs::write(path.join("seed"), "x").map_err(failed("write", path));
    let held = mounts.acquire(&mount, &cancel, fill).unwrap();
    let metadata = fs::metadata(held.path()).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (12, 34));
    assert_eq!(metadata.mode() & 0o7777, 0o1777);
    fs::remove_file(held.path().join("seed")).unwrap();
    let again = mounts.acquire(&mount, &cancel, fill).unwrap();
    assert_eq!(again.path(), held.path());
    assert!(!again.path().join("seed").exists());
    let failing = |path: &Path| Err(failed("fill", path)(io::ErrorKind::Other.into()));
    let other = CacheMount::new("b");
    assert!(mounts.acquire(&other, &cancel, failing).is_err());
    assert!(
        mounts
            .acquire(&other, &cancel, fill)
            .unwrap()
            .path()
            .join("seed")
            .exists()
    );
}

#[test]
fn a_command_that_mounts_one_twice_does_not_wait_for_itself() {
    let (_dir, mounts) = mounts();
    let wanted = ["b", "a", "b"].map(|id| mount(id, Sharing::Locked));
    let mut filled = Vec::new();
    let held = mounts
        .acquire_all(&wanted, &Cancel::new(), |number, _| {
            filled.push(number);
            Ok::<_, CacheMountError>(())
        })
        .unwrap();
    assert_eq!(held[0].path(), held[2].path());
    assert_ne!(held[0].path(), held[1].path());
    filled.sort();
    assert_eq!(filled, [0, 1]);
}
