mod corpus;
mod images;
mod language;
mod mounts;
mod secrets;

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use image_format::config::ImageConfig;
use image_format::descriptor::Platform;
use image_format::layout::{Layer, Store, write_image};
use image_format::snapshot::{Committed, LayerSource, OpenTar, Prepared, RootMount, SnapshotError};

use super::*;
use crate::executor::fake::FakeExecutor;
use crate::progress::Outcome;
use crate::remote::Offline;
use crate::request::DockerfileText;
use crate::step::RunError;

/// Layers that are lists of files; what lies below is not shown.
struct FakeSnapshotter {
    store: Store,
    ensured: AtomicUsize,
}

impl Snapshotter for FakeSnapshotter {
    fn ensure(&self, _: &[LayerSource]) -> Result<(), SnapshotError> {
        self.ensured.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn unpack(&self, _: &[Digest], _: &Digest, _: &mut OpenTar<'_>) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn prepare_in(&self, dir: &Path, _: &[Digest]) -> Result<RootMount, SnapshotError> {
        let path = dir.join("root");
        fs::create_dir(&path).unwrap();
        Ok(RootMount::Bind { path })
    }

    fn prepare(&self, stack: &[Digest]) -> Result<Prepared, SnapshotError> {
        let dir = self.store.tmp_dir()?;
        let mount = self.prepare_in(dir.path(), stack)?;
        Ok(Prepared::new(mount, stack.to_vec(), dir))
    }

    fn commit(
        &self,
        prepared: Prepared,
        epoch: i64,
        mount_targets: &[PathBuf],
    ) -> Result<Committed, SnapshotError> {
        assert_eq!(mount_targets, [PathBuf::from("/etc/hosts")]);
        let RootMount::Bind { path } = prepared.mount() else {
            panic!("an ordinary directory");
        };
        let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap()).collect();
        if files.is_empty() {
            return Ok(Committed { layer: None });
        }
        files.sort_by_key(fs::DirEntry::file_name);
        let mut blob = self.store.blob_writer()?;
        for file in files {
            let text = fs::read_to_string(file.path()).unwrap();
            writeln!(blob, "{:?} {epoch} {text}", file.file_name()).unwrap();
        }
        let (diff_id, size) = blob.finish()?;
        Ok(Committed {
            layer: Some(Layer { diff_id, size }),
        })
    }
}

/// What a build told: cached steps, missed ones with reasons, warnings, failed ones.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Progress for Heard {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Finished {
                step,
                outcome: Outcome::Cached(_),
            } => format!("cached {step}"),
            Event::Missed { step, reasons } => {
                let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                format!("missed {step}: {}", reasons.join(", "))
            }
            Event::Warning { message, .. } => message.to_owned(),
            Event::Check { warning } => format!("{}: {}", warning.rule.name, warning.message),
            Event::Failed { step, .. } => format!("failed {step}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    context: PathBuf,
    request: BuildRequest,
    snapshotter: FakeSnapshotter,
    executor: FakeExecutor,
    heard: Heard,
}

impl Bench {
    /// A store with the image `base`, whose config has a CMD.
    fn new(dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let mut config = ImageConfig::scratch(&Platform::host());
        config.config.cmd = Some(vec!["base".to_owned()]);
        let mut layer = store.blob_writer().unwrap();
        layer.write_all(b"the base's layer").unwrap();
        let (diff_id, size) = layer.finish().unwrap();
        config.rootfs.diff_ids.push(diff_id);
        let layer = Layer { diff_id, size };
        let base = write_image(&store, &config, vec![layer.descriptor()]).unwrap();
        store.tag(&"base".parse().unwrap(), &base).unwrap();
        let context = dir.path().join("context");
        fs::create_dir(&context).unwrap();
        Self {
            _dir: dir,
            snapshotter: FakeSnapshotter {
                store: store.clone(),
                ensured: AtomicUsize::new(0),
            },
            request: BuildRequest {
                tags: vec!["out".parse().unwrap()],
                jobs: NonZeroUsize::new(4).unwrap(),
                ..BuildRequest::new(store, context.clone(), DockerfileText::new(dockerfile))
            },
            context,
            executor: FakeExecutor::default(),
            heard: Heard::default(),
        }
    }

