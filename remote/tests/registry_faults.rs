//! The client against a registry that does whatever can go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use remote::registry::endpoint::Serves;
use remote::registry::{Access, RegistryError, TagOrDigest, referrers_tag};
use support::faulty::{Asked, Fault, Faulty, answer};
use support::registry::{Client, Memory, Set, fetch, noise, plain, tag, told};

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

/// A registry with one blob.
fn with_blob(
    size: usize,
    fault: impl Fn(&Asked) -> Fault + Send + Sync + 'static,
) -> (Faulty, Vec<u8>, Descriptor) {
    let server = Faulty::start(fault);
    let bytes = noise(size);
    server.put_blob(&bytes);
    let descriptor = Descriptor::of(OCI_LAYER, &bytes);
    (server, bytes, descriptor)
}

fn with_manifest(fault: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> (Faulty, Client) {
    let server = Faulty::start(fault);
    server.put_manifest("1", OCI_MANIFEST, MANIFEST);
    let client = Client::new(&server.host());
    (server, client)
}

/// Where the ranges begin that were asked for.
fn ranges(server: &Faulty) -> Vec<String> {
    let asked = server.asked().into_iter();
    asked
        .filter_map(|one| one.header("range").map(str::to_owned))
        .collect()
}

#[test]
fn a_blob_goes_on_where_it_broke() {
    // More often than anything is tried that gets no further.
    let (server, bytes, descriptor) = with_blob(1_000_000, |asked| match asked.before {
        0..8 => Fault::Cut(100_000),
        _ => Fault::None,
    });
    assert!(Client::new(&server.host()).fetch(&descriptor).unwrap() == bytes);
    let ranges = ranges(&server);
    assert_eq!(ranges.len(), 8);
    assert_eq!(
        (ranges[0].as_str(), ranges[7].as_str()),
        ("bytes=100000-", "bytes=800000-")
    );
}

#[test]
fn a_server_without_ranges_sends_the_whole_again() {
    let whole = noise(300_000);
    let copy = whole.clone();
    let (server, bytes, descriptor) = with_blob(300_000, move |asked| match asked.before {
        0 => Fault::Cut(123_456),
        _ => Fault::Answer(200, vec![], copy.clone()),
    });
    assert_eq!(bytes, whole);
    assert!(Client::new(&server.host()).fetch(&descriptor).unwrap() == bytes);
}

#[test]
fn what_gets_no_further_ends() {
    for fault in [Fault::Cut(0), Fault::Hangup] {
        let copy = fault.clone();
        let (server, _, descriptor) = with_blob(1000, move |_| copy.clone());
        let error = Client::new(&server.host()).fetch(&descriptor).unwrap_err();
        assert!(
            matches!(error, RegistryError::Connection { .. }),
            "{fault:?}: {error}"
        );
        assert!(told(&error).contains(&server.host()), "{}", told(&error));
        assert_eq!(server.asked().len(), 5, "{fault:?}");
    }
}

#[test]
fn what_is_corrupt_is_not_given_as_good() {
    for size in [10, 3_000_000] {
        let (server, _, descriptor) = with_blob(size, |_| Fault::Corrupt);
        let client = Client::new(&server.host());
        let repository = client.pull();
        let mut given = 0;
        let error = client.registries.wait(async {
            let mut blob = repository.blob(&descriptor);
            loop {
                match blob.next_chunk().await {
                    Ok(chunk) => given += chunk.expect("it has no good end").len(),
                    Err(error) => return error,
                }
            }
        });
        assert!(given < size, "{given}");
        assert!(error.is_wrong_content());
        let text = told(&error);
        assert!(
            text.contains(&descriptor.digest.to_string()) && text.contains(&server.host()),
            "{text}"
        );
    }
}

#[test]
fn a_size_that_is_wrong_is_told() {
    let (server, bytes, descriptor) = with_blob(5000, |_| Fault::None);
    for size in [4999, 5001] {
        let wrong = Descriptor {
            size,
            ..descriptor.clone()
        };
        let error = Client::new(&server.host()).fetch(&wrong).unwrap_err();
        assert!(error.is_wrong_content(), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("5000 bytes and not {size}")),
            "{error}"
        );
    }
    // The same where the length is not told before.
    for (size, length) in [(5000, 6000), (5000, 4000)] {
        let longer = noise(length);
        let server = Faulty::start(move |_| {
            let headers = vec![
                "Content-Length: 4000".to_owned(),
                "Content-Range: bytes 0-3999/5000".to_owned(),
            ];
            Fault::Answer(206, headers, longer[..4000].to_vec())
        });
        let mut descriptor = descriptor.clone();
        descriptor.size = size - 2000;
        let error = Client::new(&server.host()).fetch(&descriptor).unwrap_err();
        assert!(error.is_wrong_content(), "{length}: {error}");
    }
    assert!(Client::new(&server.host()).fetch(&descriptor).unwrap() == bytes);
}

