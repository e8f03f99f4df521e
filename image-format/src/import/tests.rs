use std::io::Write;
use std::path::Path;

use super::*;
use crate::layer::Entry;

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    header
}

struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn file(mut self, name: &str, content: &str) -> Self {
        let mut header = header(tar::EntryType::Regular, 0o644, content.len() as u64);
        let content = content.as_bytes();
        self.0.append_data(&mut header, name, content).unwrap();
        self
    }

    fn dir(mut self, name: &str, mode: u32) -> Self {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        self.0.append_data(&mut header, name, io::empty()).unwrap();
        self
    }

    fn link(mut self, kind: tar::EntryType, name: &str, target: &str) -> Self {
        let mut header = header(kind, 0o777, 0);
        self.0.append_link(&mut header, name, target).unwrap();
        self
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

const HARD: tar::EntryType = tar::EntryType::Link;
const SOFT: tar::EntryType = tar::EntryType::Symlink;

fn import_bytes(bytes: &[u8]) -> Result<(Vec<(Entry, String)>, Layer), ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let layer = import(&store, file, Times::UpTo(Timestamp::DEFAULT_EPOCH))?;
    let mut reader = LayerReader::new(store.open_blob(&layer.diff_id).unwrap());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = String::new();
        reader.read_to_string(&mut content).unwrap();
        entries.push((entry, content));
    }
    Ok((entries, layer))
}

fn shown(bytes: &[u8]) -> Vec<String> {
    let (entries, _) = import_bytes(bytes).unwrap();
    let show = |(entry, content): (Entry, String)| {
        let path = entry.path.display().to_string();
        assert!(entry.meta.mtime <= Timestamp::DEFAULT_EPOCH);
        match entry.kind {
            Kind::Dir => format!("{path}/ {:o}", entry.meta.mode),
            Kind::File { .. } => format!("{path}={content}"),
            Kind::Symlink(to) => format!("{path}->{}", String::from_utf8(to).unwrap()),
            Kind::Hardlink(to) => format!("{path}=>{}", to.display()),
            other => format!("{path} {other:?}"),
        }
    };
    entries.into_iter().map(show).collect()
}

#[test]
fn the_order_of_the_archive_does_not_matter() {
    let one = Tar::new().dir("a", 0o755).file("a/x", "1").file("a-b", "2");
    let other = Tar::new()
        .file("a-b", "2")
        .file("a/x", "1")
        .dir("./a/", 0o755);
    let (one, other) = (one.done(), other.done());
    assert_eq!(shown(&one), ["a/ 755", "a/x=1", "a-b=2"]);
    assert_eq!(
        import_bytes(&one).unwrap().1,
        import_bytes(&other).unwrap().1
    );
}

#[test]
fn compressed_or_not_it_is_the_same_layer() {
    let plain = Tar::new().file("a", "1").done();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    let layer = import_bytes(&plain).unwrap().1;
    assert_eq!(import_bytes(&gzip.finish().unwrap()).unwrap().1, layer);
    assert_eq!(import_bytes(&zstd).unwrap().1, layer);
}

#[test]
fn the_later_entry_counts() {
    let tar = Tar::new()
        .file("a", "old")
        .link(HARD, "kept", "a")
        .file("a", "new")
        .dir("d", 0o700)
        .file("d/x", "gone")
        .file("d", "no directory")
        .dir("e", 0o700)
        .file("e/x", "stays")
        .dir("e", 0o711);
    assert_eq!(
        shown(&tar.done()),
        ["a=new", "d=no directory", "e/ 711", "e/x=stays", "kept=old"]
    );
}

#[test]
fn the_first_of_several_names_has_the_content() {
    let tar = Tar::new()
        .file("b", "x")
        .link(HARD, "a", "b")
        .link(HARD, "c", "a");
    assert_eq!(shown(&tar.done()), ["a=x", "b=>a", "c=>a"]);
}

#[test]
fn links_above_an_entry_are_followed_inside_the_image() {
    let tar = Tar::new()
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .link(SOFT, "lib", "usr/lib")
        .link(SOFT, "out", "../../../usr")
        .link(SOFT, "abs", "/usr")
        .file("lib/x", "1")
        .file("out/y", "2")
        .file("abs/z", "3");
    assert_eq!(
        shown(&tar.done()),
        [
            "abs->/usr",
            "lib->usr/lib",
            "out->../../../usr",
            "usr/ 755",
            "usr/lib/ 755",
            "usr/lib/x=1",
            "usr/y=2",
            "usr/z=3"
        ]
    );
}

#[test]
fn refuses_what_cannot_be_a_root_file_system() {
    let wrong = |tar: Tar| import_bytes(&tar.done()).unwrap_err();
    let circle = Tar::new().link(SOFT, "a", "b").link(SOFT, "b", "a");
    assert!(matches!(
        wrong(circle.file("a/x", "")),
        ImportError::Links { .. }
    ));
    let below = Tar::new().file("a", "").file("a/b", "");
    assert!(matches!(wrong(below), ImportError::NotADirectory { .. }));
    let dangling = Tar::new().link(HARD, "a", "b");
    assert!(matches!(wrong(dangling), ImportError::LinkTarget { .. }));
    let dir = Tar::new().dir("b", 0o755).link(HARD, "a", "b");
    assert!(matches!(wrong(dir), ImportError::LinkTarget { .. }));
    let whiteout = Tar::new().file(".wh.x", "");
    assert!(matches!(
        wrong(whiteout),
        ImportError::Write(WriteError::Reserved(_))
    ));
    assert!(matches!(wrong(Tar::new()), ImportError::Empty));
    for (start, name) in [(&b"LZIP"[..], "lzip"), (b"PK\x03\x04", "zip")] {
        let error = import_bytes(start).unwrap_err();
        assert!(matches!(error, ImportError::Compression(found) if found == name));
    }
    let error = import_bytes(&[b'x'; 1024]).unwrap_err();
    assert!(matches!(
        error,
        ImportError::Read(ReadError::Checksum { .. })
    ));
    let mut cut = Tar::new().file("a", &"x".repeat(5000)).done();
    cut.truncate(2000);
    let error = import_bytes(&cut).unwrap_err();
    assert!(matches!(
        error,
        ImportError::Read(ReadError::Truncated { .. })
    ));
}

#[test]
fn long_and_odd_names_survive() {
    let long = format!("{}/x", ["directory"; 40].join("/"));
    let tar = Tar::new().file(&long, "1").file("zoë", "2");
    let entries = import_bytes(&tar.done()).unwrap().0;
    assert_eq!(entries[0].0.path, Path::new(&long));
    assert_eq!(entries[1].0.path, Path::new("zoë"));
}