    fn build(&self) -> Result<Built, BuildError> {
        build(
            &self.request,
            Backend {
                snapshotter: &self.snapshotter,
                executor: &self.executor,
                progress: &self.heard,
                remote: &Offline,
            },
        )
    }

    fn config(&self) -> ImageConfig {
        self.request.store.resolve("out").unwrap().config
    }

    fn dockerfile(&mut self, text: &str) {
        self.request.dockerfile.text = text.to_owned();
    }

    fn arg(&mut self, name: &str, value: &str) {
        let args = &mut self.request.build_args;
        args.insert(name.to_owned(), value.to_owned());
    }
}

#[test]
fn an_image_is_built_named_and_whole() {
    let bench = Bench::new("FROM base\nRUN write a 1\nRUN nothing\nENV x=y\nUSER 7\nRUN [\"say\"]");
    let built = bench.build().unwrap();
    let image = bench.request.store.resolve("out").unwrap();
    assert_eq!(image.id(), built.id);
    assert_eq!(image.descriptor.digest, built.manifest.digest);
    assert!(bench.request.store.verify().unwrap().is_empty());
    let config = &image.config;
    assert_eq!(config.created.as_deref(), Some("1980-01-01T00:00:00Z"));
    assert_eq!(config.rootfs.diff_ids.len(), 2);
    let history: Vec<_> = config
        .history
        .iter()
        .map(|one| (one.created_by.as_deref().unwrap(), one.empty_layer))
        .collect();
    assert_eq!(
        history,
        [
            ("RUN /bin/sh -c write a 1 # buildkit", false),
            ("RUN /bin/sh -c nothing # buildkit", true),
            ("ENV x=y", true),
            ("USER 7", true),
            ("RUN say # buildkit", true),
        ]
    );
    let ran = bench.executor.ran.lock().unwrap();
    let last = ran.last().unwrap();
    assert_eq!((last.user.as_str(), last.cwd.as_str()), ("7", "/"));
    assert!(last.env.contains(&"x=y".to_owned()));
    assert!(last.env.contains(&"SOURCE_DATE_EPOCH=315532800".to_owned()));
}

#[test]
fn the_same_input_gives_the_same_image() {
    let text = "FROM base\nARG A=1\nRUN write a $A\nCMD x";
    let (first, second) = (Bench::new(text), Bench::new(text));
    assert_eq!(first.build().unwrap(), second.build().unwrap());
}

#[test]
fn what_is_cached_is_not_done() {
    let bench = Bench::new("FROM base\nRUN write a 1\nRUN nothing\nRUN write b 2");
    let built = bench.build().unwrap();
    let done = bench.snapshotter.ensured.load(Ordering::SeqCst);
    bench.heard.take();
    assert_eq!(bench.build().unwrap().manifest, built.manifest);
    assert_eq!(bench.heard.take(), ["cached 1", "cached 2", "cached 3"]);
    assert_eq!(bench.executor.commands().len(), 3);
    assert_eq!(bench.snapshotter.ensured.load(Ordering::SeqCst), done);
}

#[test]
fn without_the_cache_all_is_done_again() {
    let mut bench = Bench::new("FROM base\nRUN write a 1");
    let built = bench.build().unwrap();
    bench.request.no_cache = true;
    assert_eq!(bench.build().unwrap().manifest, built.manifest);
    assert_eq!(bench.executor.commands().len(), 2);
    assert_eq!(bench.heard.take(), [""; 0]);
}

#[test]
fn a_step_that_comes_to_the_same_leaves_the_later_ones_cached() {
    let mut bench = Bench::new("FROM base\nRUN write a 1\nRUN write b 2");
    bench.build().unwrap();
    bench.heard.take();
    bench.dockerfile("FROM base\nRUN  write a 1; nothing\nRUN write b 2");
    bench.build().unwrap();
    assert_eq!(
        bench.heard.take(),
        ["missed 1: the instruction changed", "cached 2"]
    );
}

