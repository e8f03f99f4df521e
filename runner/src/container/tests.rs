use image_format::config::{ContainerConfig, ImageConfig};
use image_format::descriptor::Platform;
use image_format::layout::{Image, write_image};
use image_format::snapshot::{Copies, RootMount, detect};

use super::*;

struct Place {
    _dir: tempfile::TempDir,
    store: Store,
    image: Image,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let config = ImageConfig {
            config: ContainerConfig {
                cmd: Some(vec!["sh".into()]),
                ..Default::default()
            },
            ..ImageConfig::scratch(&Platform::host())
        };
        let descriptor = write_image(&store, &config, Vec::new()).unwrap();
        let image = store.image(&descriptor).unwrap();
        Self {
            _dir: dir,
            store,
            image,
        }
    }

    fn create(&self, options: &ContainerOptions) -> Result<Container, ContainerError> {
        let copies = Copies::new(&self.store).unwrap();
        let made = Container::create(&self.store, &copies, &self.image, "image", options);
        made.map(|(container, spec)| {
            assert!(matches!(spec.root, RootMount::Bind { .. }));
            container
        })
    }

    fn left(&self) -> usize {
        let places = Places::of(&self.store);
        [&places.all, &places.ephemeral, &places.names]
            .map(|dir| fs::read_dir(dir).unwrap().count())
            .iter()
            .sum::<usize>()
            // The two directories themselves.
            - 2
    }
}

fn named(name: &str, remove: bool) -> ContainerOptions {
    ContainerOptions {
        name: Some(name.parse().unwrap()),
        remove,
        ..Default::default()
    }
}

#[test]
fn a_name_is_given_once() {
    let place = Place::new();
    let first = place.create(&named("web", false)).unwrap();
    let error = place.create(&named("web", true)).unwrap_err();
    assert!(matches!(&error, ContainerError::NameTaken { id, .. } if *id == first.record.id));
    assert_eq!(place.left(), 2);
    first.finish(Exit::Code(0)).unwrap();
    assert!(place.create(&named("web", false)).is_err());
    remove(&place.store, "web").unwrap();
    assert_eq!(place.left(), 0);
    place.create(&named("web", false)).unwrap();
}

#[test]
fn what_runs_is_known_by_its_lock_and_what_ended_by_its_code() {
    let place = Place::new();
    let container = place.create(&named("web", false)).unwrap();
    let state = || find(&place.store, "web").unwrap().state;
    assert_eq!(state(), State::Running);
    assert!(matches!(
        remove(&place.store, "web"),
        Err(ContainerError::Running { .. })
    ));
    container.finish(Exit::Code(3)).unwrap();
    assert!(matches!(
        state(),
        State::Ended(Some(Ended {
            exit: Exit::Code(3),
            ..
        }))
    ));
    let id = find(&place.store, "web").unwrap().record.id;
    assert_eq!(find(&place.store, &id[..6]).unwrap().record.id, id);
    assert!(matches!(
        find(&place.store, "wed"),
        Err(ContainerError::NoContainer { nearest: Some(name), .. }) if name == "web"
    ));
}

#[test]
fn an_ephemeral_container_leaves_nothing_even_when_it_is_killed() {
    let place = Place::new();
    let container = place.create(&named("one", true)).unwrap();
    container.finish(Exit::Code(0)).unwrap();
    assert_eq!(place.left(), 0);
    // What a killed process leaves: all but the lock.
    drop(place.create(&named("two", true)).unwrap());
    assert_eq!(place.left(), 2);
    assert!(list(&place.store).unwrap().is_empty());
    assert!(roots(&place.store).unwrap().blobs.is_empty());
    let next = place.create(&named("two", true)).unwrap();
    assert_eq!(place.left(), 2);
    next.finish(Exit::Code(0)).unwrap();
    assert_eq!(place.left(), 0);
}

#[test]
fn the_image_of_a_container_is_needed() {
    let place = Place::new();
    let container = place.create(&ContainerOptions::default()).unwrap();
    let roots = roots(&place.store).unwrap();
    assert!(roots.blobs.contains(&place.image.id()));
    assert!(roots.blobs.contains(&place.image.descriptor.digest));
    let names = used_by(&place.store, place.image.id()).unwrap();
    assert_eq!(names, [container.record.name.to_string()]);
}

#[test]
fn nothing_is_left_of_what_cannot_be_made() {
    let place = Place::new();
    let mut options = named("web", false);
    options.process.working_dir = Some("relative".into());
    assert!(place.create(&options).is_err());
    assert!(list(&place.store).unwrap().is_empty());
}

#[test]
fn the_removal_begins_with_what_only_the_kernel_uses() {
    let place = Place::new();
    let overlays = detect(&place.store, None).unwrap();
    for remove in [true, false] {
        let options = named("web", remove);
        let (container, spec) =
            Container::create(&place.store, &*overlays, &place.image, "image", &options).unwrap();
        let RootMount::Overlay { upper, work, .. } = spec.root else {
            panic!("{:?}", spec.root);
        };
        assert!(upper.exists() && work.exists());
        container.ending();
        assert!(upper.exists());
        assert_eq!(work.exists(), !remove);
        assert_eq!(find(&place.store, "web").unwrap().state, State::Running);
        container.finish(Exit::Code(0)).unwrap();
        assert_eq!(place.left(), if remove { 0 } else { 2 });
    }
}
