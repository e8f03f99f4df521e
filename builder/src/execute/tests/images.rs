//! Images that are asked for in registries: when, and once.

use std::sync::atomic::AtomicBool;

use image_format::digest::Digest;
use image_format::layout::Image;

use super::*;
use crate::cancel::Cancel;
use crate::remote::{Checkout, Download, GitSource, HearPulling, ImageSource, Remote, RemoteError};
use crate::request::PullPolicy;

/// A registry whose tags name another image each time that they are asked for.
struct Moving {
    store: Store,
    asked: Mutex<Vec<String>>,
    is_empty: AtomicBool,
}

impl Moving {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Remote for Moving {
    fn http(
        &self,
        url: &str,
        _: &mut dyn FnMut(u64, u64),
        _: &Cancel,
    ) -> Result<Download, RemoteError> {
        panic!("nobody asks for {url}");
    }

    fn git(&self, source: &GitSource, _: &Cancel) -> Result<Checkout, RemoteError> {
        panic!("nobody asks for {source:?}");
    }

    fn image(
        &self,
        wanted: &ImageSource<'_>,
        _: HearPulling<'_>,
        _: &Cancel,
    ) -> Result<Image, RemoteError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(wanted.reference.familiar());
        let name = wanted.reference.familiar();
        if self.is_empty.load(Ordering::SeqCst) {
            return Err(RemoteError::NoImage {
                name,
                registry: "docker.io".to_owned(),
                hint: None,
                source: "no such manifest".into(),
            });
        }
        let mut config = ImageConfig::scratch(&Platform::host());
        config.author = Some(format!("{name} {}", asked.len()));
        let image = write_image(&self.store, &config, Vec::new()).unwrap();
        self.store.tag(wanted.reference, &image).unwrap();
        Ok(self.store.image(&image).unwrap())
    }

    fn layers(&self, _: &[LayerSource], _: HearPulling<'_>, _: &Cancel) -> Result<(), RemoteError> {
        Ok(())
    }
}

impl Bench {
    fn moving(&self) -> Moving {
        Moving {
            store: self.request.store.clone(),
            asked: Mutex::default(),
            is_empty: AtomicBool::new(false),
        }
    }

    fn build_with(&self, remote: &dyn Remote) -> Result<Built, BuildError> {
        build(
            &self.request,
            Backend {
                snapshotter: &self.snapshotter,
                executor: &self.executor,
                progress: &self.heard,
                remote,
            },
        )
    }
}

#[test]
fn a_tag_that_moves_stands_for_one_image_in_a_build() {
    let mut bench = Bench::new("FROM far AS one\nFROM far AS two\nCOPY --from=one / /\nFROM far\n");
    let moving = bench.moving();
    let built = bench.build_with(&moving).unwrap();
    assert_eq!(moving.asked(), ["far"]);
    let digest = bench
        .request
        .store
        .resolve("far")
        .unwrap()
        .descriptor
        .digest;
    let materials: Vec<(String, Digest)> = built
        .materials
        .into_iter()
        .map(|material| (material.name, material.digest))
        .collect();
    assert_eq!(materials, [("far".to_owned(), digest)]);
    // Now the store has it, and it is asked for only if that is wanted.
    bench.build_with(&moving).unwrap();
    assert_eq!(moving.asked().len(), 0);
    bench.request.pull = PullPolicy::Always;
    bench.build_with(&moving).unwrap();
    assert_eq!(moving.asked(), ["far"]);
}

#[test]
fn nothing_is_asked_for_where_that_is_not_wanted_and_an_unknown_image_is_named() {
    let mut bench = Bench::new("FROM bsae\n");
    let moving = bench.moving();
    moving.is_empty.store(true, Ordering::SeqCst);
    let error = bench.build_with(&moving).unwrap_err();
    assert_eq!(error.to_string(), "there is no image bsae at docker.io");
    assert_eq!(error.span().unwrap().line, 1);
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("base:latest") && hint.contains("store"),
        "{hint}"
    );
    assert_eq!(moving.asked(), ["bsae"]);
    bench.request.pull = PullPolicy::Never;
    let error = bench.build_with(&moving).unwrap_err();
    assert!(matches!(error, BuildError::NoBase { .. }), "{error}");
    assert_eq!(moving.asked().len(), 0);
}