#[test]
fn misses_are_explained() {
    let mut bench = Bench::new("FROM base\nARG A=1\nRUN env A a\nRUN write b 2");
    bench.build().unwrap();
    assert_eq!(bench.heard.take(), [""; 0]);
    bench.arg("A", "2");
    bench.build().unwrap();
    assert_eq!(
        bench.heard.take(),
        [
            "missed 2: the variable A changed",
            "missed 3: the layers below changed, the variable A changed"
        ]
    );
    // a line that moved is still known
    bench.dockerfile("FROM base\nARG A=1\nRUN write c 3\nRUN env A a\nRUN write b 2");
    bench.build().unwrap();
    let heard = bench.heard.take();
    assert_eq!(heard[1], "missed 3: the layers below changed");
}

#[test]
fn a_missed_copy_names_its_files() {
    let bench = Bench::new("FROM scratch\nWORKDIR /to\nCOPY . .\nCMD [\"x\"]");
    let file = |name: &str| bench.context.join(name);
    for name in ["changed", "gone", "same"] {
        fs::write(file(name), "1").unwrap();
    }
    let built = bench.build().unwrap();
    bench.heard.take();
    fs::write(file("changed"), "22").unwrap();
    fs::write(file("new"), "").unwrap();
    fs::remove_file(file("gone")).unwrap();
    assert_ne!(bench.build().unwrap(), built);
    assert_eq!(
        bench.heard.take(),
        [
            "cached 1",
            "missed 2: changed changed, new is new, gone is gone"
        ]
    );
    // nothing had to be unpacked, and nothing run
    assert_eq!(bench.snapshotter.ensured.load(Ordering::SeqCst), 0);
}

#[test]
fn a_lost_layer_is_made_again() {
    let bench = Bench::new("FROM base\nRUN write a 1");
    let built = bench.build().unwrap();
    let layer = bench.config().rootfs.diff_ids[1];
    fs::remove_file(bench.request.store.blob_path(&layer)).unwrap();
    bench.heard.take();
    assert_eq!(bench.build().unwrap().manifest, built.manifest);
    assert_eq!(
        bench.heard.take(),
        ["missed 1: its layer is not in the store any more"]
    );
    assert!(bench.request.store.verify().unwrap().is_empty());
}

#[test]
fn a_torn_record_is_none() {
    let bench = Bench::new("FROM base\nRUN write a 1");
    let built = bench.build().unwrap();
    let steps = bench.request.store.root().join("cache/v1/steps");
    for record in fs::read_dir(steps).unwrap() {
        fs::write(record.unwrap().path(), "{\"layer\"").unwrap();
    }
    assert_eq!(bench.build().unwrap().manifest, built.manifest);
    assert_eq!(bench.executor.commands().len(), 2);
}

#[test]
fn independent_stages_run_side_by_side() {
    // each waits until both have begun
    let bench = Bench::new(
        "FROM base AS a\nRUN meet 2\nFROM base AS b\nRUN meet 2\nFROM a\nCOPY --from=b /x /x",
    );
    // COPY is another's: what matters is that both stages ended before it
    let _ = bench.build();
    assert_eq!(bench.executor.commands().len(), 2);
    let heard = bench.heard.take();
    assert!(
        !heard
            .iter()
            .any(|line| line == "failed 1" || line == "failed 3"),
        "{heard:?}"
    );
}

#[test]
fn a_stage_that_fails_ends_the_others() {
    let bench = Bench::new(
        "FROM base AS a\nRUN wait\nFROM base AS b\nRUN say x; fail 3\nFROM a\nCOPY --from=b /x /x",
    );
    let error = bench.build().unwrap_err();
    assert!(matches!(
        &error,
        BuildError::Run {
            source: RunError::Exit { code: 3, .. },
            ..
        }
    ));
    assert_eq!(bench.heard.take(), ["failed 3"]);
    assert_eq!(error.span().unwrap().line, 4);
    assert_eq!(error.last_lines(), ["x"]);
    assert_eq!(fs::read_to_string(error.log().unwrap()).unwrap(), "x\n");
    assert!(bench.request.store.resolve("out").is_err());
}

