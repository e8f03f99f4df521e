//! Uploads to a registry that does whatever can go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use image_format::digest::Digest;
use image_format::media_type::OCI_MANIFEST;
use remote::registry::{Access, RegistryError, Source};
use support::faulty::{Fault, Faulty, answer};
use support::registry::{Client, MANIFEST, Memory, Set, noise, tag, told};

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

#[test]
fn a_registry_that_takes_nothing_is_not_given_it_without_an_end() {
    let server = Faulty::start(|asked| match asked.method.as_str() {
        "POST" => Fault::Adding(vec!["OCI-Chunk-Min-Length: 1000".to_owned()]),
        "PATCH" => answer(202, &["Range: 0-0"], ""),
        _ => Fault::None,
    });
    let error = Client::new(&server.host())
        .upload(&noise(17 << 20))
        .unwrap_err();
    assert!(matches!(error, RegistryError::Short { .. }), "{error}");
    assert_eq!(
        server
            .lines()
            .iter()
            .filter(|line| line.starts_with("PATCH"))
            .count(),
        5
    );
}

#[test]
fn a_chunk_that_would_be_longer_than_all_there_is_is_the_whole() {
    let server = Faulty::start(|asked| match asked.method.as_str() {
        "POST" => Fault::Adding(vec![format!("OCI-Chunk-Min-Length: {}", u64::MAX)]),
        _ => Fault::None,
    });
    let client = Client::new(&server.host());
    let (repository, bytes) = (client.push(), noise(100_000));
    let source = Memory::new(&bytes);
    client
        .registries
        .wait(repository.upload_stream(&source, &mut |_| {}))
        .unwrap();
    client.upload(&bytes).unwrap();
    assert!(server.blob(&Digest::of(&bytes)).unwrap() == bytes);
}

/// A source that is slow to begin.
struct Slow(Memory);

impl Source for Slow {
    async fn read_at(&self, offset: u64) -> std::io::Result<bytes::Bytes> {
        if offset == 0 {
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        self.0.read_at(offset).await
    }
}

#[test]
fn a_slow_source_is_not_a_silent_server() {
    let server = Faulty::start(|_| Fault::None);
    let silence = Duration::from_millis(700);
    let client = Client::patient(&server.host(), Set::default(), silence);
    let (repository, bytes) = (client.push(), noise(300_000));
    let (digest, source) = (Digest::of(&bytes), Slow(Memory::new(&bytes)));
    let mut silent = |_| {};
    let upload = repository.upload_blob(&digest, 300_000, &source, &mut silent);
    client.registries.wait(upload).unwrap();
    assert_eq!(server.asked().len(), 2);
}
