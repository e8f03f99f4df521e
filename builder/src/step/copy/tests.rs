use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use image_format::layer::Kind;
use image_format::layout::Layer;
use tempfile::TempDir;

use super::copy as copy_layer;
use super::*;
use crate::request::DEFAULT_EPOCH;

const SPAN: Span = Span {
    start: 0,
    end: 0,
    line: 1,
};

fn word(text: &str) -> Word {
    Word {
        text: text.to_owned(),
        span: SPAN,
    }
}

mod archives;
mod flags;
mod remote;
mod sources;

/// A store and a context to copy from, and the layers so far.
struct Bench {
    store: Store,
    context: TempDir,
    base: Vec<LayerSource>,
    _root: TempDir,
}

#[derive(Clone, Copy, Default)]
struct Flags<'a> {
    workdir: Option<&'a str>,
    chown: Option<&'a str>,
    chmod: Option<&'a str>,
    from: Option<&'a [LayerSource]>,
    link: bool,
    parents: bool,
    exclude: &'a [&'a str],
    heredocs: &'a [(&'a str, &'a str)],
    /// Of an `ADD`.
    add: Option<Added<'a>>,
    closure: bool,
}

#[derive(Clone, Copy)]
struct Added<'a> {
    unpack: Option<bool>,
    checksum: Option<&'a str>,
    keep_git_dir: bool,
    remote: &'a dyn Remote,
}

/// An `ADD` that fetches nothing.
const ADD: Added<'static> = Added {
    unpack: None,
    checksum: None,
    keep_git_dir: false,
    remote: &crate::remote::Offline,
};

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(root.path()).unwrap(),
            context: tempfile::tempdir().unwrap(),
            base: Vec::new(),
            _root: root,
        }
    }

    fn file(&self, path: &str, content: &str, mode: u32) {
        self.bytes(path, content.as_bytes(), mode);
    }

    fn bytes(&self, path: &str, content: &[u8], mode: u32) {
        let path = self.context.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn open(&self) -> Context {
        Context::open(self.context.path(), None).unwrap()
    }

    /// Plans a copy and does it: its layer and its key's part.
    fn try_copy(
        &self,
        sources: &[&str],
        destination: &str,
        flags: &Flags<'_>,
    ) -> Result<(Layer, Reads), CopyError> {
        let context = self.open();
        let mut copy = Copy::plain(
            sources.iter().map(|source| word(source)).collect(),
            word(destination),
        );
        copy.chown = flags.chown.map(word);
        copy.chmod = flags.chmod.map(word);
        (copy.link, copy.parents, copy.closure) = (flags.link, flags.parents, flags.closure);
        copy.exclude = flags.exclude.iter().map(|text| word(text)).collect();
        let heredocs = flags.heredocs.iter().map(|(name, text)| {
            ast::CopySource::Heredoc(ast::Heredoc {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
                strip_tabs: false,
                expand: true,
                span: SPAN,
                lines: SPAN,
            })
        });
        copy.sources.splice(0..0, heredocs);
        let checksum = flags.add.and_then(|add| add.checksum).map(word);
        let step = CopyStep {
            copy: Cow::Borrowed(&copy),
            add: flags.add.map(|add| AddStep {
                checksum: checksum.as_ref(),
                keep_git_dir: add.keep_git_dir,
                unpack: add.unpack,
                remote: add.remote,
            }),
            workdir: flags.workdir.unwrap_or("/"),
            from: match flags.from {
                Some(layers) => CopySource::Stack(layers),
                None => CopySource::Context(&context),
            },
            keep_top: false,
            literal: false,
            span: SPAN,
        };
        let (store, base, cancel) = (&self.store, &self.base, &Cancel::new());
        let ignored = &mut |_, _| {};
        let planned = plan_copy(store, base, &step, DEFAULT_EPOCH, ignored, cancel)?;
        let reads = planned.reads.clone();
        let files: Vec<FilePart> = planned.files().collect();
        let layer = copy_layer(store, base, &planned, DEFAULT_EPOCH, ignored, cancel)?;
        assert_eq!(planned.files().collect::<Vec<_>>(), files);
        Ok((layer.unwrap(), reads))
    }

    /// Copies, and puts the layer on the others.
    fn copy(&mut self, sources: &[&str], destination: &str, flags: &Flags<'_>) -> Layer {
        let (layer, _) = self.try_copy(sources, destination, flags).unwrap();
        self.base.push(layer.into());
        layer
    }

    fn refused(&self, sources: &[&str], destination: &str, flags: &Flags<'_>) -> CopyError {
        self.try_copy(sources, destination, flags).unwrap_err()
    }

    /// The entries of a layer: `path kind mode uid:gid content`.
    fn list(&self, layer: &Layer) -> Vec<String> {
        let file = self.store.open_blob(&layer.diff_id).unwrap();
        let mut reader = image_format::layer::LayerReader::new(file);
        let mut list = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            assert_eq!(entry.meta.mtime, Timestamp::from_secs(DEFAULT_EPOCH));
            let what = match entry.kind {
                Kind::File { .. } => {
                    let mut text = String::new();
                    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
                    format!("file {text}")
                }
                Kind::Dir => "dir".to_owned(),
                Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(&target)),
                Kind::Hardlink(target) => format!("= {}", target.display()),
                kind => format!("{kind:?}"),
            };
            let meta = entry.meta;
            list.push(format!(
                "{} {:o} {}:{} {what}",
                entry.path.display(),
                meta.mode,
                meta.uid,
                meta.gid
            ));
        }
        list
    }
}

