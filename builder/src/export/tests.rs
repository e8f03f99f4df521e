use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use image_format::layout::Layer;

use super::*;

fn layer(store: &Store, entries: &[(&str, Kind, &[u8])], gone: &[&str]) -> LayerSource {
    let mut writer = LayerWriter::new(
        store.blob_writer().unwrap(),
        Timestamp::from_secs(2_000_000_000),
    );
    for path in gone {
        writer.whiteout(Path::new(path)).unwrap();
    }
    for (path, kind, content) in entries {
        let entry = Entry {
            path: path.into(),
            kind: kind.clone(),
            meta: Meta {
                mode: 0o640,
                uid: 12,
                mtime: Timestamp::from_secs(1_000_000_000),
                ..Meta::default()
            },
        };
        writer.append(&entry, *content).unwrap();
    }
    let (diff_id, size) = writer.finish().unwrap().finish().unwrap();
    Layer { diff_id, size }.into()
}

fn file(content: &[u8]) -> Kind {
    let size = content.len() as u64;
    Kind::File { size }
}

fn export(store: &Store) -> Export {
    let base = layer(
        store,
        &[
            ("d", Kind::Dir, b""),
            ("d/f", file(b"old"), b"old"),
            ("gone", file(b"x"), b"x"),
            ("link", Kind::Symlink(b"d/f".to_vec()), b""),
        ],
        &[],
    );
    let upper = layer(
        store,
        &[
            ("d/f", file(b"new"), b"new"),
            ("d/g", Kind::Hardlink("d/f".into()), b""),
        ],
        &["gone"],
    );
    Export::open(store, &[base, upper]).unwrap()
}

#[test]
fn a_tar_is_what_the_layers_make() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let export = export(&store);
    let cancel = Cancel::new();
    let tar = export.tar(Vec::new(), &cancel).unwrap();
    assert_eq!(tar, export.tar(Vec::new(), &cancel).unwrap());
    let mut reader = image_format::layer::LayerReader::new(tar.as_slice());
    let mut seen = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = String::new();
        reader.read_to_string(&mut content).unwrap();
        assert_eq!((entry.meta.uid, entry.meta.mtime.secs), (12, 1_000_000_000));
        seen.push((entry.path.display().to_string(), content));
    }
    let seen: Vec<_> = seen.iter().map(|(path, text)| (&**path, &**text)).collect();
    assert_eq!(seen, [("d", ""), ("d/f", "new"), ("d/g", ""), ("link", "")]);
    cancel.cancel();
    let cancelled = export.tar(Vec::new(), &cancel);
    assert!(matches!(cancelled, Err(ExportError::Cancelled)));
}

#[test]
fn a_file_is_found_through_links() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let export = export(&store);
    let read = |path: &str, most| export.file(Path::new(path), most).unwrap();
    assert_eq!(read("/link", 10).as_deref(), Some(&b"new"[..]));
    assert_eq!(read("d/../link", 2).as_deref(), Some(&b"ne"[..]));
    assert_eq!(read("gone", 10), None);
    assert_eq!(read("d", 10), None);
}

#[test]
fn a_directory_is_filled_and_nothing_outside_touched() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "safe").unwrap();
    fs::write(out.join("kept"), "kept").unwrap();
    symlink(&outside, out.join("d")).unwrap();
    symlink("/etc/passwd", out.join("link")).unwrap();
    export(&store).directory(&out, &Cancel::new()).unwrap();
    assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "safe");
    assert_eq!(fs::read_to_string(out.join("d/g")).unwrap(), "new");
    assert_eq!(fs::read_to_string(out.join("kept")).unwrap(), "kept");
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("d/f"));
    assert!(!out.join("gone").exists());
    let found = fs::metadata(out.join("d/f")).unwrap();
    assert_eq!(found.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(found.permissions().mode() & 0o7777, 0o640);
    // again, over itself
    export(&store).directory(&out, &Cancel::new()).unwrap();
    assert_eq!(fs::read_to_string(out.join("d/f")).unwrap(), "new");
}

#[test]
fn what_cannot_be_written_is_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let nowhere = dir.path().join("nowhere");
    let failed = export(&store).directory(&nowhere, &Cancel::new());
    assert!(matches!(failed, Err(ExportError::Directory { .. })));
}
