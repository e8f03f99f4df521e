//! Logins and tokens, against a registry that wants them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use builder::cancel::Cancel;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::media_type::{OCI_LAYER, OCI_MANIFEST};
use remote::registry::credentials::{Credentials, Secret};
use remote::registry::{Access, RegistryError, referrers_tag};
use support::faulty::{Asked, Fault, Faulty, answer};
use support::registry::{Client, Memory, Set, fetch, noise, plain, tag, told};

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
/// `alice:pa:ss`
const ALICE: &str = "Basic YWxpY2U6cGE6c3M=";

fn alice() -> Credentials {
    Credentials::Basic {
        username: "alice".to_owned(),
        password: Secret::new("pa:ss"),
    }
}

fn client(server: &Faulty, login: Credentials) -> Client {
    let logins = vec![("", login)];
    Client::with(
        &server.host(),
        Set {
            logins,
            ..Set::default()
        },
    )
}

fn unauthorized(challenge: &str) -> Fault {
    let header = format!("WWW-Authenticate: {challenge}");
    answer(
        401,
        &[&header],
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#,
    )
}

/// A registry that wants a token of its own server, which says how one is given.
fn with_tokens(
    accepts: impl Fn(&Asked, &str) -> bool + Send + Sync + 'static,
    give: impl Fn(&Asked) -> Fault + Send + Sync + 'static,
) -> Faulty {
    let address = Arc::new(std::sync::OnceLock::new());
    let known = Arc::clone(&address);
    let server = Faulty::start(move |asked| {
        if asked.path.starts_with("/token") {
            return give(asked);
        }
        let token = asked
            .header("authorization")
            .and_then(|text| text.strip_prefix("Bearer "));
        if token.is_some_and(|token| accepts(asked, token)) {
            return Fault::None;
        }
        unauthorized(&format!(
            "Bearer realm=\"http://{}/token?x=1\",service=\"the registry\",scope=\"repository:app:pull\"",
            known.get().unwrap()
        ))
    });
    address.set(server.host()).unwrap();
    server.put_manifest("1", OCI_MANIFEST, MANIFEST);
    server
}