#[test]
fn a_file_goes_to_the_destination_or_into_it() {
    let mut bench = Bench::new();
    bench.file("a", "A", 0o664);
    let layer = bench.copy(&["a"], "x/y", &Flags::default());
    assert_eq!(bench.list(&layer), ["x 755 0:0 dir", "x/y 664 0:0 file A"]);
    let layer = bench.copy(&["/a"], "/x", &Flags::default());
    assert_eq!(bench.list(&layer), ["x 755 0:0 dir", "x/a 664 0:0 file A"]);
    let flags = Flags {
        workdir: Some("/w"),
        ..Flags::default()
    };
    let layer = bench.copy(&["./a"], ".", &flags);
    assert_eq!(bench.list(&layer), ["w 755 0:0 dir", "w/a 664 0:0 file A"]);
}

#[test]
fn of_several_files_to_one_the_last_wins() {
    let bench = Bench::new();
    bench.file("a", "A", 0o644);
    bench.file("b", "B", 0o644);
    let (layer, _) = bench.try_copy(&["?"], "/x", &Flags::default()).unwrap();
    assert_eq!(bench.list(&layer), ["x 644 0:0 file B"]);
    let (layer, _) = bench
        .try_copy(&["[a]", "none*"], "/x", &Flags::default())
        .unwrap();
    assert_eq!(bench.list(&layer), ["x 644 0:0 file A"]);
}

