//! Files over HTTP, from a server that does whatever can go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use builder::cancel::Cancel;
use builder::remote::{Remote, RemoteError};
use image_format::digest::Digest;
use support::servers::{Reply, Server, raw, reply};
use support::{Place, content, words};

const DATE: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn a_file_comes_with_all_that_is_known_of_it() {
    let disposition = "Content-Disposition: attachment; filename=\"../x/na me.tar\"";
    let server = Server::start(move |_, _| reply("200 OK", &[DATE, disposition], b"hello"));
    let place = Place::new();
    let mut told = Vec::new();
    let mut progress = |bytes, total| told.push((bytes, total));
    let url = server.url("/a/b.tar?c=d");
    let file = place
        .network
        .http(&url, &mut progress, &Cancel::new())
        .unwrap();
    assert_eq!(content(&file.path), b"hello");
    assert_eq!((file.digest, file.size), (Digest::of(b"hello"), 5));
    assert_eq!(
        (file.name.as_str(), file.modified),
        ("na me.tar", Some(784_111_777))
    );
    assert_eq!((told.first(), told.last()), (Some(&(0, 5)), Some(&(5, 5))));
    assert!(
        server.seen()[0]
            .header("user-agent")
            .unwrap()
            .starts_with("mkimg/")
    );
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let server = Server::start(|number, request| {
        let known = request.header("if-none-match") == Some("\"1\"");
        match number {
            0 | 3 => reply("200 OK", &["ETag: \"1\"", DATE], b"one"),
            _ if number < 4 && known => raw("304 Not Modified", &[], b""),
            _ => reply("200 OK", &["ETag: \"2\""], b"two"),
        }
    });
    let url = server.url("/x");
    let place = Place::new();
    let first = place.fetch(&url).unwrap();
    assert_eq!(place.fetch(&url).unwrap(), first);
    // Another process, later.
    let other = remote::Network::new(&place.store);
    let again = other.http(&url, &mut |_, _| {}, &Cancel::new()).unwrap();
    assert_eq!(again, first);
    assert_eq!(
        server.seen()[2].header("if-modified-since"),
        Some(&DATE[15..])
    );
    // Damaged, it is asked for without a condition.
    std::fs::write(&first.path, "x").unwrap();
    assert_eq!(content(&place.fetch(&url).unwrap().path), b"one");
    assert_eq!(server.seen()[3].header("if-none-match"), None);
    // Changed, it is another file; who has the first keeps it.
    let second = place.fetch(&url).unwrap();
    assert_eq!(
        (content(&second.path), content(&first.path)),
        (b"two".to_vec(), b"one".to_vec())
    );
}

#[test]
fn unused_files_go_and_used_ones_stay() {
    let server = Server::start(|_, request| reply("200 OK", &[], request.path.as_bytes()));
    let place = Place::new();
    let used = place.fetch(&server.url("/used")).unwrap();
    {
        let other = remote::Network::new(&place.store);
        other
            .http(&server.url("/unused"), &mut |_, _| {}, &Cancel::new())
            .unwrap();
    }
    let kept = remote::kept::Kept::new(&place.store);
    assert_eq!(
        kept.remove_unused(Duration::from_secs(60)).unwrap().count,
        0
    );
    assert_eq!(kept.remove_unused(Duration::ZERO).unwrap().count, 1);
    assert_eq!((place.kept(), content(&used.path)), (1, b"/used".to_vec()));
    // After a month the next new file takes it along.
    drop(place.network);
    let month = SystemTime::now() - Duration::from_secs(31 * 24 * 60 * 60);
    let urls = place.store.root().join("cache/v1/downloads/urls");
    for entry in std::fs::read_dir(urls).unwrap() {
        let file = std::fs::File::open(entry.unwrap().path()).unwrap();
        file.set_modified(month).unwrap();
    }
    let network = remote::Network::new(&place.store);
    let new = network
        .http(&server.url("/new"), &mut |_, _| {}, &Cancel::new())
        .unwrap();
    assert!(!used.path.exists() && new.path.exists());
}

/// Cuts the body of each answer short after some bytes.
fn cutting(etag: &'static str, ranges: bool, every: usize) -> (Server, Vec<u8>) {
    let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let whole = body.clone();
    let server = Server::start(move |_, request| {
        let from = request.range().filter(|_| ranges).unwrap_or(0);
        let to = (from + every).min(body.len());
        let (length, of) = (format!("Content-Length: {}", body.len() - from), body.len());
        let range = format!("Content-Range: bytes {from}-{}/{of}", of - 1);
        match from {
            0 => raw("200 OK", &[etag, &length], &body[..to]),
            _ => raw(
                "206 Partial Content",
                &[etag, &length, &range],
                &body[from..to],
            ),
        }
    });
    (server, whole)
}

