use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::places::RegistriesPlaces;
use super::*;
use crate::registry::credentials::Secret;
use crate::registry::endpoint::Serves;

/// Settings in a directory that has these files.
fn place(files: &[(&str, &str)]) -> (tempfile::TempDir, UserSettings) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let at = |name: &str| dir.path().join(name);
    let places = Places {
        auth_file: None,
        docker_config: Some(at("docker.json")),
        auth_files: vec![at("runtime.json"), at("own.json")],
        registries: RegistriesPlaces {
            machine: at("registries.conf"),
            machine_drop_ins: at("registries.conf.d"),
            ..RegistriesPlaces::default()
        },
        certificates: vec![at("certs.d")],
    };
    let settings = UserSettings::new(places);
    (dir, settings)
}

fn basic(username: &str) -> Credentials {
    Credentials::Basic {
        username: username.to_owned(),
        password: Secret::new("p"),
    }
}

/// `{"auths": {name: user with the password p}}`.
fn auths(logins: &[(&str, &str)]) -> String {
    let entries = logins.iter().map(|(name, user)| {
        let entry = serde_json::json!({"username": user, "password": "p"});
        ((*name).to_owned(), entry)
    });
    let entries: serde_json::Map<_, _> = entries.collect();
    serde_json::json!({ "auths": entries }).to_string()
}

#[test]
fn dockers_file_counts_before_podmans() {
    let (dir, settings) = place(&[
        ("docker.json", &auths(&[("h", "docker")])),
        (
            "runtime.json",
            &auths(&[("h/a", "runtime"), ("r", "runtime")]),
        ),
        ("own.json", &auths(&[("r", "own"), ("o", "own")])),
        ("chosen.json", &auths(&[("o", "chosen")])),
    ]);
    let login = |host| settings.login(host, "a/b").unwrap();
    assert_eq!(login("h"), basic("docker"));
    assert_eq!(login("r"), basic("runtime"));
    assert_eq!(login("o"), basic("own"));
    assert_eq!(login("none"), Credentials::Anonymous);
    let chosen = settings.with_auth_file(Some(&dir.path().join("chosen.json")));
    assert_eq!(chosen.login("o", "a").unwrap(), basic("chosen"));
    assert_eq!(chosen.login("h", "a").unwrap(), Credentials::Anonymous);
}

#[test]
fn a_file_that_cannot_be_understood_is_told_and_not_passed_over() {
    let (_dir, settings) = place(&[("docker.json", "{"), ("own.json", &auths(&[("h", "own")]))]);
    let error = settings.login("h", "x").unwrap_err().to_string();
    assert!(error.contains("docker.json:1:"), "{error}");
}

#[test]
fn a_program_that_is_not_there_says_who_wants_it() {
    let text = r#"{"credHelpers": {"h": "none-of-mkimgs-tests", "g": "../x"}}"#;
    let (_dir, settings) = place(&[("docker.json", text)]);
    let error = settings.login("h", "x").unwrap_err();
    assert_eq!(error.to_string(), "cannot get the login for h");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        source,
        "there is no program docker-credential-none-of-mkimgs-tests"
    );
    assert!(error.hint().unwrap().contains("docker.json"));
    let error = settings.login("g", "x").unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "\"../x\" is no name of a program");
    // Others are not held up.
    assert_eq!(
        settings.login("other", "x").unwrap(),
        Credentials::Anonymous
    );
}