#[test]
fn of_a_directory_the_contents_go() {
    let mut bench = Bench::new();
    bench.file("d/sub/f", "F", 0o600);
    bench.file("d/g", "G", 0o755);
    fs::set_permissions(
        bench.context.path().join("d/sub"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    symlink("/etc/passwd", bench.context.path().join("d/link")).unwrap();
    let layer = bench.copy(&["d"], "/t", &Flags::default());
    let list = [
        "t 755 0:0 dir",
        "t/g 755 0:0 file G",
        "t/link 777 0:0 -> /etc/passwd",
        "t/sub 700 0:0 dir",
        "t/sub/f 600 0:0 file F",
    ];
    assert_eq!(bench.list(&layer), list);
    let flags = Flags {
        chown: Some("7:8"),
        chmod: Some("640"),
        ..Flags::default()
    };
    let layer = bench.copy(&["d"], "/new/t", &flags);
    assert_eq!(
        bench.list(&layer),
        [
            "new 640 7:8 dir",
            "new/t 640 7:8 dir",
            "new/t/g 640 7:8 file G",
            "new/t/link 777 7:8 -> /etc/passwd",
            "new/t/sub 640 7:8 dir",
            "new/t/sub/f 640 7:8 file F",
        ]
    );
}

#[test]
fn hard_links_stay_within_a_source() {
    let mut bench = Bench::new();
    bench.file("d/a", "A", 0o644);
    let dir = bench.context.path().join("d");
    fs::hard_link(dir.join("a"), dir.join("b")).unwrap();
    let layer = bench.copy(&["d"], "/t", &Flags::default());
    assert_eq!(
        bench.list(&layer),
        ["t 755 0:0 dir", "t/a 644 0:0 file A", "t/b 644 0:0 = t/a"]
    );
    let again = bench.base.clone();
    let flags = Flags {
        from: Some(&again),
        ..Flags::default()
    };
    let layer = bench.copy(&["/t/b", "/t"], "/u/", &flags);
    assert_eq!(
        bench.list(&layer),
        ["u 755 0:0 dir", "u/a 644 0:0 file A", "u/b 644 0:0 = u/a"]
    );
}

#[test]
fn links_of_a_destination_are_followed_and_those_below_it_replaced() {
    let mut bench = Bench::new();
    bench.file("l/x", "", 0o644);
    symlink("../real", bench.context.path().join("l/link")).unwrap();
    symlink("nowhere", bench.context.path().join("l/f")).unwrap();
    bench.file("f", "F", 0o644);
    bench.copy(&["l"], "/", &Flags::default());
    let layer = bench.copy(&["f"], "/link/", &Flags::default());
    assert_eq!(
        bench.list(&layer),
        ["real 755 0:0 dir", "real/f 644 0:0 file F"]
    );
    let layer = bench.copy(&["f"], "/", &Flags::default());
    assert_eq!(bench.list(&layer), ["f 644 0:0 file F"]);
}

#[test]
fn what_is_in_the_way_is_refused() {
    let mut bench = Bench::new();
    bench.file("f", "F", 0o644);
    bench.file("d/f/g", "G", 0o644);
    bench.copy(&["f"], "/f", &Flags::default());
    let refused = |sources: &[&str], to: &str| bench.refused(sources, to, &Flags::default());
    assert!(matches!(
        refused(&["d"], "/f"),
        CopyError::NotADirectory { path, .. } if path == "/f"
    ));
    assert!(matches!(
        refused(&["d"], "/"),
        CopyError::NotADirectory { path, .. } if path == "/f"
    ));
    assert!(matches!(
        refused(&["f"], "/f/g"),
        CopyError::NotADirectory { path, .. } if path == "/f"
    ));
    assert!(matches!(
        refused(&["d", "f"], "/n/"),
        CopyError::DirectoryInTheWay { path, .. } if path == "/n/f"
    ));
}

#[test]
fn what_is_missing_is_named_with_what_was_meant() {
    let mut bench = Bench::new();
    bench.file("src/main.rs", "", 0o644);
    let error = bench.refused(&["src/mian.rs"], "/", &Flags::default());
    assert_eq!(
        error.hint().as_deref(),
        Some("did you mean \"src/main.rs\"?")
    );
    bench.copy(&["src"], "/src", &Flags::default());
    let from = bench.base.clone();
    let flags = Flags {
        from: Some(&from),
        ..Flags::default()
    };
    let error = bench.refused(&["/scr/main.rs"], "/x", &flags);
    assert_eq!(error.hint().as_deref(), Some("did you mean \"/src\"?"));
    assert!(
        bench
            .refused(&["/src/none/deep"], "/x", &flags)
            .hint()
            .is_none()
    );
}

#[test]
fn names_are_looked_up_in_the_image() {
    let mut bench = Bench::new();
    bench.file("etc/passwd", "root:x:0:0::/:\napp:x:100:101::/:\n", 0o644);
    bench.file("etc/group", "staff:x:50:\n", 0o644);
    bench.file("f", "", 0o644);
    bench.copy(&["etc"], "/etc", &Flags::default());
    let owned = |owner| {
        let flags = Flags {
            chown: Some(owner),
            ..Flags::default()
        };
        bench
            .try_copy(&["f"], "/f", &flags)
            .map(|(layer, _)| bench.list(&layer).remove(0))
    };
    for (owner, numbers) in [
        ("app", "100:101"),
        ("app:staff", "100:50"),
        ("5", "5:5"),
        ("5:staff", "5:50"),
        ("root", "0:0"),
    ] {
        assert_eq!(owned(owner).unwrap(), format!("f 644 {numbers} file "));
    }
    let error = owned("apq").unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("did you mean \"app\"?"));
    assert!(matches!(
        owned("5:none"),
        Err(CopyError::NoAccount { what: "group", .. })
    ));
}

#[test]
fn the_layer_is_the_same_read_at_once_or_known_before() {
    let bench = Bench::new();
    bench.file("d/large", &"x".repeat(3_000_000), 0o644);
    for number in 0..300 {
        bench.file(&format!("d/{number}"), &"y".repeat(number * 7), 0o644);
    }
    let first = bench.try_copy(&["d"], "/t", &Flags::default()).unwrap();
    // Old enough to be trusted from now on.
    std::thread::sleep(std::time::Duration::from_millis(120));
    let second = bench.try_copy(&["d"], "/t", &Flags::default()).unwrap();
    let context = bench.open();
    let words = Copy::plain(vec![word("d")], word("/t"));
    let step = CopyStep {
        copy: Cow::Owned(words),
        add: None,
        workdir: "/",
        from: CopySource::Context(&context),
        keep_top: false,
        literal: false,
        span: SPAN,
    };
    let (store, cancel) = (&bench.store, &Cancel::new());
    let ignored = &mut |_, _| {};
    let planned = plan_copy(store, &[], &step, DEFAULT_EPOCH, ignored, cancel).unwrap();
    assert!(
        matches!(&planned.work, Work::Found(read, _) if read.layer.is_none()),
        "read again"
    );
    assert_eq!(planned.files().count(), 302);
    let third = planned.reads.clone();
    let layer = copy(store, &[], &planned, DEFAULT_EPOCH, ignored, cancel).unwrap();
    assert_eq!(first, second);
    assert_eq!((layer.unwrap(), third), first);
}

#[test]
fn the_key_holds_what_reaches_the_layer_and_nothing_else() {
    let bench = Bench::new();
    bench.file("d/f", "F", 0o644);
    let key = |flags: &Flags<'_>| bench.try_copy(&["d"], "/t", flags).unwrap().1;
    let (plain, fixed) = (
        Flags::default(),
        Flags {
            chmod: Some("600"),
            ..Flags::default()
        },
    );
    let (before, before_fixed) = (key(&plain), key(&fixed));
    let path = bench.context.path().join("d/f");
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(&path).unwrap().set_modified(old).unwrap();
    fs::set_permissions(
        bench.context.path().join("d"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    assert_eq!(key(&plain), before);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(key(&plain), before);
    assert_eq!(key(&fixed), before_fixed);
    fs::write(&path, "G").unwrap();
    assert_ne!(key(&fixed), before_fixed);
}

#[test]
fn a_working_directory_is_made_once() {
    let mut bench = Bench::new();
    bench.file("etc/passwd", "app:x:100:101::/:\n", 0o644);
    bench.copy(&["."], "/", &Flags::default());
    let (store, cancel) = (&bench.store, &Cancel::new());
    let mut base = bench.base.clone();
    let step = WorkdirStep {
        path: "/w/x",
        user: "app",
        span: SPAN,
    };
    let planned = plan_workdir(store, &base, &step, cancel).unwrap().unwrap();
    let layer = copy(
        store,
        &base,
        &planned,
        DEFAULT_EPOCH,
        &mut |_, _| {},
        cancel,
    )
    .unwrap();
    let layer = layer.unwrap();
    assert_eq!(
        bench.list(&layer),
        ["w 755 100:101 dir", "w/x 755 100:101 dir"]
    );
    base.push(layer.into());
    assert!(plan_workdir(store, &base, &step, cancel).unwrap().is_none());
}

#[test]
fn a_working_directory_of_a_user_that_is_not_there_is_roots() {
    let mut bench = Bench::new();
    bench.file("etc/passwd", "app:x:100:101::/:\n", 0o644);
    bench.file("etc/group", "staff:x:50:\n", 0o644);
    bench.copy(&["."], "/", &Flags::default());
    let (store, cancel) = (&bench.store, &Cancel::new());
    for (user, numbers) in [
        ("none", "0:0"),
        ("none:staff", "0:50"),
        ("app:none", "100:101"),
        ("app:", "100:0"),
        ("app:root", "100:0"),
        (":staff", "0:50"),
        ("7", "7:7"),
        ("7:none", "7:7"),
        ("7:8", "7:8"),
    ] {
        let step = WorkdirStep {
            path: "/w",
            user,
            span: SPAN,
        };
        let planned = plan_workdir(store, &bench.base, &step, cancel);
        let planned = planned.unwrap().unwrap();
        let made = copy(
            store,
            &bench.base,
            &planned,
            DEFAULT_EPOCH,
            &mut |_, _| {},
            cancel,
        );
        let layer = made.unwrap().unwrap();
        assert_eq!(
            bench.list(&layer),
            [format!("w 755 {numbers} dir")],
            "{user}"
        );
    }
}