#[test]
fn a_transfer_goes_on_where_it_broke() {
    // More often than failures in a row are suffered, but each got further.
    let (server, whole) = cutting("ETag: \"x\"", true, 50_000);
    let place = Place::new();
    let file = place.fetch(&server.url("/x")).unwrap();
    assert!(content(&file.path) == whole);
    assert_eq!(file.digest, Digest::of(&whole));
    let seen = server.seen();
    assert_eq!(seen.len(), 8);
    assert!(
        seen[1..]
            .iter()
            .all(|request| request.header("if-range") == Some("\"x\""))
    );
}

#[test]
fn a_transfer_that_never_gets_further_fails() {
    for (etag, ranges) in [("ETag: W/\"x\"", true), ("ETag: \"x\"", false)] {
        let (server, _) = cutting(etag, ranges, 50_000);
        let place = Place::new();
        let failed = words(&place.fetch(&server.url("/x")).unwrap_err());
        assert!(failed.contains("the connection broke"), "{failed}");
        assert!(server.seen().len() <= 6);
        assert_eq!(place.kept(), 0);
    }
}

#[test]
fn a_file_that_changed_in_between_comes_anew() {
    let server = Server::start(|number, request| match number {
        0 => raw("200 OK", &["ETag: \"1\"", "Content-Length: 6"], b"one"),
        // The condition does not hold any more.
        _ if request.header("if-range") == Some("\"1\"") => {
            reply("200 OK", &["ETag: \"2\""], b"second")
        }
        _ => reply("500 Test", &[], b""),
    });
    let place = Place::new();
    assert_eq!(
        content(&place.fetch(&server.url("/x")).unwrap().path),
        b"second"
    );
    // A part that is not the one that was asked for.
    let server = Server::start(|number, _| match number {
        0 => raw("200 OK", &["ETag: \"1\"", "Content-Length: 6"], b"one"),
        1 => reply(
            "206 Partial Content",
            &["Content-Range: bytes 1-5/6"],
            b"wrong",
        ),
        _ => reply("200 OK", &["ETag: \"1\""], b"onetwo"),
    });
    assert_eq!(
        content(&place.fetch(&server.url("/y")).unwrap().path),
        b"onetwo"
    );
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    for (status, header) in [
        ("503 Busy", "X: y"),
        ("500 Oops", "X: y"),
        ("429 Slow", "Retry-After: 1"),
    ] {
        let server = Server::start(move |number, _| match number {
            0 => reply(status, &[header], b""),
            _ => reply("200 OK", &[], b"x"),
        });
        let begun = std::time::Instant::now();
        Place::new().fetch(&server.url("/x")).unwrap();
        assert_eq!(server.seen().len(), 2, "{status}");
        assert!(status != "429 Slow" || begun.elapsed() >= Duration::from_secs(1));
    }
    for (status, hint) in [
        ("404 Gone Fishing", "there is nothing at this address"),
        ("403 No", "the server wants a login"),
        ("501 What", ""),
    ] {
        let server = Server::start(move |_, _| reply(status, &[], b""));
        let failed = words(&Place::new().fetch(&server.url("/x")).unwrap_err());
        assert!(
            failed.contains(&status[..3]) && failed.contains(hint),
            "{failed}"
        );
        assert_eq!(server.seen().len(), 1, "{status}");
    }
    let server = Server::start(|_, _| reply("500 Always", &[], b""));
    let failed = words(&Place::new().fetch(&server.url("/x")).unwrap_err());
    assert!(failed.contains("the server answers 500"), "{failed}");
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn a_login_goes_to_its_host_alone_and_is_not_shown() {
    let target = Server::start(|_, _| reply("200 OK", &[], b"x"));
    let location = format!("Location: {}", target.url("/x"));
    let first = Server::start(move |_, _| reply("302 Found", &[&location], b""));
    let url = first.url("/x").replace("//", "//me:secret@");
    Place::new().fetch(&url).unwrap();
    assert_eq!(
        first.seen()[0].header("authorization"),
        Some("Basic bWU6c2VjcmV0")
    );
    assert_eq!(target.seen()[0].header("authorization"), None);
    let circle = Server::start(|_, _| reply("302 Found", &["Location: /x"], b""));
    let url = circle.url("/x").replace("//", "//me:secret@");
    let failed = words(&Place::new().fetch(&url).unwrap_err());
    assert!(
        failed.contains("without an end") && !failed.contains("secret"),
        "{failed}"
    );
    assert!(circle.seen().len() <= 12);
}

#[test]
fn a_silent_server_does_not_hold_up_who_cancels() {
    let server = Server::start(|_, _| Reply {
        hangs: true,
        ..raw("200 OK", &["Content-Length: 9"], b"a")
    });
    let cancel = Cancel::new();
    let place = Place::new();
    let mut progress = |bytes, _| {
        if bytes > 0 {
            cancel.cancel();
        }
    };
    let failed = place
        .network
        .http(&server.url("/x"), &mut progress, &cancel);
    assert!(matches!(failed, Err(RemoteError::Cancelled)), "{failed:?}");
    assert_eq!(place.kept(), 0);
}

#[test]
fn what_is_no_address_says_so() {
    let place = Place::new();
    for (url, expected) in [
        (
            "ftp://h/x",
            "ftp is a protocol that files are not fetched by",
        ),
        ("x", "no address of the web"),
        (
            "http://127.0.0.1:1/",
            "cannot connect: Connection refused (os error 111) [check host and port",
        ),
    ] {
        let failed = words(&place.fetch(url).unwrap_err());
        assert!(failed.contains(expected), "{failed}");
    }
}

/// Runs one test of this file again, in a process with other variables.
fn again(test: &str, variables: &[(&str, &str)]) -> std::process::Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

/// What a process that is run again fetches, and says of it.
fn fetch_again() -> bool {
    let Ok(url) = std::env::var("FETCH_AGAIN") else {
        return false;
    };
    match Place::new().fetch(&url) {
        Ok(file) => println!(
            "fetched {}",
            String::from_utf8(content(&file.path)).unwrap()
        ),
        Err(error) => println!("failed {}", words(&error)),
    }
    true
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    if fetch_again() {
        return;
    }
    let proxy = Server::start(|_, request| reply("200 OK", &[], request.path.as_bytes()));
    let test = "the_proxy_of_the_environment_is_used";
    let url = ("FETCH_AGAIN", "http://example.invalid/x");
    let proxied = proxy.url("").replace("//", "//me:secret@");
    let output = again(test, &[url, ("HTTP_PROXY", &proxied)]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("fetched http://example.invalid/x"), "{text}");
    let login = proxy.seen()[0]
        .header("proxy-authorization")
        .map(str::to_owned);
    assert_eq!(login.as_deref(), Some("Basic bWU6c2VjcmV0"));
    let own = Server::start(|_, _| reply("200 OK", &[], b"direct"));
    let (own, proxy) = (own.url("/"), proxy.url(""));
    let variables = [
        ("FETCH_AGAIN", own.as_str()),
        ("HTTP_PROXY", &proxy),
        ("NO_PROXY", "127.0.0.1"),
    ];
    let text = String::from_utf8(again(test, &variables).stdout).unwrap();
    assert!(text.contains("fetched direct"), "{text}");
}

#[test]
fn only_trusted_certificates_are_taken() {
    if fetch_again() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key",
            "-out",
            "cert",
        ])
        .current_dir(dir.path())
        .output()
        .expect("openssl: tests/install installs it");
    assert!(made.status.success(), "{made:?}");
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let cert = CertificateDer::from_pem_file(dir.path().join("cert")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.path().join("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |stream| -> Box<dyn support::servers::Stream> {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        Box::new(rustls::StreamOwned::new(connection, stream))
    };
    let server = Server::wrapped(wrap, |_, _| reply("200 OK", &[], b"safe"));
    let url = format!("https://localhost:{}/x", server.address.port());
    let test = "only_trusted_certificates_are_taken";
    let own = dir.path().join("cert");
    let variables = [
        ("FETCH_AGAIN", url.as_str()),
        ("SSL_CERT_FILE", own.to_str().unwrap()),
    ];
    let text = String::from_utf8(again(test, &variables).stdout).unwrap();
    assert!(text.contains("fetched safe"), "{text}");
    let text = String::from_utf8(again(test, &variables[..1]).stdout).unwrap();
    assert!(
        text.contains("does not trust the server's certificate"),
        "{text}"
    );
    // Where there are no certificates, plain HTTP goes all the same.
    let plain = Server::start(|_, _| reply("200 OK", &[], b"plain"));
    let plain = plain.url("/");
    let nothing = [
        ("SSL_CERT_DIR", "/nonexistent"),
        ("FETCH_AGAIN", plain.as_str()),
    ];
    let text = String::from_utf8(again(test, &nothing).stdout).unwrap();
    assert!(text.contains("fetched plain"), "{text}");
}