#[test]
fn a_cancelled_build_leaves_nothing() {
    let bench = Bench::new("FROM base\nRUN wait");
    let index = bench.request.store.index().unwrap();
    let cancel = bench.request.cancel.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while bench.executor.commands().is_empty() {
                std::thread::yield_now();
            }
            cancel.cancel();
        });
        assert!(matches!(bench.build(), Err(BuildError::Cancelled)));
    });
    assert_eq!(bench.request.store.index().unwrap(), index);
    let tmp = bench.request.store.root().join("tmp");
    let process = fs::read_dir(tmp).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_dir(process).unwrap().count(), 0);
    assert!(!bench.request.store.root().join("cache/v1/logs").exists());
}

#[test]
fn a_missing_base_is_named_with_the_nearest() {
    let bench = Bench::new("FROM baes");
    let error = bench.build().unwrap_err();
    assert!(matches!(&error, BuildError::NoBase { name, .. } if name == "baes"));
    assert_eq!(
        error.hint().as_deref(),
        Some("did you mean \"base:latest\"?")
    );
    assert_eq!(error.span().unwrap().line, 1);
}

#[test]
fn proxies_are_for_the_command_alone() {
    let mut bench = Bench::new("FROM base\nENV http_proxy=x\nRUN env http_proxy a");
    bench.arg("HTTP_PROXY", "http://one");
    let built = bench.build().unwrap();
    let layer = bench.config().rootfs.diff_ids[1];
    let blob = fs::read_to_string(bench.request.store.blob_path(&layer)).unwrap();
    assert!(blob.contains("http://one"), "in both cases, and before ENV");
    bench.arg("HTTP_PROXY", "http://two");
    assert_eq!(bench.build().unwrap().manifest, built.manifest);
    assert_eq!(bench.heard.take(), ["cached 2"]);
    let history = bench.config().history;
    assert_eq!(
        history[1].created_by.as_deref(),
        Some("RUN /bin/sh -c env http_proxy a # buildkit")
    );
}

#[test]
fn arguments_that_nothing_declares_are_told_of() {
    let mut bench = Bench::new("FROM base\nARG A\nRUN env A a\nLABEL l=$NOPE");
    bench.arg("A", "1");
    bench.arg("B", "1");
    bench.build().unwrap();
    let heard = bench.heard.take();
    assert_eq!(
        heard,
        [
            "the build argument \"B\" is used nowhere: no ARG declares it",
            "UndefinedVar: nothing defines `NOPE` here",
        ]
    );
    assert_eq!(
        bench.config().history[1].created_by.as_deref(),
        Some("RUN |1 A=1 /bin/sh -c env A a # buildkit")
    );
}

#[test]
fn the_epoch_is_the_arguments_then_the_environments() {
    let mut bench = Bench::new("FROM base\nRUN env SOURCE_DATE_EPOCH a");
    bench.request.epoch = Some(1_000_000_000);
    bench.build().unwrap();
    assert_eq!(
        bench.config().created.as_deref(),
        Some("2001-09-09T01:46:40Z")
    );
    bench.arg("SOURCE_DATE_EPOCH", "86400");
    bench.build().unwrap();
    assert_eq!(
        bench.config().created.as_deref(),
        Some("1970-01-02T00:00:00Z")
    );
    assert!(
        bench
            .heard
            .take()
            .contains(&"missed 1: SOURCE_DATE_EPOCH changed".to_owned())
    );
    for bad in ["soon", "99999999999999999"] {
        bench.arg("SOURCE_DATE_EPOCH", bad);
        assert!(matches!(bench.build(), Err(BuildError::Epoch { value }) if value == bad));
    }
}

#[test]
fn many_builds_share_a_store() {
    let bench = Bench::new("FROM base\nRUN write a 1\nRUN write b 2");
    let built: Vec<Built> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| bench.build().unwrap()))
            .collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap())
            .collect()
    });
    assert!(built.iter().all(|one| one.manifest == built[0].manifest));
    assert!(bench.request.store.verify().unwrap().is_empty());
}
