//! `ADD` of what lies elsewhere.

use std::path::PathBuf;
use std::sync::Mutex;

use image_format::layout::Image;
use image_format::snapshot::LayerSource;

use crate::remote::{Checkout, Download, GitSource, HearPulling, ImageSource, RemoteError};

use super::*;

/// Who has one file and one repository, and remembers what it was asked for.
struct Fake {
    dir: TempDir,
    name: &'static str,
    modified: Option<i64>,
    asked: Mutex<Vec<String>>,
}

const COMMIT: &str = "0123456789012345678901234567890123456789";

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("files")).unwrap();
        fs::create_dir_all(dir.path().join("repo/sub")).unwrap();
        fs::create_dir_all(dir.path().join("repo/.git")).unwrap();
        fs::write(dir.path().join("files/[x]*"), "content").unwrap();
        for (path, text) in [
            ("a", "A"),
            ("sub/b", "B"),
            (".git/HEAD", ""),
            (".dockerignore", "*"),
        ] {
            let path = dir.path().join("repo").join(path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        Self {
            dir,
            name: "ignored",
            modified: None,
            asked: Mutex::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("files/[x]*")
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Remote for Fake {
    fn http(
        &self,
        url: &str,
        _: &mut dyn FnMut(u64, u64),
        _: &Cancel,
    ) -> Result<Download, RemoteError> {
        self.asked.lock().unwrap().push(url.to_owned());
        let content = fs::read(self.path()).unwrap();
        Ok(Download {
            path: self.path(),
            digest: Digest::of(&content),
            size: content.len() as u64,
            name: self.name.to_owned(),
            modified: self.modified,
        })
    }

    fn git(&self, source: &GitSource, _: &Cancel) -> Result<Checkout, RemoteError> {
        self.asked.lock().unwrap().push(format!("{source:?}"));
        if !source.keep_git_dir {
            let _ = fs::remove_dir_all(self.dir.path().join("repo/.git"));
        }
        let directory = source.directory.clone().unwrap_or_default();
        Ok(Checkout {
            path: self.dir.path().join("repo").join(directory),
            commit: COMMIT.to_owned(),
        })
    }

    fn image(
        &self,
        wanted: &ImageSource<'_>,
        _: HearPulling<'_>,
        _: &Cancel,
    ) -> Result<Image, RemoteError> {
        panic!("nobody asks for {}", wanted.reference);
    }

    fn layers(
        &self,
        layers: &[LayerSource],
        _: HearPulling<'_>,
        _: &Cancel,
    ) -> Result<(), RemoteError> {
        panic!("nobody asks for {layers:?}");
    }
}

fn add(remote: &Fake) -> Flags<'_> {
    Flags {
        add: Some(Added { remote, ..ADD }),
        ..Flags::default()
    }
}

#[test]
fn a_file_is_fetched_and_named_by_its_address() {
    let bench = Bench::new();
    let mut fake = Fake::new();
    let copied = |fake: &Fake, url: &str, destination: &str| {
        let (layer, reads) = bench.try_copy(&[url], destination, &add(fake)).unwrap();
        (bench.list(&layer).pop().unwrap(), reads)
    };
    let (file, first) = copied(&fake, "https://h/x/y.txt?z", "/d/");
    assert_eq!(file, "d/y.txt 600 0:0 file content");
    assert_eq!(fake.asked(), ["https://h/x/y.txt?z"]);
    let (file, _) = copied(&fake, "https://h", "/d/");
    assert_eq!(file, "d/__unnamed__ 600 0:0 file content");
    let (file, _) = copied(&fake, "https://h/x", "/d");
    assert_eq!(file, "d 600 0:0 file content");
    // A time after the epoch is the epoch; one before it reaches the layer, and so the key.
    fake.modified = Some(DEFAULT_EPOCH + 7);
    let (_, later) = copied(&fake, "https://h/x/y.txt?z", "/d/");
    fake.modified = Some(DEFAULT_EPOCH + 8);
    assert_eq!(copied(&fake, "https://h/x/y.txt?z", "/d/").1, later);
    assert_ne!(later, first);
    let flags = Flags {
        chown: Some("3:4"),
        chmod: Some("g+r"),
        link: true,
        heredocs: &[("h", "H")],
        ..add(&fake)
    };
    bench.file("local", "L", 0o644);
    let (layer, _) = bench
        .try_copy(&["local", "http://h/f"], "/d/", &flags)
        .unwrap();
    assert_eq!(
        bench.list(&layer),
        [
            "d 755 3:4 dir",
            "d/f 640 3:4 file content",
            "d/h 644 3:4 file H",
            "d/local 644 3:4 file L",
        ]
    );
    let error = bench.refused(&["https://h/x"], "/", &Flags::default());
    assert!(error.hint().unwrap().contains("ADD"), "{error:?}");
    let offline = Flags {
        add: Some(ADD),
        ..Flags::default()
    };
    let error = bench.refused(&["https://h/x"], "/", &offline);
    assert!(matches!(error, CopyError::Fetch { .. }), "{error:?}");
}

#[test]
fn a_checksum_says_what_it_is_and_spares_fetching_to_know_it() {
    let bench = Bench::new();
    let mut fake = Fake::new();
    let digest = Digest::of(b"content").to_string();
    let flags = |fake, checksum| Flags {
        add: Some(Added {
            remote: fake,
            checksum: Some(checksum),
            ..ADD
        }),
        ..Flags::default()
    };
    let context = bench.open();
    let copy = Copy::plain(vec![word("https://h/x")], word("/"));
    let checksum = word(&digest);
    let step = CopyStep {
        copy: Cow::Borrowed(&copy),
        add: Some(AddStep {
            checksum: Some(&checksum),
            keep_git_dir: false,
            unpack: None,
            remote: &fake,
        }),
        workdir: "/",
        from: CopySource::Context(&context),
        keep_top: false,
        literal: false,
        span: SPAN,
    };
    let (store, cancel) = (&bench.store, &Cancel::new());
    let planned = plan_copy(store, &[], &step, DEFAULT_EPOCH, &mut |_, _| {}, cancel).unwrap();
    assert!(fake.asked().is_empty());
    let known = planned.reads.clone();
    drop(planned);
    fake.modified = Some(5);
    let (layer, reads) = bench
        .try_copy(&["https://h/x"], "/", &flags(&fake, &digest))
        .unwrap();
    assert_eq!(reads, known);
    assert_eq!(bench.list(&layer), ["x 600 0:0 file content"]);
    let wrong = Digest::of(b"other").to_string();
    let error = bench.refused(&["https://h/x"], "/", &flags(&fake, &wrong));
    let text = error.to_string();
    assert!(text.contains(&wrong) && text.contains(&digest), "{text}");
    bench.file("f", "", 0o644);
    for (sources, checksum) in [
        (&["https://h/x"][..], "sha512:00"),
        (&["https://h/x"], "abc"),
        (&["https://h/x", "f"], digest.as_str()),
        (&["f"], digest.as_str()),
        (&["https://h/a.git"], digest.as_str()),
        (&["https://h/a.git"], "4444"),
        (&["https://h/a.git?checksum=1"], "01"),
        (&["https://h/a.git?checksum=1"], "0"),
    ] {
        bench.refused(sources, "/", &flags(&fake, checksum));
    }
    bench
        .try_copy(&["https://h/a.git"], "/", &flags(&fake, "0123"))
        .unwrap();
}

#[test]
fn a_fetched_archive_is_unpacked_only_where_it_is_said() {
    let bench = Bench::new();
    let fake = Fake::new();
    let mut tar = image_format::layer::LayerWriter::new(Vec::new(), Timestamp::from_secs(0));
    let entry = image_format::layer::Entry {
        path: "in".into(),
        kind: Kind::Dir,
        meta: image_format::layer::Meta::implied_dir(),
    };
    tar.append(&entry, std::io::empty()).unwrap();
    fs::write(fake.path(), tar.finish().unwrap()).unwrap();
    let flags = |unpack| Flags {
        add: Some(Added {
            unpack,
            remote: &fake,
            ..ADD
        }),
        ..Flags::default()
    };
    let (layer, _) = bench
        .try_copy(&["http://h/a.tar"], "/", &flags(None))
        .unwrap();
    assert!(
        matches!(bench.store.open_blob(&layer.diff_id), Ok(file) if file.metadata().unwrap().len() > 2048)
    );
    let digest = Digest::of(&fs::read(fake.path()).unwrap()).to_string();
    for checksum in [None, Some(digest.as_str())] {
        let mut flags = flags(Some(true));
        flags.add.as_mut().unwrap().checksum = checksum;
        let (layer, _) = bench.try_copy(&["http://h/a.tar"], "/t", &flags).unwrap();
        let file = bench.store.open_blob(&layer.diff_id).unwrap();
        let mut reader = image_format::layer::LayerReader::new(file);
        let mut paths = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            paths.push(entry.path.display().to_string());
        }
        assert_eq!(paths, ["t", "t/in"]);
    }
}

#[test]
fn a_repository_is_copied_as_a_directory_is() {
    let bench = Bench::new();
    let fake = Fake::new();
    let copied = |url: &str, flags: &Flags<'_>| {
        let (layer, reads) = bench.try_copy(&[url], "/r", flags).unwrap();
        let list = bench.list(&layer).into_iter();
        let paths = list.map(|line| line.split(' ').next().unwrap().to_owned());
        (paths.collect::<Vec<_>>().join(" "), reads)
    };
    let mut keep = add(&fake);
    keep.add.as_mut().unwrap().keep_git_dir = true;
    let (paths, kept) = copied("https://h/a.git#v1", &keep);
    assert_eq!(
        paths,
        "r r/.dockerignore r/.git r/.git/HEAD r/a r/sub r/sub/b"
    );
    assert!(
        fake.asked()[0].contains("reference: Some(\"v1\"), directory: None, keep_git_dir: true")
    );
    let (paths, plain) = copied("https://h/a.git#v1", &add(&fake));
    assert_eq!(paths, "r r/.dockerignore r/a r/sub r/sub/b");
    assert_ne!(kept, plain);
    assert_eq!(copied("git@h:a#:sub", &add(&fake)).0, "r r/b");
    let flags = Flags {
        exclude: &["sub", ".*"],
        ..add(&fake)
    };
    assert_eq!(copied("https://h/a.git", &flags).0, "r r/a");
    bench.refused(&["https://h/a.git?keep-git-dir=0"], "/r", &keep);
    bench.refused(&["https://h/a.git?x=1"], "/r", &add(&fake));
    bench.refused(&["https://h/a.git"], "/r", &Flags::default());
}
