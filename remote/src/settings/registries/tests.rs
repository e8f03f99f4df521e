use super::*;

fn parse(text: &str) -> Result<RegistriesConf, RegistriesError> {
    let by = Path::new("registries.conf");
    let mut conf = RegistriesConf::default();
    conf.add(ConfFile::parse(text, by)?, by);
    Ok(conf)
}

/// The places by `host/repository`, with `!` for insecure ones, `#` for digests alone, `:` for tags.
fn places(conf: &RegistriesConf, name: &str, access: Access) -> Vec<String> {
    let places = conf.places(&name.parse().unwrap(), access).unwrap();
    let shown = places.into_iter().map(|place| {
        let insecure = if place.insecure { "!" } else { "" };
        let serves = match place.serves {
            Serves::All => "",
            Serves::Digests => "#",
            Serves::Tags => ":",
        };
        format!("{insecure}{serves}{}/{}", place.host, place.repository)
    });
    shown.collect()
}

const CONF: &str = r#"
unqualified-search-registries = ["example.com"]
short-name-mode = "enforcing"
future = { setting = 1 }

[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "mirror.example:5000"
insecure = true
[[registry.mirror]]
location = "cache.example/hub/"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "docker.io/own"
location = "own.example/x"
insecure = true

[[registry]]
location = "digests.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "cache.example"

[[registry]]
location = "cache.example"
insecure = true

[[registry]]
prefix = "*.wild.example"
blocked = true

[[registry]]
prefix = "ok.wild.example"

[aliases]
"tool" = "tools.example/the/tool"
"ns/x" = "docker.io/library/y"
"#;

#[test]
fn an_image_is_asked_for_where_the_file_says() {
    let conf = parse(CONF).unwrap();
    for (name, expected) in [
        (
            "debian:12",
            &[
                "!mirror.example:5000/library/debian",
                "!:cache.example/hub/library/debian",
                "docker.io/library/debian",
            ][..],
        ),
        ("own/a/b", &["!own.example/x/a/b"]),
        (
            "ownother/a",
            &[
                "!mirror.example:5000/ownother/a",
                "!:cache.example/hub/ownother/a",
                "docker.io/ownother/a",
            ],
        ),
        (
            "digests.example/a",
            &["!#cache.example/a", "digests.example/a"],
        ),
        ("other.example/a", &["other.example/a"]),
        ("digests.example:5000/a", &["digests.example:5000/a"]),
    ] {
        assert_eq!(places(&conf, name, Access::Pull), expected, "{name}");
    }
}

#[test]
fn what_is_pushed_goes_where_it_belongs() {
    let conf = parse(CONF).unwrap();
    for (name, expected) in [
        ("debian:12", "docker.io/library/debian"),
        ("own/a", "!docker.io/own/a"),
        ("cache.example/a", "!cache.example/a"),
    ] {
        assert_eq!(places(&conf, name, Access::Push), [expected], "{name}");
    }
}

#[test]
fn the_longest_prefix_says_what_is_blocked() {
    let conf = parse(CONF).unwrap();
    let blocked = |name| conf.registry(name).is_some_and(|registry| registry.blocked);
    assert!(blocked("a.wild.example/x:1"));
    assert!(!blocked("ok.wild.example/x:1"));
    assert!(!blocked("wild.example/x"));
}

#[test]
fn an_alias_is_of_a_name_whatever_its_tag() {
    let conf = parse(CONF).unwrap();
    let digest = format!("@sha256:{}", "0".repeat(64));
    for (name, expected) in [
        ("tool", Some("tools.example/the/tool".to_owned())),
        ("tool:1", Some("tools.example/the/tool:1".to_owned())),
        (
            &format!("tool:1{digest}"),
            Some(format!("tools.example/the/tool:1{digest}")),
        ),
        ("ns/x", Some("docker.io/library/y".to_owned())),
        ("tools", None),
        ("docker.io/library/tool", None),
        ("localhost:5000/tool", None),
    ] {
        assert_eq!(conf.alias(name), expected, "{name}");
    }
}

#[test]
fn what_cannot_be_followed_is_refused() {
    for (text, expected) in [
        (
            "[[registry]]\ninsecure = true",
            "neither prefix nor location",
        ),
        ("[[registry]]\nlocation = \"http://x\"", "scheme"),
        (
            "[[registry]]\nprefix = \"https://x\"\nlocation = \"y\"",
            "scheme",
        ),
        (
            "[[registry]]\nlocation = \"x.io\"\nsigned = true",
            "unknown field `signed`",
        ),
        (
            "[[registry]]\nlocation = \"x.io\"\nblocked = \"yes\"",
            "invalid type",
        ),
        (
            "[[registry]]\nlocation = \"x.io\"\n[[registry.mirror]]\ninsecure = true",
            "a mirror of x.io",
        ),
        (
            "[[registry]]\nlocation = \"x.io\"\n[[registry.mirror]]\nlocation = \"y.io\"\npull-from-mirror = \"no\"",
            "digest-only",
        ),
        (
            "[[registry]]\nlocation = \"x.io\"\npull-from-mirror = \"all\"",
            "is for mirrors",
        ),
        (
            "[[registry]]\nlocation = \"x.io\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"y.io\"\npull-from-mirror = \"all\"",
            "takes one of both",
        ),
        (
            "[[registry]]\nprefix = \"x.*.io\"\nlocation = \"y.io\"",
            "*.example.com",
        ),
        (
            "[[registry]]\nprefix = \"*.x.io/y\"\nlocation = \"y.io\"",
            "*.example.com",
        ),
        (
            "[[registry]]\nprefix = \"*.x.io:5000\"\nlocation = \"y.io\"",
            "*.example.com",
        ),
        ("[registries.block]\nregistries = ['x.io']", "version 1"),
        ("[registries.insecure]\nregistries = ['x.io']", "version 1"),
        ("[aliases]\n\"x:1\" = \"y.io/x\"", "the alias \"x:1\""),
        ("[aliases]\n\"x.io/x\" = \"y.io/x\"", "the alias"),
        ("[aliases]\n\"x\" = \"y\"", "the alias"),
        ("[aliases]\n\"x\" = \"y.io/x:1\"", "the alias"),
        ("a = \n", "line 1"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    for text in [
        "",
        "[registries.search]\nregistries = ['x.io']\n[registries.block]\nregistries = []",
        "[[registry]]\nprefix = \"*.x.io\"",
        "[[registry]]\nprefix = \"x.io/a:1\"\nblocked = true",
    ] {
        parse(text).unwrap();
    }
}

#[test]
fn later_files_take_precedence() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let machine = write(
        "machine.conf",
        "credential-helpers = ['a']\n[[registry]]\nlocation = 'x.io'\ninsecure = true\n[aliases]\nt = 'm.io/t'\nu = 'm.io/u'",
    );
    write(
        "m.d/2.conf",
        "[[registry]]\nlocation = 'x.io'\nblocked = true",
    );
    write(
        "m.d/1.conf",
        "[[registry]]\nlocation = 'x.io'\n[aliases]\nt = 'one.io/t'\nu = ''",
    );
    write("m.d/3.ignored", "nonsense");
    write("o.d/1.conf", "[aliases]\nt = 'own.io/t'");
    let mut places = RegistriesPlaces {
        machine,
        machine_drop_ins: dir.path().join("m.d"),
        own_drop_ins: Some(dir.path().join("o.d")),
        ..RegistriesPlaces::default()
    };
    let conf = RegistriesConf::read(&places).unwrap();
    let registry = conf.registry("x.io/y").unwrap();
    assert!(registry.blocked && !registry.location.insecure);
    assert_eq!(registry.by, dir.path().join("m.d/2.conf"));
    assert_eq!(conf.alias("t"), Some("own.io/t".to_owned()));
    assert_eq!(conf.alias("u"), None);
    assert_eq!(conf.helpers().unwrap().0, ["a"]);

    // An own file takes the place of all of the machine's.
    places.own = Some(write(
        "own.conf",
        "[[registry]]\nlocation = 'y.io'\nblocked = true",
    ));
    let conf = RegistriesConf::read(&places).unwrap();
    assert!(conf.registry("x.io/y").is_none());
    assert!(conf.registry("y.io/y").unwrap().blocked);
    assert_eq!(conf.alias("t"), Some("own.io/t".to_owned()));

    places.chosen = Some(dir.path().join("none.conf"));
    let error = RegistriesConf::read(&places).unwrap_err();
    assert!(error.to_string().ends_with("none.conf"), "{error}");
    places.chosen = Some(write("chosen.conf", ""));
    let conf = RegistriesConf::read(&places).unwrap();
    assert!(conf.registry("x.io/y").unwrap().blocked);
    assert!(conf.registry("y.io/y").is_none());
}