#[test]
fn an_empty_blob_comes() {
    let (server, _, descriptor) = with_blob(0, |_| Fault::None);
    assert_eq!(Client::new(&server.host()).fetch(&descriptor).unwrap(), b"");
}

#[test]
fn mirrors_are_asked_first_and_the_registry_at_last() {
    let digest = Digest::of(MANIFEST);
    for (name, fault) in [
        ("unknown", answer(404, &[], "")),
        ("forbidden", answer(403, &[], "")),
        ("broken", Fault::Hangup),
        ("failing", answer(500, &[], "")),
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

#[test]
fn a_redirection_is_followed_but_not_without_an_end() {
    let (storage, bytes, descriptor) = with_blob(1000, |_| Fault::None);
    let to = format!(
        "Location: http://{}/v2/x/blobs/{}?sig=s3cret",
        storage.host(),
        descriptor.digest
    );
    let server = Faulty::start(move |_| answer(307, &[&to], ""));
    assert!(Client::new(&server.host()).fetch(&descriptor).unwrap() == bytes);
    let round = Faulty::start(|asked| answer(302, &[&format!("Location: {}?", asked.path)], ""));
    let error = Client::new(&round.host()).fetch(&descriptor).unwrap_err();
    assert!(matches!(error, RegistryError::Redirects { .. }), "{error}");
    for to in ["file:///etc/passwd", "http://", "gopher://x/"] {
        let server = Faulty::start(move |_| answer(302, &[&format!("Location: {to}")], ""));
        let error = Client::new(&server.host()).fetch(&descriptor).unwrap_err();
        assert!(
            matches!(error, RegistryError::Protocol { .. }),
            "{to}: {error}"
        );
    }
}

#[test]
fn an_address_that_has_expired_is_asked_for_anew() {
    let (storage, bytes, descriptor) = with_blob(1000, |asked| match asked.number {
        0 => answer(403, &[], "<Error>expired</Error>"),
        _ => Fault::None,
    });
    let to = format!(
        "Location: http://{}/v2/x/blobs/{}",
        storage.host(),
        descriptor.digest
    );
    let server = Faulty::start(move |_| answer(307, &[&to], ""));
    assert!(Client::new(&server.host()).fetch(&descriptor).unwrap() == bytes);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn failures_that_pass_are_waited_for() {
    for status in [429, 500, 502, 503, 504, 408] {
        let (server, client) = with_manifest(move |asked| match asked.before {
            0 => answer(status, &["Retry-After: 0"], ""),
            1 => answer(status, &["Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"], ""),
            _ => Fault::None,
        });
        let manifest = client
            .registries
            .wait(client.pull().manifest(&tag("1")))
            .unwrap();
        assert_eq!(&manifest.bytes[..], MANIFEST);
        assert_eq!(server.asked().len(), 3, "{status}");
    }
}

#[test]
fn failures_that_do_not_pass_are_told() {
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\u001b[2J down"}]}"#;
    let (server, client) = with_manifest(move |_| answer(429, &["Retry-After: 0"], body));
    let error = client
        .registries
        .wait(client.pull().manifest(&tag("1")))
        .unwrap_err();
    let text = told(&error);
    assert!(
        text.contains("429") && text.contains("slow [2J down (TOOMANYREQUESTS)"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && text.contains("try again later"),
        "{text}"
    );
    assert_eq!(server.asked().len(), 5);
    // A refusal is final.
    let (server, client) = with_manifest(|_| answer(403, &[], r#"{"errors":[{"code":"DENIED"}]}"#));
    let error = client
        .registries
        .wait(client.pull().manifest(&tag("1")))
        .unwrap_err();
    assert!(matches!(error, RegistryError::Forbidden { .. }), "{error}");
    let expected = format!("{} denies the manifest app:1: DENIED", server.host());
    assert!(told(&error).starts_with(&expected), "{}", told(&error));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_silent_server_is_not_waited_for_without_an_end() {
    let silence = Duration::from_millis(300);
    let (server, bytes, descriptor) = with_blob(500_000, |asked| match asked.before {
        0 => Fault::Stall(200_000),
        _ => Fault::None,
    });
    let client = Client::patient(&server.host(), Set::default(), silence);
    assert!(client.fetch(&descriptor).unwrap() == bytes);
    assert_eq!(ranges(&server), ["bytes=200000-"]);
    let (server, _, descriptor) = with_blob(500, |_| Fault::Stall(0));
    let client = Client::patient(&server.host(), Set::default(), silence);
    let error = client.fetch(&descriptor).unwrap_err();
    assert!(matches!(error, RegistryError::Silent { .. }), "{error}");
}

#[test]
fn waiting_ends_when_it_is_cancelled() {
    let (server, _, descriptor) = with_blob(500_000, |_| Fault::Stall(1000));
    let client = Client::new(&server.host());
    let cancel = client.cancel.clone();
    let waits = std::thread::spawn(move || {
        while server.asked().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        cancel.cancel();
    });
    assert!(matches!(
        client.fetch(&descriptor),
        Err(RegistryError::Cancelled)
    ));
    waits.join().unwrap();
    let server = Faulty::start(|asked| match asked.method.as_str() {
        "PUT" => Fault::StallUpload(10),
        _ => Fault::None,
    });
    let client = Client::new(&server.host());
    let cancel = client.cancel.clone();
    let waits = std::thread::spawn(move || {
        while !server.lines().iter().any(|line| line.starts_with("PUT")) {
            std::thread::sleep(Duration::from_millis(10));
        }
        cancel.cancel();
    });
    assert!(matches!(
        client.upload(&noise(9 << 20)),
        Err(RegistryError::Cancelled)
    ));
    waits.join().unwrap();
}

#[test]
fn a_manifest_is_what_was_asked_for() {
    let (_server, client) = with_manifest(|_| Fault::Corrupt);
    let repository = client.pull();
    // By a tag, the registry's own word is what it is held to.
    for which in [tag("1"), TagOrDigest::Digest(Digest::of(MANIFEST))] {
        let error = client
            .registries
            .wait(repository.manifest(&which))
            .unwrap_err();
        let text = error.to_string();
        let is_told = error.is_wrong_content() || text.contains("no manifest");
        assert!(is_told && text.contains("app"), "{text}");
    }
    let other = Digest::of(b"other");
    let server = Faulty::start(|_| Fault::None);
    let mut content = server.content.lock().unwrap();
    let manifest = (OCI_MANIFEST.to_owned(), MANIFEST.to_vec());
    content.manifests.insert(other.to_string(), manifest);
    drop(content);
    let client = Client::new(&server.host());
    for error in [
        client
            .registries
            .wait(client.pull().manifest(&TagOrDigest::Digest(other)))
            .map(drop),
        client
            .registries
            .wait(client.pull().resolve(&TagOrDigest::Digest(other)))
            .map(drop),
    ] {
        let error = error.unwrap_err();
        assert!(
            error.is_wrong_content() && error.to_string().contains(&other.to_string()),
            "{error}"
        );
    }
}

#[test]
fn a_manifest_that_is_none_is_refused() {
    let long = format!(
        r#"{{"schemaVersion":2,"manifests":[],"x":"{}"}}"#,
        "x".repeat(4 << 20)
    );
    let deep = "[".repeat(100_000);
    for (media_type, bytes, expected) in [
        (OCI_INDEX, long.as_str(), "longer than 4194304 bytes"),
        (OCI_MANIFEST, deep.as_str(), "is no manifest"),
        (OCI_MANIFEST, "<html>", "is no manifest"),
        (OCI_MANIFEST, "{}", "is no manifest"),
        (
            OCI_MANIFEST,
            r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
            "is no manifest",
        ),
        (
            OCI_INDEX,
            r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
            "is no manifest",
        ),
        (
            OCI_INDEX,
            std::str::from_utf8(MANIFEST).unwrap(),
            "disagree",
        ),
        (
            OCI_MANIFEST,
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            "schema 1",
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "{}",
            "schema 1",
        ),
        (
            "application/json",
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            "schema 1",
        ),
    ] {
        let server = Faulty::start(|_| Fault::None);
        server.put_manifest("1", media_type, bytes.as_bytes());
        let client = Client::new(&server.host());
        let error = client
            .registries
            .wait(client.pull().manifest(&tag("1")))
            .unwrap_err();
        assert!(
            told(&error).contains(expected),
            "{media_type}: {}",
            told(&error)
        );
    }
}

#[test]
fn the_kind_of_a_manifest_is_known_without_a_header() {
    let docker = String::from_utf8(MANIFEST.to_vec())
        .unwrap()
        .replace(OCI_MANIFEST, DOCKER_MANIFEST);
    for (media_type, bytes, expected) in [
        (
            "text/plain; charset=utf-8",
            docker.as_bytes(),
            DOCKER_MANIFEST,
        ),
        (
            "application/json",
            br#"{"schemaVersion":2,"manifests":[]}"#,
            OCI_INDEX,
        ),
        (
            "application/json",
            br#"{"schemaVersion":2,"config":{},"layers":[]}"#,
            OCI_MANIFEST,
        ),
    ] {
        let server = Faulty::start(|_| Fault::None);
        server.put_manifest("1", media_type, bytes);
        let client = Client::new(&server.host());
        let manifest = client
            .registries
            .wait(client.pull().manifest(&tag("1")))
            .unwrap();
        assert_eq!(manifest.descriptor, Descriptor::of(expected, bytes));
        assert_eq!(
            client
                .registries
                .wait(client.pull().resolve(&tag("1")))
                .unwrap(),
            manifest.descriptor
        );
    }
}

#[test]
fn a_registry_without_head_is_asked_by_get() {
    let (server, client) = with_manifest(|asked| match asked.method.as_str() {
        "HEAD" => answer(405, &[], ""),
        _ => Fault::None,
    });
    let found = client
        .registries
        .wait(client.pull().resolve(&tag("1")))
        .unwrap();
    assert_eq!(found, Descriptor::of(OCI_MANIFEST, MANIFEST));
    let accept = server.asked()[1].header("accept").unwrap().to_owned();
    for kind in [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST] {
        assert!(accept.contains(kind), "{accept}");
    }
}

#[test]
fn connections_are_used_again() {
    let (server, client) = with_manifest(|_| Fault::None);
    let repository = client.push();
    client.registries.wait(async {
        for _ in 0..10 {
            repository.resolve(&tag("1")).await.unwrap();
            repository.manifest(&tag("1")).await.unwrap();
            let (bytes, descriptor) = (noise(200_000), Descriptor::of(OCI_LAYER, &noise(200_000)));
            let source = Memory::new(&bytes);
            let digest = descriptor.digest;
            repository
                .upload_blob(&digest, 200_000, &source, &mut |_| {})
                .await
                .unwrap();
            fetch(&repository, &descriptor).await.unwrap();
        }
    });
    assert_eq!((server.connections(), server.asked().len()), (1, 50));
}

#[test]
fn several_go_side_by_side() {
    let (server, client) = with_manifest(|_| Fault::None);
    let blobs: Vec<Vec<u8>> = (1..9).map(|number| noise(number * 100_000)).collect();
    for blob in &blobs {
        server.put_blob(blob);
    }
    let repository = client.pull();
    client.registries.wait(async {
        let all = blobs.iter().map(|blob| {
            let (repository, descriptor) = (repository.clone(), Descriptor::of(OCI_LAYER, blob));
            // What is spawned has to be Send.
            tokio::spawn(async move { fetch(&repository, &descriptor).await })
        });
        for (task, blob) in all.collect::<Vec<_>>().into_iter().zip(&blobs) {
            assert!(task.await.unwrap().unwrap() == *blob);
        }
    });
}

#[test]
fn an_upload_goes_on_where_it_broke() {
    for fault in [Fault::CutUpload(3_000_000), Fault::StallUpload(3_000_000)] {
        let server = Faulty::start(move |asked| match asked.method.as_str() {
            "PUT" if asked.path.contains("state=0") => fault.clone(),
            _ => Fault::None,
        });
        let bytes = noise(10_000_000);
        let silence = Duration::from_millis(700);
        Client::patient(&server.host(), Set::default(), silence)
            .upload(&bytes)
            .unwrap();
        assert!(server.blob(&Digest::of(&bytes)).unwrap() == bytes);
        let asked = server.asked();
        let methods: Vec<&str> = asked.iter().map(|one| one.method.as_str()).collect();
        assert_eq!(methods, ["POST", "PUT", "GET", "PATCH", "PUT"]);
        assert_eq!(asked[3].header("content-range"), Some("3000000-9999999"));
        assert_eq!(asked[3].header("content-length"), Some("7000000"));
        assert_eq!(asked[4].header("content-length"), Some("0"));
    }
}

#[test]
fn an_answer_that_is_lost_costs_no_second_upload() {
    let server = Faulty::start(|asked| match asked.method.as_str() {
        "PUT" => Fault::Mute,
        _ => Fault::None,
    });
    let bytes = noise(100_000);
    Client::new(&server.host()).upload(&bytes).unwrap();
    let methods: Vec<String> = server.asked().into_iter().map(|one| one.method).collect();
    assert_eq!(methods, ["POST", "PUT", "GET", "HEAD"]);
}

#[test]
fn an_upload_that_the_registry_forgot_begins_anew() {
    let server = Faulty::start(|asked| match (asked.method.as_str(), asked.number) {
        ("PUT", 1) => Fault::CutUpload(10),
        ("GET", _) => answer(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
        _ => Fault::None,
    });
    let bytes = noise(1_000_000);
    Client::new(&server.host()).upload(&bytes).unwrap();
    assert!(server.blob(&Digest::of(&bytes)).unwrap() == bytes);
    let methods: Vec<String> = server.asked().into_iter().map(|one| one.method).collect();
    assert_eq!(methods, ["POST", "PUT", "GET", "HEAD", "POST", "PUT"]);
}

#[test]
fn chunks_are_as_long_as_the_registry_asks() {
    const LEAST: u64 = 20 << 20;
    let server = Faulty::start(|asked| match asked.method.as_str() {
        "POST" => Fault::Adding(vec![format!("OCI-Chunk-Min-Length: {LEAST}")]),
        _ => Fault::None,
    });
    let client = Client::new(&server.host());
    let bytes = noise(45 << 20);
    client.upload(&bytes).unwrap();
    assert!(server.blob(&Digest::of(&bytes)).unwrap() == bytes);
    let repository = client.push();
    let source = Memory::new(&bytes);
    client
        .registries
        .wait(repository.upload_stream(&source, &mut |_| {}))
        .unwrap();
    let lengths: Vec<String> = server
        .asked()
        .iter()
        .filter(|one| one.method == "PATCH")
        .map(|one| one.header("content-length").unwrap().to_owned())
        .collect();
    let [first, last] = [LEAST.to_string(), (5 << 20).to_string()];
    let expected = [&first, &first, &last, &first, &first, &last];
    assert_eq!(lengths.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_proxy_that_refuses_long_bodies_gets_shorter_ones() {
    let server = Faulty::start(|asked| {
        let length = asked
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        match length > 5 << 20 {
            true => answer(413, &[], "<html>too large</html>"),
            false => Fault::None,
        }
    });
    let bytes = noise(20 << 20);
    Client::new(&server.host()).upload(&bytes).unwrap();
    assert!(server.blob(&Digest::of(&bytes)).unwrap() == bytes);
    // One that lets nothing through is told.
    let server = Faulty::start(|asked| match asked.header("content-length") {
        None | Some("0") => Fault::None,
        _ => answer(413, &[], ""),
    });
    let error = Client::new(&server.host()).upload(&bytes).unwrap_err();
    assert!(
        told(&error).contains("limits the size of uploads"),
        "{}",
        told(&error)
    );
}

#[test]
fn a_stream_goes_on_where_it_broke() {
    let server =
        Faulty::start(
            |asked| match (asked.method.as_str(), asked.header("content-range")) {
                ("PATCH", Some("16777216-33554431")) => Fault::CutUpload(5_000_000),
                _ => Fault::None,
            },
        );
    let bytes = noise(40 << 20);
    let client = Client::new(&server.host());
    let (repository, source) = (client.push(), Memory::new(&bytes));
    let sent = client
        .registries
        .wait(repository.upload_stream(&source, &mut |_| {}))
        .unwrap();
    assert_eq!(sent, (Digest::of(&bytes), bytes.len() as u64));
    assert!(server.blob(&sent.0).unwrap() == bytes);
    let ranges = server.asked().into_iter();
    let ranges: Vec<String> = ranges
        .filter_map(|one| one.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(
        ranges,
        [
            "0-16777215",
            "16777216-33554431",
            "21777216-38554431",
            "38554432-41943039"
        ]
    );
}

#[test]
fn what_changes_while_it_is_uploaded_is_told() {
    let server = Faulty::start(|_| Fault::None);
    let client = Client::new(&server.host());
    let repository = client.push();
    let (bytes, other) = (noise(1000), Memory::new(&[1; 1000]));
    let digest = Digest::of(&bytes);
    let mut silent = |_| {};
    let upload = repository.upload_blob(&digest, 1000, &other, &mut silent);
    let error = client.registries.wait(upload).unwrap_err();
    assert!(
        matches!(error, RegistryError::Changed { size: 1000, .. }),
        "{error}"
    );
    let short = Memory::new(&bytes[..10]);
    let mut silent = |_| {};
    let upload = repository.upload_blob(&digest, 1000, &short, &mut silent);
    let error = client.registries.wait(upload).unwrap_err();
    assert!(
        matches!(error, RegistryError::Changed { size: 10, .. }),
        "{error}"
    );
    assert!(server.blob(&digest).is_none());
}

#[test]
fn the_right_to_push_is_tried_without_pushing() {
    let server = Faulty::start(|_| Fault::None);
    let client = Client::new(&server.host());
    client.registries.wait(client.push().check_push()).unwrap();
    let methods: Vec<String> = server.asked().into_iter().map(|one| one.method).collect();
    assert_eq!(methods, ["POST", "DELETE"]);
    assert!(server.content.lock().unwrap().uploads.is_empty());
    let server = Faulty::start(|_| answer(403, &[], r#"{"errors":[{"code":"DENIED"}]}"#));
    let client = Client::new(&server.host());
    let error = client
        .registries
        .wait(client.push().check_push())
        .unwrap_err();
    assert!(
        told(&error).contains("denies the right to push to app: DENIED"),
        "{}",
        told(&error)
    );
}

#[test]
fn tags_come_in_pages_which_have_an_end() {
    let page = |next: &'static str, tags: &str| {
        let body = format!(r#"{{"name":"app","tags":{tags}}}"#);
        answer(200, &[&format!("Link: <{next}>; rel=\"next\"")], &body)
    };
    let server = Faulty::start(move |asked| match asked.path.split_once('?').unwrap().1 {
        "n=1000" => page("/v2/app/tags/list?last=b", r#"["a","b"]"#),
        "last=b" => page("?last=c", r#"["c"]"#),
        _ => answer(200, &[], r#"{"tags":null}"#),
    });
    let client = Client::new(&server.host());
    assert_eq!(
        client.registries.wait(client.pull().tags()).unwrap(),
        ["a", "b", "c"]
    );
    for (name, next) in [("itself", "?n=1000"), ("another", "http://example.org/v2/")] {
        let server = Faulty::start(move |_| page(next, r#"["a"]"#));
        let client = Client::new(&server.host());
        let error = client.registries.wait(client.pull().tags()).unwrap_err();
        assert!(
            matches!(error, RegistryError::Protocol { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn referrers_are_listed_by_the_registry_or_by_a_tag() {
    let subject = Digest::of(MANIFEST);
    let one = |kind: &str| {
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":1,"artifactType":"{kind}"}}"#,
            Digest::of(kind.as_bytes())
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{},{}]}}"#,
        one("a/x"),
        one("b/y")
    );
    let copy = index.clone();
    let api = Faulty::start(move |asked| match asked.path.contains("/referrers/") {
        true => answer(200, &[&format!("Content-Type: {OCI_INDEX}")], &copy),
        false => Fault::None,
    });
    let tagged = Faulty::start(|_| Fault::None);
    tagged.put_manifest(&referrers_tag(&subject), OCI_INDEX, index.as_bytes());
    for (server, from_tag) in [(&api, false), (&tagged, true)] {
        let client = Client::new(&server.host());
        let all = client
            .registries
            .wait(client.pull().referrers(&subject, None))
            .unwrap();
        assert_eq!((all.descriptors.len(), all.from_tag), (2, from_tag));
        let some = client
            .registries
            .wait(client.pull().referrers(&subject, Some("b/y")))
            .unwrap();
        assert_eq!(some.descriptors.len(), 1);
        assert_eq!(some.descriptors[0].digest, Digest::of(b"b/y"));
    }
    assert!(
        api.lines()[1].ends_with("?artifactType=b%2Fy"),
        "{:?}",
        api.lines()
    );
}

#[test]
fn a_subject_that_the_registry_has_noted_is_told() {
    let server = Faulty::start(|asked| match asked.method.as_str() {
        "PUT" => Fault::Adding(vec![format!("OCI-Subject: {}", Digest::of(b"x"))]),
        _ => Fault::None,
    });
    let client = Client::new(&server.host());
    let repository = client.repository("app", Access::Push);
    let bytes = Bytes::from_static(MANIFEST);
    let put = client
        .registries
        .wait(repository.put_manifest(&tag("1"), OCI_MANIFEST, bytes));
    assert!(put.unwrap().subject_is_noted);
}
