use super::*;
use crate::config::ImageConfig;
use crate::descriptor::{Descriptor, Platform};
use crate::reference::Reference;
use std::io::Write;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

fn image(store: &Store, layers: &[&[u8]]) -> Descriptor {
    let mut config = ImageConfig::scratch(&Platform::host());
    let layers: Vec<_> = layers
        .iter()
        .map(|bytes| Layer {
            diff_id: store.put_bytes(bytes).unwrap(),
            size: bytes.len() as u64,
        })
        .collect();
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    write_image(
        store,
        &config,
        layers.iter().map(Layer::descriptor).collect(),
    )
    .unwrap()
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn finds_by_name_and_id_and_suggests() {
    let (_dir, store) = store();
    let first = image(&store, &[b"one"]);
    store.tag(&name("app"), &first).unwrap();
    let found = store.resolve("app:latest").unwrap();
    assert_eq!(found.descriptor.digest, first.digest);
    assert_eq!(
        store.resolve(&found.id().hex()[..12]).unwrap().id(),
        found.id()
    );
    assert_eq!(
        store
            .resolve(&format!("app@{}", first.digest))
            .unwrap()
            .id(),
        found.id()
    );
    let missing = store.resolve("apq").unwrap_err();
    let StoreError::NoImage { nearest, .. } = missing else {
        panic!("{missing}")
    };
    assert_eq!(nearest.as_deref(), Some("app:latest"));
}

#[test]
fn a_taken_name_leaves_the_image() {
    let (_dir, store) = store();
    let (first, second) = (image(&store, &[b"one"]), image(&store, &[b"two"]));
    store.tag(&name("app"), &first).unwrap();
    store.tag(&name("app"), &second).unwrap();
    let names: Vec<_> = store
        .images()
        .unwrap()
        .iter()
        .map(|i| i.reference.clone())
        .collect();
    assert_eq!(names, [None, Some(name("app:latest"))]);
    store.tag(&name("old"), &first).unwrap();
    assert_eq!(store.images().unwrap().len(), 2);
}

#[test]
fn garbage_goes_and_the_needed_stays() {
    let (_dir, store) = store();
    let (first, second) = (
        image(&store, &[b"one", b"both"]),
        image(&store, &[b"two", b"both"]),
    );
    store.tag(&name("first"), &first).unwrap();
    store.tag(&name("second"), &second).unwrap();
    let removed = store.remove("first").unwrap();
    assert_eq!(removed.deleted, Some(first.digest));
    let none = || Ok::<_, StoreError>(Roots::default());
    let freed = store.collect_garbage(none).unwrap().unwrap();
    assert_eq!(freed.blobs, 3);
    assert!(store.verify().unwrap().is_empty());
    let other = Store::open(store.root()).unwrap();
    assert_eq!(store.collect_garbage(none).unwrap(), None);
    drop(other);
    assert!(store.collect_garbage(none).unwrap().is_some());
}

#[test]
fn every_corruption_is_found() {
    let (_dir, store) = store();
    let image = image(&store, &[b"one", b"two"]);
    store.tag(&name("app"), &image).unwrap();
    fs::write(store.blob_path(&Digest::of(b"one")), "0ne").unwrap();
    fs::write(store.blob_path(&Digest::of(b"two")), "").unwrap();
    let problems = store.verify().unwrap();
    assert!(
        matches!(problems[0].error, StoreError::Corrupt { .. }),
        "{problems:?}"
    );
    assert!(
        matches!(problems[1].error, StoreError::Size { .. }),
        "{problems:?}"
    );
}

#[test]
fn zeros_become_holes_and_keep_their_digest() {
    use std::os::unix::fs::MetadataExt;
    let (_dir, store) = store();
    let bytes = vec![0; 1 << 20];
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(&bytes).unwrap();
    let (digest, size) = writer.finish().unwrap();
    assert_eq!((digest, size), (Digest::of(&bytes), 1 << 20));
    let metadata = fs::metadata(store.blob_path(&digest)).unwrap();
    assert_eq!((metadata.len(), metadata.blocks()), (1 << 20, 0));
}

#[test]
fn what_the_dead_left_is_swept_and_the_living_stay() {
    let (_dir, store) = store();
    let left = store.root().join("tmp/dead");
    fs::create_dir_all(left.join("a")).unwrap();
    let mine = store.tmp_dir().unwrap();
    let _other = Store::open(store.root()).unwrap();
    assert!(!left.exists() && mine.path().exists());
}

#[test]
fn a_large_blob_is_durable_after_its_flush() {
    let (_dir, store) = store();
    let mut blob = store.blob_writer().unwrap();
    let piece: Vec<u8> = (0..1 << 20).map(|at| at as u8).collect();
    for _ in 0..70 {
        blob.write_all(&piece).unwrap();
    }
    let (digest, size) = blob.finish().unwrap();
    assert_eq!(size, 70 << 20);
    assert!(store.0.flushing.lock().unwrap().contains_key(&digest));
    store.sync(&[digest]).unwrap();
    assert!(store.0.flushing.lock().unwrap().is_empty());
    store.sync(&[digest]).unwrap();
    assert!(store.verify().unwrap().is_empty());
}

#[test]
fn what_was_dropped_is_gone_when_tidied_or_closed() {
    let (_dir, store) = store();
    let tmp = store.root().join("tmp");
    for number in 0..50 {
        let dir = store.tmp_dir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "x").unwrap();
        if number % 2 == 0 {
            fs::rename(dir.path(), tmp.join(number.to_string())).unwrap();
        }
    }
    let last = store.tmp_dir().unwrap();
    let own = last.path().parent().unwrap().to_owned();
    drop(last);
    store.tidy();
    assert_eq!(fs::read_dir(own).unwrap().count(), 0);
    drop(store.tmp_dir().unwrap());
    drop(store);
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 25);
}

#[test]
fn refuses_what_is_newer_or_something_else() {
    let (dir, store) = store();
    fs::write(store.root().join("version"), "2\n").unwrap();
    let newer = Store::open(store.root()).err().unwrap();
    assert!(matches!(newer, StoreError::NewerVersion { .. }), "{newer}");
    let other = Store::open(dir.path()).err().unwrap();
    assert!(matches!(other, StoreError::NotAStore(_)), "{other}");
}
