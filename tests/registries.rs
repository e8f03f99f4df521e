//! Where images come from and go to, and as whom: Debian's registry plain, with TLS, logins and tokens,
//! behind a proxy and as a mirror, as files of docker and podman say.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod servers;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use servers::authority::Authority;
use servers::proxy::Proxy;
use servers::registry::{Config, PASSWORD, Registry, USER, basic_auth, with_tls};
use servers::tokens::{self, Tokens};
use support::{Env, Ran, User, run};

/// The name that the authority's certificates are for besides loopback, where no proxy is asked.
const NAME: &str = "registry.example";
const OWN_CONF: &str = "home/.config/containers/registries.conf";

/// What is set for mkimg in its environment.
type Variables<'a> = [(&'a str, &'a str)];

fn mkimg(env: &Env, variables: &Variables<'_>, args: &[&str]) -> Ran {
    let mut command = env.command(args);
    run(command.envs(variables.iter().copied()))
}

/// Pushes a new image under this name; gives its ID.
fn push(env: &Env, variables: &Variables<'_>, name: &str, more: &[&str]) -> String {
    let id = env.import_files(name, &[("file", name)]);
    let args = [&["push", "-q"], more, &[name]].concat();
    mkimg(env, variables, &args).success();
    id
}

/// Takes the image out of the store, and has it back from the registry in each way in which that can be.
fn has_back(env: &Env, variables: &Variables<'_>, name: &str, id: &str, more: &[&str]) {
    let gone = || env.mkimg(["rmi", "-f", name]).success();
    gone();
    let args = [&["pull", "-q"], more, &[name]].concat();
    mkimg(env, variables, &args).success();
    let shown = env.mkimg(["inspect", name]).success().json();
    assert_eq!(shown[0]["Id"], id, "{name}");
    gone();
    env.write(
        "context/Dockerfile",
        format!("FROM {name} AS base\nFROM scratch\nCOPY --from=base /file /\n"),
    );
    let build = ["build", "-q", "-o", "type=local,dest=out"];
    let args = [&build, more, &["context"]].concat();
    mkimg(env, variables, &args).success();
    assert_eq!(fs::read_to_string(env.path("out/file")).unwrap(), name);
    fs::remove_dir_all(env.path("out")).unwrap();
}

#[test]
fn a_registry_without_anything() {
    let registry = Registry::start();
    for user in User::all() {
        let env = Env::new(*user);
        let name = format!("{}/team/app:1", registry.host());
        let id = push(&env, &[], &name, &[]);
        has_back(&env, &[], &name, &id, &[]);
    }
}

#[test]
fn a_registry_with_tls_of_an_own_authority() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let registry = Registry::configured(|_| with_tls(&authority, true));
    let host = registry.host();
    let client = authority.issue("client");
    for user in User::all() {
        let env = Env::new(*user);
        let name = format!("{host}/team/app:1");
        env.import_files(&name, &[("file", "x")]);
        let refused = env.mkimg(["push", &name]).exits(1);
        refused.says(["does not trust the server's certificate"]);
        let certificates = format!("home/.config/docker/certs.d/{host}");
        let put = |name: &str, from: &std::path::Path| {
            env.write(format!("{certificates}/{name}"), fs::read(from).unwrap())
        };
        put("me.cert", &client.certificate);
        put("me.key", &client.key);
        let lax = ["--tls-verify=false"];
        let id = push(&env, &[], &name, &lax);
        has_back(&env, &[], &name, &id, &lax);
        put("ca.crt", &authority.certificate());
        let id = push(&env, &[], &name, &[]);
        has_back(&env, &[], &name, &id, &[]);
    }
}

