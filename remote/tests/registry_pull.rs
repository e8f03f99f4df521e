//! Manifests and blobs from a registry that does whatever can go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use remote::registry::{RegistryError, TagOrDigest};
use support::faulty::{Fault, Faulty, answer};
use support::registry::{
    Client, MANIFEST, Memory, Set, fetch, noise, ranges, tag, told, with_blob, with_manifest,
};

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
fn a_server_that_misunderstands_ranges_sends_the_whole() {
    for (status, range) in [
        (416, "bytes */1000"),
        (206, "bytes 900000-999999/1000000"),
        (206, "x"),
    ] {
        let (server, bytes, descriptor) = with_blob(1_000_000, move |asked| match asked.before {
            0 => Fault::Cut(400_000),
            _ if asked.header("range").is_some() => {
                let headers = vec![format!("Content-Range: {range}")];
                Fault::Answer(status, headers, noise(100_000))
            }
            _ => Fault::None,
        });
        assert!(
            Client::new(&server.host()).fetch(&descriptor).unwrap() == bytes,
            "{range}"
        );
        assert_eq!(
            (ranges(&server).len(), server.asked().len()),
            (1, 3),
            "{range}"
        );
    }
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
fn a_slow_server_may_take_as_long_as_something_comes() {
    let (server, bytes, descriptor) = with_blob(100_000, |_| Fault::Drip(30));
    let silence = Duration::from_millis(1500);
    let client = Client::patient(&server.host(), Set::default(), silence);
    assert!(client.fetch(&descriptor).unwrap() == bytes);
    assert_eq!(server.asked().len(), 1);
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
fn threads_may_each_wait() {
    let (server, bytes, descriptor) = with_blob(2_000_000, |_| Fault::None);
    let client = Client::new(&server.host());
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| client.fetch(&descriptor).unwrap()))
            .collect();
        for one in all {
            assert!(one.join().unwrap() == bytes);
        }
    });
}