fn token(text: &str) -> Fault {
    answer(
        200,
        &[],
        &format!(r#"{{"token":"{text}","expires_in":300}}"#),
    )
}

fn tokens_asked(server: &Faulty) -> Vec<String> {
    let lines = server.lines().into_iter();
    lines.filter(|line| line.contains("/token")).collect()
}

#[test]
fn a_password_is_sent_to_who_asks_for_it() {
    let server = Faulty::start(|asked| match asked.header("authorization") {
        Some(ALICE) => Fault::None,
        _ => unauthorized("Basic realm=\"x\""),
    });
    server.put_manifest("1", OCI_MANIFEST, MANIFEST);
    let client = client(&server, alice());
    let repository = client.push();
    client
        .registries
        .wait(repository.manifest(&tag("1")))
        .unwrap();
    // From then on it is known.
    client
        .registries
        .wait(repository.manifest(&tag("1")))
        .unwrap();
    client.upload(&noise(1000)).unwrap();
    let sent: Vec<bool> = server
        .asked()
        .iter()
        .map(|one| one.header("authorization").is_some())
        .collect();
    assert_eq!(sent, [false, true, true, true, true]);
}

#[test]
fn a_login_that_is_missing_or_wrong_is_told_and_never_shown() {
    for challenge in ["Basic realm=\"x\"", "Bearer realm=\"REALM\",service=\"s\""] {
        for (login, expected) in [
            (Credentials::Anonymous, "wants a login"),
            (alice(), "does not accept the login"),
            (
                Credentials::RegistryToken(Secret::new("pa:ss")),
                "does not accept the login",
            ),
            (Credentials::IdentityToken(Secret::new("pa:ss")), "login"),
        ] {
            let refuses = Faulty::start(|_| answer(401, &[], r#"{"details":"incorrect"}"#));
            let challenge = challenge.replace("REALM", &format!("http://{}/", refuses.host()));
            let server = Faulty::start(move |_| unauthorized(&challenge));
            let client = client(&server, login.clone());
            let error = client
                .registries
                .wait(client.pull().manifest(&tag("1")))
                .unwrap_err();
            let text = told(&error);
            assert!(text.contains(expected), "{login:?}: {text}");
            assert!(
                text.contains("app") && text.contains(&format!("mkimg login {}", server.host())),
                "{text}"
            );
            let shown = format!("{text}{error:?}{login:?}{:?}", alice());
            assert!(
                !shown.contains("pa:ss") && !shown.contains("YWxp"),
                "{shown}"
            );
            assert!(server.asked().len() <= 2);
        }
    }
}

#[test]
fn a_token_is_had_once_and_used_by_all() {
    let server = with_tokens(|_, token| token == "good", |_| token("good"));
    let client = client(&server, alice());
    let repository = client.pull();
    client.registries.wait(async {
        let all: Vec<_> = (0..8)
            .map(|_| {
                let repository = repository.clone();
                tokio::spawn(async move { repository.manifest(&tag("1")).await })
            })
            .collect();
        for one in all {
            one.await.unwrap().unwrap();
        }
    });
    assert_eq!(
        tokens_asked(&server),
        ["GET /token?x=1&service=the+registry&scope=repository%3Aapp%3Apull&account=alice"]
    );
    let asked = server.asked();
    let asked = asked
        .iter()
        .find(|one| one.path.starts_with("/token"))
        .unwrap();
    assert_eq!(asked.header("authorization"), Some(ALICE));
}

#[test]
fn without_a_login_a_token_is_had_as_well() {
    let server = with_tokens(
        |_, token| token == "free",
        |asked| match asked.header("authorization") {
            None => answer(200, &[], r#"{"access_token":"free"}"#),
            Some(_) => answer(401, &[], ""),
        },
    );
    let client = client(&server, Credentials::Anonymous);
    client
        .registries
        .wait(client.pull().manifest(&tag("1")))
        .unwrap();
}

#[test]
fn an_identity_token_buys_tokens() {
    let server = with_tokens(
        |_, token| token == "bought",
        |asked| match asked.method.as_str() {
            "POST" => answer(200, &[], r#"{"access_token":"bought","expires_in":300}"#),
            _ => answer(404, &[], ""),
        },
    );
    let client = client(&server, Credentials::IdentityToken(Secret::new("id&token")));
    client
        .registries
        .wait(client.push().manifest(&tag("1")))
        .unwrap();
    assert_eq!(
        server.content.lock().unwrap().posted,
        [
            "grant_type=refresh_token&service=the+registry&client_id=mkimg&scope=repository%3Aapp%3Apull%2Cpush&refresh_token=id%26token"
        ]
    );
}

#[test]
fn a_registry_token_is_sent_as_it_is() {
    let server = with_tokens(|_, token| token == "given", |_| answer(500, &[], ""));
    let client = client(&server, Credentials::RegistryToken(Secret::new("given")));
    client
        .registries
        .wait(client.pull().manifest(&tag("1")))
        .unwrap();
    assert!(tokens_asked(&server).is_empty());
}

#[test]
fn a_token_that_is_refused_is_renewed_once() {
    // Each is good for three requests.
    let used = AtomicUsize::new(0);
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let server = with_tokens(
        move |_, token| {
            let is_last = token == format!("t{}", given.load(Ordering::SeqCst));
            is_last && used.fetch_add(1, Ordering::SeqCst) % 4 != 3
        },
        move |_| token(&format!("t{}", count.fetch_add(1, Ordering::SeqCst) + 1)),
    );
    let client = client(&server, alice());
    let repository = client.pull();
    client.registries.wait(async {
        for _ in 0..10 {
            repository.manifest(&tag("1")).await.unwrap();
        }
    });
    assert_eq!(tokens_asked(&server).len(), 4);
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let server = with_tokens(
        |_, token| token == "short",
        |_| answer(200, &[], r#"{"token":"short","expires_in":1}"#),
    );
    let client = client(&server, alice());
    let repository = client.pull();
    client
        .registries
        .wait(repository.manifest(&tag("1")))
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(900));
    client
        .registries
        .wait(repository.manifest(&tag("1")))
        .unwrap();
    let refused = server
        .asked()
        .into_iter()
        .filter(|one| one.path.starts_with("/v2/"));
    // One without a token, and two with a good one: none had to be refused.
    assert_eq!((refused.count(), tokens_asked(&server).len()), (3, 2));
}

#[test]
fn a_token_that_ends_in_the_middle_of_an_upload_is_renewed() {
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let server = with_tokens(
        // The second chunk finds the first token out of date.
        |asked, token| {
            let is_second = asked
                .header("content-range")
                .is_some_and(|range| range.starts_with("16777216-"));
            if is_second {
                token == "t2"
            } else {
                token.starts_with('t')
            }
        },
        move |_| token(&format!("t{}", count.fetch_add(1, Ordering::SeqCst) + 1)),
    );
    let client = client(&server, alice());
    let bytes = noise(40 << 20);
    let (repository, source) = (client.push(), Memory::new(&bytes));
    let sent = client
        .registries
        .wait(repository.upload_stream(&source, &mut |_| {}))
        .unwrap();
    assert!(server.blob(&sent.0).unwrap() == bytes);
    let patches = server
        .asked()
        .into_iter()
        .filter(|one| one.method == "PATCH");
    assert_eq!((patches.count(), given.load(Ordering::SeqCst)), (4, 2));
}

#[test]
fn a_monolithic_upload_that_is_refused_is_sent_with_a_new_token() {
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let server = with_tokens(
        |asked, token| {
            if asked.method == "PUT" {
                token == "t2"
            } else {
                token.starts_with('t')
            }
        },
        move |_| token(&format!("t{}", count.fetch_add(1, Ordering::SeqCst) + 1)),
    );
    let client = client(&server, alice());
    let bytes = noise(5 << 20);
    client.upload(&bytes).unwrap();
    assert!(server.blob(&Digest::of(&bytes)).unwrap() == bytes);
    assert_eq!(given.load(Ordering::SeqCst), 2);
}

#[test]
fn a_mount_asks_for_rights_to_both_repositories() {
    let server = with_tokens(|_, token| token == "good", |_| token("good"));
    let digest = server.put_blob(b"x");
    let client = client(&server, alice());
    assert!(
        client
            .registries
            .wait(client.push().mount_blob(&digest, "base/image"))
            .unwrap()
    );
    let asked = &tokens_asked(&server)[0];
    let scopes = "scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Abase%2Fimage%3Apull";
    assert!(asked.contains(scopes), "{asked}");
}

#[test]
fn a_mount_without_the_right_is_an_upload() {
    let server = with_tokens(
        |asked, token| token == "good" && !asked.path.contains("mount="),
        |_| token("good"),
    );
    let bytes = noise(1000);
    let client = client(&server, alice());
    let repository = client.push();
    let digest = Digest::of(&bytes);
    assert!(
        !client
            .registries
            .wait(repository.mount_blob(&digest, "secret"))
            .unwrap()
    );
    client.upload(&bytes).unwrap();
}

#[test]
fn each_repository_has_its_own_login() {
    let server = Faulty::start(|asked| {
        let expected = if asked.path.contains("/theirs/") {
            "Basic Ym9iOng="
        } else {
            ALICE
        };
        match asked.header("authorization") == Some(expected) {
            true => Fault::None,
            false => unauthorized("Basic realm=\"x\""),
        }
    });
    server.put_manifest("1", OCI_MANIFEST, MANIFEST);
    let bob = Credentials::Basic {
        username: "bob".to_owned(),
        password: Secret::new("x"),
    };
    let logins = vec![("theirs", bob), ("", alice())];
    let client = Client::with(
        &server.host(),
        Set {
            logins,
            ..Set::default()
        },
    );
    for name in ["mine", "theirs"] {
        let repository = client.repository(name, Access::Pull);
        client
            .registries
            .wait(repository.manifest(&tag("1")))
            .unwrap();
    }
}

#[test]
fn a_redirection_elsewhere_has_no_login_with_it() {
    let storage = Faulty::start(|_| Fault::None);
    let bytes = noise(100_000);
    let digest = storage.put_blob(&bytes);
    let to = format!("Location: http://{}/v2/x/blobs/{digest}", storage.host());
    let server = with_tokens(|_, token| token == "good", |_| token("good"));
    // In front of the registry stands one that sends blobs elsewhere.
    let front = {
        let server = server.host();
        Faulty::start(move |asked| match asked.header("authorization") {
            Some(_) => answer(307, &[&to, "Set-Cookie: a=b"], ""),
            None => unauthorized(&format!("Bearer realm=\"http://{server}/token\"")),
        })
    };
    let client = client(&front, alice());
    let descriptor = Descriptor::of(OCI_LAYER, &bytes);
    let repository = client.pull();
    for _ in 0..2 {
        assert!(
            client
                .registries
                .wait(fetch(&repository, &descriptor))
                .unwrap()
                == bytes
        );
    }
    assert_eq!(storage.asked().len(), 2);
    for asked in storage.asked() {
        let sent: Vec<&str> = asked.headers.keys().map(String::as_str).collect();
        assert_eq!(sent, ["accept", "host", "user-agent"]);
    }
}

#[test]
fn an_upload_that_is_sent_elsewhere_has_no_login_with_it() {
    let storage = Faulty::start(|_| Fault::None);
    storage
        .content
        .lock()
        .unwrap()
        .uploads
        .insert("there".to_owned(), Vec::new());
    let to = format!(
        "Location: http://user:pw@{}/v2/x/blobs/uploads/there?sig=1",
        storage.host()
    );
    let server = with_tokens(|_, token| token == "good", |_| token("good"));
    let front = {
        let server = server.host();
        Faulty::start(move |asked| match asked.header("authorization") {
            Some(_) => answer(202, &[&to], ""),
            None => unauthorized(&format!("Bearer realm=\"http://{server}/token\"")),
        })
    };
    let bytes = noise(100_000);
    client(&front, alice()).upload(&bytes).unwrap();
    assert!(storage.blob(&Digest::of(&bytes)).unwrap() == bytes);
    assert!(
        storage
            .asked()
            .iter()
            .all(|one| one.header("authorization").is_none())
    );
}

#[test]
fn a_token_server_may_fail_for_a_while() {
    let server = with_tokens(
        |_, token| token == "good",
        |asked| match asked.before {
            0 => answer(503, &["Retry-After: 0"], ""),
            1 => Fault::Hangup,
            _ => token("good"),
        },
    );
    let client = client(&server, alice());
    client
        .registries
        .wait(client.pull().manifest(&tag("1")))
        .unwrap();
    for (fault, expected) in [
        (answer(200, &[], "<html>"), "its token server gives none"),
        (
            answer(200, &[], r#"{"token":""}"#),
            "its token server gives none",
        ),
        (
            answer(200, &[], r#"{"token":"a\nb"}"#),
            "cannot stand in a header",
        ),
        (
            answer(403, &[], r#"{"details":"banned"}"#),
            "denies the token for app: banned",
        ),
    ] {
        let server = with_tokens(|_, _| false, move |_| fault.clone());
        let client = self::client(&server, alice());
        let error = client
            .registries
            .wait(client.pull().manifest(&tag("1")))
            .unwrap_err();
        assert!(told(&error).contains(expected), "{}", told(&error));
    }
}

#[test]
fn a_login_is_tried_and_an_identity_token_kept() {
    let server = with_tokens(
        |_, token| token == "good",
        |asked| match (
            asked.header("authorization"),
            asked.path.contains("offline_token=true"),
        ) {
            (Some(ALICE), true) => answer(200, &[], r#"{"token":"good","refresh_token":"id"}"#),
            (Some(ALICE), false) => token("good"),
            _ => answer(401, &[], r#"{"details":"incorrect username or password"}"#),
        },
    );
    let client = Client::new(&server.host());
    let endpoint = plain(&server.host(), "");
    let cancel = Cancel::new();
    let log_in = |login: Credentials| {
        client
            .registries
            .wait(async { client.registries.log_in(&endpoint, &login, &cancel).await })
    };
    assert_eq!(log_in(alice()).unwrap(), Some(Secret::new("id")));
    let wrong = Credentials::Basic {
        username: "alice".to_owned(),
        password: Secret::new("wrong"),
    };
    let error = log_in(wrong).unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Unauthorized {
                logged_in: true,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        told(&error).contains("incorrect username or password"),
        "{}",
        told(&error)
    );
    let basic = Faulty::start(|asked| match asked.header("authorization") {
        Some(ALICE) => Fault::None,
        _ => unauthorized("Basic realm=x"),
    });
    let endpoint = plain(&basic.host(), "");
    let tried = client
        .registries
        .wait(client.registries.log_in(&endpoint, &alice(), &cancel));
    assert_eq!(tried.unwrap(), None);
}

#[test]
fn what_stands_in_for_the_list_of_referrers_wants_the_same_login() {
    let server = with_tokens(|_, token| token == "good", |_| token("good"));
    let subject = Digest::of(MANIFEST);
    let index = br#"{"schemaVersion":2,"manifests":[]}"#;
    server.put_manifest(
        &referrers_tag(&subject),
        image_format::media_type::OCI_INDEX,
        index,
    );
    let client = client(&server, alice());
    let found = client
        .registries
        .wait(client.pull().referrers(&subject, None))
        .unwrap();
    assert!(found.from_tag && found.descriptors.is_empty());
}

#[test]
fn an_identity_token_does_not_go_elsewhere() {
    let thief = Faulty::start(|_| token("good"));
    let to = format!("Location: http://{}/token", thief.host());
    let server = with_tokens(|_, token| token == "good", move |_| answer(307, &[&to], ""));
    let client = client(&server, Credentials::IdentityToken(Secret::new("id")));
    let error = client
        .registries
        .wait(client.pull().manifest(&tag("1")))
        .unwrap_err();
    assert!(told(&error).contains("307"), "{}", told(&error));
    assert!(thief.asked().is_empty());
}

#[test]
fn a_token_is_good_for_as_long_as_is_sane() {
    for life in ["18446744073709551615", "-1", "\"60\"", "0", "1e99", "null"] {
        let given = format!(r#"{{"token":"good","expires_in":{life}}}"#);
        let server = with_tokens(
            |_, token| token == "good",
            move |_| answer(200, &[], &given),
        );
        let client = client(&server, alice());
        client
            .registries
            .wait(client.pull().manifest(&tag("1")))
            .unwrap();
    }
}