#[test]
fn a_registry_with_a_login() {
    let registry = Registry::configured(basic_auth);
    let host = registry.host();
    for user in User::all() {
        let env = Env::new(*user);
        let name = format!("{host}/team/app:1");
        env.import_files(&name, &[("file", "x")]);
        for command in ["push", "pull"] {
            let refused = env.mkimg([command, &name]).exits(1);
            refused.says(["wants a login", &format!("mkimg login {host}")]);
        }
        let login = ["login", "-u", USER, "--password-stdin", &host];
        env.mkimg_with_input(login, PASSWORD.as_bytes()).success();
        let id = push(&env, &[], &name, &[]);
        has_back(&env, &[], &name, &id, &[]);
        env.mkimg(["logout", &host]).success();
        env.mkimg(["pull", &name]).exits(1);
    }
}

#[test]
fn a_login_is_for_the_part_of_a_registry_that_it_is_kept_for() {
    let registry = Registry::configured(basic_auth);
    let host = registry.host();
    let entry = |password: &str| json!({"username": USER, "password": password});
    let (team, other) = (format!("{host}/team"), format!("{host}/other/app:1"));
    let env = Env::new(User::Own);
    let auth = json!({"auths": {&host: entry("wrong-one"), &team: entry(PASSWORD)}});
    env.write("auth.json", auth.to_string());
    let variables = [("REGISTRY_AUTH_FILE", "auth.json")];
    let name = format!("{team}/app:1");
    let id = push(&env, &variables, &name, &[]);
    has_back(&env, &variables, &name, &id, &[]);
    has_back(&env, &[], &name, &id, &["--authfile", "auth.json"]);
    env.import_files(&other, &[("file", "x")]);
    let refused = mkimg(&env, &variables, &["push", &other]).exits(1);
    assert!(!refused.err().contains("wrong-one"), "{refused}");
    refused.says(["does not accept the login"]);

    // The same from a program.
    let script = format!(
        "#!/bin/sh\n[ \"$(cat)\" = {host} ] || exit 3\n\
         echo '{{\"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'\n"
    );
    let helper = env.write("bin/docker-credential-given", script);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let config = json!({"credHelpers": {&host: "given"}});
    env.write("home/.docker/config.json", config.to_string());
    let path = format!("{}:/usr/bin:/bin", env.path("bin").display());
    let variables = [("PATH", path.as_str())];
    let id = push(&env, &variables, &other, &[]);
    has_back(&env, &variables, &other, &id, &[]);
}

#[test]
fn a_registry_with_a_token_server() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::start(dir.path(), "public/app");
    let registry = Registry::configured(|_| Config {
        top: tokens.config(),
        ..Config::default()
    });
    let host = registry.host();
    let (public, private) = (format!("{host}/public/app:1"), format!("{host}/own/app:1"));
    for user in User::all() {
        let env = Env::new(*user);
        let login = ["login", "-u", tokens::USER, "--password-stdin", &host];
        let given = env.mkimg_with_input(login, tokens::PASSWORD.as_bytes());
        given.success();
        // By the identity token that the server gave.
        let id = push(&env, &[], &public, &[]);
        let own = push(&env, &[], &private, &[]);
        has_back(&env, &[], &private, &own, &[]);
        env.mkimg(["logout", &host]).success();
        has_back(&env, &[], &public, &id, &[]);
        env.mkimg(["pull", &private])
            .exits(1)
            .says([&format!("mkimg login {host}")]);
        // By user and password.
        let entry = json!({"username": tokens::USER, "password": tokens::PASSWORD});
        let config = json!({"auths": {&host: entry}});
        env.write("home/.docker/config.json", config.to_string());
        let own = push(&env, &[], &private, &[]);
        has_back(&env, &[], &private, &own, &[]);
    }
}