#[test]
fn hosts_are_spoken_to_as_is_set_for_them() {
    let conf = "[[registry]]\nlocation = 'lax.example'\ninsecure = true\n\
                [[registry]]\nprefix = 'far.example'\nlocation = 'far.example'\n\
                [[registry.mirror]]\nlocation = 'lax.example/far'\npull-from-mirror = 'digest-only'\n\
                [[registry.mirror]]\nlocation = 'near.example'\n";
    let files = [
        ("registries.conf", conf),
        (
            "certs.d/near.example/ca.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
    ];
    let shown = |settings: &UserSettings, name: &str, access| {
        let endpoints = settings.endpoints(&name.parse().unwrap(), access);
        let shown = endpoints.unwrap().into_iter().map(|endpoint| {
            (
                format!("{}/{}", endpoint.host, endpoint.repository),
                endpoint.transport,
                (endpoint.tls.accepts_any, endpoint.tls.roots.len()),
                endpoint.serves,
            )
        });
        shown.collect::<Vec<_>>()
    };
    use Transport::{Https, HttpsElseHttp};
    let (_dir, settings) = place(&files);
    let one =
        |name: &str, transport, any| vec![(name.to_owned(), transport, (any, 0), Serves::All)];
    let pull = |name| shown(&settings, name, Access::Pull);
    assert_eq!(pull("x.example/a"), one("x.example/a", Https, false));
    assert_eq!(
        pull("lax.example/a"),
        one("lax.example/a", HttpsElseHttp, true)
    );
    assert_eq!(
        pull("localhost:5000/a"),
        one("localhost:5000/a", HttpsElseHttp, false)
    );
    assert_eq!(
        pull("far.example/a"),
        [
            (
                "lax.example/far/a".to_owned(),
                HttpsElseHttp,
                (true, 0),
                Serves::Digests
            ),
            ("near.example/a".to_owned(), Https, (false, 1), Serves::All),
            ("far.example/a".to_owned(), Https, (false, 0), Serves::All),
        ]
    );
    let pushed = shown(&settings, "far.example/a", Access::Push);
    assert_eq!(pushed, one("far.example/a", Https, false));

    let (_dir, settings) = place(&files);
    let strict = settings.with_tls_verify(Some(true));
    for name in ["lax.example/a", "localhost:5000/a"] {
        assert_eq!(shown(&strict, name, Access::Pull), one(name, Https, false));
    }
    let (_dir, settings) = place(&files);
    let lax = settings.with_tls_verify(Some(false));
    assert_eq!(
        shown(&lax, "x.example/a", Access::Pull),
        one("x.example/a", HttpsElseHttp, true)
    );
}

#[test]
fn what_is_blocked_is_not_spoken_to() {
    let conf = "[[registry]]\nlocation = 'bad.example'\nblocked = true\n\
                [[registry]]\nlocation = 'good.example'\n\
                [[registry.mirror]]\nlocation = 'bad.example/x'\n";
    let (_dir, settings) = place(&[("registries.conf", conf)]);
    let endpoints = |name: &str, access| settings.endpoints(&name.parse().unwrap(), access);
    for access in [Access::Pull, Access::Push] {
        let error = endpoints("bad.example/a:1", access)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the registry bad.example is blocked by "),
            "{error}"
        );
        assert!(error.ends_with("registries.conf"), "{error}");
    }
    assert!(endpoints("good.example/a", Access::Pull).is_err());
    assert!(endpoints("good.example/a", Access::Push).is_ok());
    let target = LoginTarget::new("bad.example");
    assert!(settings.login_endpoint(&target).is_err());
}

#[test]
fn a_login_is_kept_where_docker_keeps_it() {
    let (dir, settings) = place(&[]);
    let target = LoginTarget::new("docker.io");
    let secret = Secret::new("p");
    let keeper = settings.keep(&target, "u", &secret, None).unwrap();
    let path = dir.path().join("docker.json");
    assert_eq!(keeper, Keeper::File(path.clone()));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"https://index.docker.io/v1/\""), "{text}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(settings.kept(&target).unwrap(), Some(basic("u")));
    let part = LoginTarget::new("h/part");
    let error = settings.keep(&part, "u", &secret, None).unwrap_err();
    assert!(error.hint().unwrap().contains("--authfile"), "{error}");
    let forgotten = settings.forget(&target).unwrap();
    assert_eq!((forgotten.was_there, forgotten.left), (true, None));
    assert!(!settings.forget(&target).unwrap().was_there);

    let own = dir.path().join("own.json");
    fs::write(&own, auths(&[("docker.io", "x")])).unwrap();
    assert_eq!(settings.forget(&target).unwrap().left, Some(own.clone()));
    let chosen = settings.with_auth_file(Some(&own));
    chosen.keep(&part, "v", &secret, None).unwrap();
    assert_eq!(chosen.login("h", "part/x").unwrap(), basic("v"));
    assert_eq!(chosen.login("h", "x").unwrap(), Credentials::Anonymous);
    assert_eq!(chosen.login("docker.io", "x").unwrap(), basic("x"));
}
