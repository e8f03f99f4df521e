//! Mirrors that fail, lie and have other things, and the registry behind them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use image_format::digest::Digest;
use image_format::media_type::OCI_MANIFEST;
use remote::registry::TagOrDigest;
use remote::registry::endpoint::Serves;
use support::faulty::{Fault, Faulty, answer};
use support::registry::{
    Client, MANIFEST, Set, fetch, plain, ranges, tag, told, with_blob, with_manifest,
};

#[test]
fn mirrors_are_asked_first_and_the_registry_at_last() {
    let digest = Digest::of(MANIFEST);
    for (name, fault) in [
        ("unknown", answer(404, &[], "")),
        ("forbidden", answer(403, &[], "")),
        ("broken", Fault::Hangup),
        ("failing", answer(500, &[], "")),
        // Nobody waits for that as long as there is another.
        ("busy", answer(429, &["Retry-After: 3600"], "")),
        ("lying", Fault::Corrupt),
    ] {
        let mirror = Faulty::start(move |_| fault.clone());
        mirror.put_manifest("1", OCI_MANIFEST, MANIFEST);
        let (server, _) = with_manifest(|_| Fault::None);
        let mirrors = vec![plain(&mirror.host(), "m/app")];
        let client = Client::with(
            &server.host(),
            Set {
                mirrors,
                ..Set::default()
            },
        );
        let which = TagOrDigest::Digest(digest);
        let manifest = client
            .registries
            .wait(client.pull().manifest(&which))
            .unwrap();
        assert_eq!(&manifest.bytes[..], MANIFEST, "{name}");
        assert!(
            mirror.lines()[0].starts_with("GET /v2/m/app/manifests/"),
            "{name}"
        );
        assert_eq!(
            server.lines(),
            [format!("GET /v2/app/manifests/{digest}")],
            "{name}"
        );
    }
}

#[test]
fn a_mirror_that_has_it_is_enough() {
    let (mirror, bytes, descriptor) = with_blob(1000, |_| Fault::None);
    let server = Faulty::start(|_| Fault::None);
    let mirrors = vec![plain(&mirror.host(), "app")];
    let client = Client::with(
        &server.host(),
        Set {
            mirrors,
            ..Set::default()
        },
    );
    assert!(client.fetch(&descriptor).unwrap() == bytes);
    assert!(server.asked().is_empty());
    // What is pushed goes to the registry itself.
    client.upload(b"x").unwrap();
    assert!(mirror.asked().len() == 1 && server.blob(&Digest::of(b"x")).is_some());
}

#[test]
fn a_blob_goes_on_at_the_next_server() {
    let (mirror, bytes, descriptor) = with_blob(1_000_000, |asked| match asked.before {
        0 => Fault::Cut(400_000),
        _ => Fault::Hangup,
    });
    let (server, ..) = with_blob(1_000_000, |_| Fault::None);
    let mirrors = vec![plain(&mirror.host(), "app")];
    let client = Client::with(
        &server.host(),
        Set {
            mirrors,
            ..Set::default()
        },
    );
    let repository = client.pull();
    assert!(
        client
            .registries
            .wait(fetch(&repository, &descriptor))
            .unwrap()
            == bytes
    );
    assert_eq!(ranges(&server), ["bytes=400000-"]);
    // A server that is gone is not asked again.
    let asked = mirror.asked().len();
    assert!(
        client
            .registries
            .wait(fetch(&repository, &descriptor))
            .unwrap()
            == bytes
    );
    assert_eq!(mirror.asked().len(), asked);
}

#[test]
fn a_mirror_that_lied_is_not_asked_again() {
    let (mirror, bytes, descriptor) = with_blob(1_000_000, |_| Fault::Corrupt);
    let (server, ..) = with_blob(1_000_000, |_| Fault::None);
    let mirrors = vec![plain(&mirror.host(), "app")];
    let client = Client::with(
        &server.host(),
        Set {
            mirrors,
            ..Set::default()
        },
    );
    let repository = client.pull();
    let error = client
        .registries
        .wait(fetch(&repository, &descriptor))
        .unwrap_err();
    assert!(
        error.is_wrong_content() && error.to_string().contains(&mirror.host()),
        "{error}"
    );
    assert!(
        client
            .registries
            .wait(fetch(&repository, &descriptor))
            .unwrap()
            == bytes
    );
    assert_eq!(mirror.asked().len(), 1);
}

#[test]
fn mirrors_for_digests_or_tags_are_asked_for_nothing_else() {
    let digest = TagOrDigest::Digest(Digest::of(MANIFEST));
    for (serves, which, expected) in [
        (Serves::Digests, tag("1"), 0),
        (Serves::Digests, digest.clone(), 1),
        (Serves::Tags, tag("1"), 1),
        (Serves::Tags, digest, 0),
    ] {
        let (mirror, _) = with_manifest(|_| Fault::None);
        let (server, _) = with_manifest(|_| Fault::None);
        let mut endpoint = plain(&mirror.host(), "app");
        endpoint.serves = serves;
        let mirrors = vec![endpoint];
        let client = Client::with(
            &server.host(),
            Set {
                mirrors,
                ..Set::default()
            },
        );
        client
            .registries
            .wait(client.pull().manifest(&which))
            .unwrap();
        assert_eq!(
            (mirror.asked().len(), server.asked().len()),
            (expected, 1 - expected)
        );
    }
}

#[test]
fn where_nobody_has_it_all_are_named() {
    let mirror = Faulty::start(|_| answer(404, &[], ""));
    let server = Faulty::start(|_| Fault::None);
    let mirrors = vec![plain(&mirror.host(), "app")];
    let client = Client::with(
        &server.host(),
        Set {
            mirrors,
            ..Set::default()
        },
    );
    let error = client
        .registries
        .wait(client.pull().resolve(&tag("1")))
        .unwrap_err();
    let text = told(&error);
    assert!(error.is_not_found(), "{text}");
    assert!(
        text.contains(&mirror.host()) && text.contains(&server.host()),
        "{text}"
    );
    assert!(
        text.contains(&format!("mkimg login {}]", server.host())),
        "{text}"
    );
}