#[test]
fn registries_behind_a_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let tls = Registry::configured(|_| with_tls(&authority, false));
    let plain = Registry::start();
    let proxy = Proxy::start(&[
        (&format!("{NAME}:443"), tls.port),
        (&format!("{NAME}:5000"), plain.port),
    ]);
    let url = proxy.url();
    let env = Env::new(User::Own);
    let certificate = format!("home/.config/containers/certs.d/{NAME}/ca.crt");
    env.write(certificate, fs::read(authority.certificate()).unwrap());
    let variables = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", &url)];
    let name = format!("{NAME}/team/app:1");
    let id = push(&env, &variables, &name, &[]);
    has_back(&env, &variables, &name, &id, &[]);
    let lax = format!("{NAME}:5000/team/app:1");
    env.write(
        OWN_CONF,
        format!("[[registry]]\nlocation = \"{NAME}:5000\"\ninsecure = true\n"),
    );
    let id = push(&env, &variables, &lax, &[]);
    has_back(&env, &variables, &lax, &id, &[]);
    assert!(
        proxy
            .asked()
            .iter()
            .any(|line| line.starts_with("PUT http://registry.example:5000/v2/"))
    );
    env.mkimg(["rmi", "-f", &name]).success();
    let refused = mkimg(
        &env,
        &[variables[0], variables[1], ("NO_PROXY", NAME)],
        &["pull", &name],
    );
    refused.exits(1).says(["cannot connect"]);
}

#[test]
fn a_mirror_that_fetches_what_it_lacks() {
    let origin = Registry::start();
    let mirror = Registry::configured(|_| Config {
        top: format!("proxy:\n  remoteurl: http://{}\n", origin.host()),
        ..Config::default()
    });
    for user in User::all() {
        let env = Env::new(*user);
        let path = format!("{user:?}/app:1").to_lowercase();
        let name = format!("{}/{path}", origin.host());
        let id = push(&env, &[], &name, &[]);
        // By its own name.
        let direct = format!("{}/{path}", mirror.host());
        env.mkimg(["pull", "-q", &direct]).success();
        env.mkimg(["rmi", "-f", &direct, &name]).success();

        // In the origin's place, which then need not be there.
        let place = |host: &str| {
            format!(
                "[[registry]]\nprefix = \"{host}\"\nlocation = \"127.0.0.1:1\"\n\
                 [[registry.mirror]]\nlocation = \"{}\"\n",
                mirror.host()
            )
        };
        env.write(OWN_CONF, place(&origin.host()));
        has_back(&env, &[], &name, &id, &[]);
        // What is pushed goes where it belongs.
        let more = format!("{}/{path}-more", origin.host());
        env.import_files(&more, &[("file", "more")]);
        env.mkimg(["push", "-q", &more]).success();
    }
}

#[test]
fn mirrors_are_asked_in_order_and_for_what_they_are_for() {
    let (first, second, origin) = (Registry::start(), Registry::start(), Registry::start());
    let env = Env::new(User::Own);
    let images = [(&first, "first"), (&second, "second"), (&origin, "origin")];
    let mut digests = Vec::new();
    for (registry, text) in images {
        let name = format!("{}/team/{text}:1", registry.host());
        env.import_files(&name, &[("file", text)]);
        let pushed = env.mkimg(["push", "-q", &name]).success();
        digests.push(pushed.line().to_owned());
        env.mkimg(["rmi", "-f", &name]).success();
    }
    // The tag is the first's here, and the second's there.
    for (registry, text) in [(&first, "a"), (&second, "b"), (&origin, "c")] {
        let name = format!("{}/team/app:1", registry.host());
        env.import_files(&name, &[("file", text)]);
        env.mkimg(["push", "-q", &name]).success();
        env.mkimg(["rmi", "-f", &name]).success();
    }
    let file = |name: &str| {
        env.write(
            "c/Dockerfile",
            format!("FROM {name} AS b\nFROM scratch\nCOPY --from=b /file /\n"),
        );
        env.mkimg(["build", "-q", "--pull", "-o", "type=local,dest=out", "c"])
            .success();
        let text = fs::read_to_string(env.path("out/file")).unwrap();
        fs::remove_dir_all(env.path("out")).unwrap();
        text
    };
    let conf = |first_for: &str| {
        let mirror = |registry: &Registry, more: &str| {
            format!(
                "[[registry.mirror]]\nlocation = \"{}\"\n{more}\n",
                registry.host()
            )
        };
        let only = format!("pull-from-mirror = \"{first_for}\"");
        let text = format!(
            "[[registry]]\nprefix = \"logical.example\"\nlocation = \"{}\"\n{}{}",
            origin.host(),
            mirror(&first, &only),
            mirror(&second, "")
        );
        env.write(OWN_CONF, text);
    };
    conf("all");
    assert_eq!(file("logical.example/team/app:1"), "a");
    // Who lacks it is passed over.
    assert_eq!(file("logical.example/team/second:1"), "second");
    assert_eq!(file("logical.example/team/origin:1"), "origin");
    conf("digest-only");
    assert_eq!(file("logical.example/team/app:1"), "b");
    let pinned = format!("logical.example/team/first@{}", digests[0]);
    assert_eq!(file(&pinned), "first");
    conf("tag-only");
    assert_eq!(file("logical.example/team/app:1"), "a");
    // In a store that has nothing of it yet.
    let other = Env::new(User::Own);
    other.write(OWN_CONF, fs::read(env.path(OWN_CONF)).unwrap());
    other.mkimg(["pull", &pinned]).exits(1);
    conf("all");
    other.write(OWN_CONF, fs::read(env.path(OWN_CONF)).unwrap());
    other.mkimg(["pull", &pinned]).success();
}

#[test]
fn short_names_stand_for_what_their_aliases_say() {
    let registry = Registry::start();
    for user in User::with_ids() {
        let env = Env::new(*user);
        let name = format!("{}/tools/box", registry.host());
        env.import_busybox(&name);
        env.mkimg(["push", "-q", &name]).success();
        env.mkimg(["rmi", "-f", &name]).success();
        env.write(OWN_CONF, format!("[aliases]\n\"box\" = \"{name}\"\n"));
        let ran = env.mkimg(["run", "--rm", "--network", "none", "box", "echo", "ran"]);
        assert_eq!(ran.success().out(), "ran\n");
        env.write("c/Dockerfile", "FROM box:latest\nRUN echo built >/built\n");
        env.mkimg(["build", "-q", "c"]).success();
        env.mkimg(["build", "-q", "--offline", "c"]).success();
        env.mkimg(["rmi", "-f", &name]).success();
        env.mkimg(["build", "-q", "--offline", "c"]).exits(1);
        let pulled = env.mkimg(["pull", "box"]).success();
        assert_eq!(
            pulled.out().lines().last(),
            Some(&*format!("{name}:latest"))
        );
        // What the store has under the name comes first.
        env.import_files("box", &[("own", "x")]);
        let own = env.mkimg(["history", "box"]).success();
        assert!(own.out().contains("IMAGE"), "{own}");
    }
}

#[test]
fn what_is_blocked_is_neither_pulled_nor_pushed_nor_built_on() {
    let registry = Registry::start();
    let host = registry.host();
    for user in User::all() {
        let env = Env::new(*user);
        let name = format!("{host}/bad/app:1");
        let fine = format!("{host}/fine/app:1");
        push(&env, &[], &name, &[]);
        let id = push(&env, &[], &fine, &[]);
        let conf = format!("[[registry]]\nprefix = \"{host}/bad\"\nblocked = true\n");
        let path = env.write(OWN_CONF, conf);
        let said = format!("the registry {host}/bad is blocked by {}", path.display());
        env.mkimg(["push", &name]).exits(1).says([&said]);
        env.mkimg(["rmi", "-f", &name]).success();
        env.mkimg(["pull", &name]).exits(1).says([&said]);
        env.write("c/Dockerfile", format!("FROM {name}\n"));
        env.mkimg(["build", "c"])
            .exits(1)
            .says([&said, "Dockerfile:1"]);
        has_back(&env, &[], &fine, &id, &[]);
    }
}
