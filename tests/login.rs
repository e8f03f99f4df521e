//! Logging in to registries and out: against Debian's registry, and with the files of docker and podman.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod servers;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use servers::authority::Authority;
use servers::proxy::Proxy;
use servers::registry::{Config, PASSWORD, Registry, USER, basic_auth, with_tls};
use servers::tokens::{self, Tokens};
use support::{Env, Ran, User, run, run_with_input};

/// `base64` of user and password.
const AUTH: &str = "dGVzdGVyOnJpZ2h0Om9uZQ==";

/// Logs in as the registry's user, with this password on standard input.
fn login(env: &Env, host: &str, password: &str, more: &[&str]) -> Ran {
    run_with_input(&mut login_command(env, host, more), password.as_bytes())
}

fn login_command(env: &Env, host: &str, more: &[&str]) -> Command {
    let mut args = vec!["login", "-u", USER, "--password-stdin"];
    args.extend(more);
    args.push(host);
    env.command(args)
}

/// Fails the test if a password was printed.
fn hides(ran: &Ran, password: &str) {
    let said = format!("{}{}", ran.out(), ran.err());
    assert!(!said.contains(password), "{ran}");
}

fn json_of(path: impl AsRef<std::path::Path>) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The name that the authority's certificates are for besides loopback, where no proxy is asked.
const NAME: &str = "registry.example";

#[test]
fn a_right_password_is_kept_and_a_wrong_one_is_not() {
    let registry = Registry::configured(basic_auth);
    let host = registry.host();
    for user in User::all() {
        let env = Env::new(*user);
        let config = env.path("home/.docker/config.json");
        let refused = login(&env, &host, "wrong-one", &[]).exits(1);
        hides(&refused, "wrong-one");
        refused.says([&host, "refuses the login", "check user and password"]);
        assert!(!config.exists());

        let ran = login(&env, &host, &format!("{PASSWORD}\r\n"), &[]).success();
        hides(&ran, PASSWORD);
        assert_eq!(ran.out(), "Login Succeeded\n");
        ran.says(["unencrypted", "config.json"]);
        assert_eq!(json_of(&config), json!({"auths": {&host: {"auth": AUTH}}}));
        let mode = fs::metadata(&config).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // The login that is kept is tried where none is given.
        let again = env.mkimg(["login", &host]).success();
        assert_eq!(again.out(), "Login Succeeded\n");
        again.says(["kept for tester"]);
        let address = format!("http://{host}/v2/");
        let out = env.mkimg(["logout", &address]).success();
        assert_eq!(
            out.out(),
            format!("Removing login credentials for {host}\n")
        );
        assert_eq!(json_of(&config), json!({"auths": {}}));
        let out = env.mkimg(["logout", &host]).success();
        assert_eq!(out.out(), format!("Not logged in to {host}\n"));
    }
}

#[test]
fn a_password_in_the_command_line_is_warned_of() {
    let registry = Registry::configured(basic_auth);
    let env = Env::new(User::Own);
    let ran = env.mkimg(["login", "-u", USER, "-p", PASSWORD, &registry.host()]);
    hides(&ran, PASSWORD);
    ran.success().says(["seen by all", "--password-stdin"]);
}

#[test]
fn what_is_missing_is_told_before_anything_is_sent() {
    let env = Env::new(User::Own);
    let host = "127.0.0.1:1";
    let both = ["login", "-u", "u", "-p", "p", "--password-stdin", host];
    env.mkimg(both).exits(2).says(["--password-stdin"]);
    let alone = ["login", "--password-stdin", host];
    env.mkimg(alone).exits(2).says(["--username"]);
    env.mkimg(["login", host])
        .exits(1)
        .says(["no terminal", "-u USER --password-stdin"]);
    login(&env, host, "\n", &[]).exits(1).says(["no password"]);
    for name in [
        "nowhere",
        "UPPER_case.example",
        "h.example/a:tag",
        "h.example/UP",
    ] {
        let ran = login(&env, name, "p", &[]).exits(1);
        assert!(
            ran.err().contains("is no") || ran.err().contains("cannot name"),
            "{ran}"
        );
    }
    login(&env, &format!("{host}/part"), "p", &[])
        .exits(1)
        .says(["a part of a registry", "--authfile FILE"]);
    login(&env, host, "p", &[])
        .exits(1)
        .says([host, "cannot connect", "Connection refused"]);
}

#[test]
fn a_password_is_asked_for_without_being_shown() {
    let registry = Registry::configured(basic_auth);
    let host = registry.host();
    for user in User::all() {
        let env = Env::new(*user);
        let mut command = env.program("python3");
        let mkimg = env.command(["login", &host]);
        command
            .args(["-c", TERMINAL])
            .arg(mkimg.get_program())
            .arg(&host);
        command.args([USER, PASSWORD]);
        let ran = run(&mut command).success();
        let seen = ran.out();
        assert!(seen.contains("Username: tester\r\n"), "{seen}");
        assert!(seen.contains("Password: \r\n"), "{seen}");
        assert!(seen.contains("Login Succeeded"), "{seen}");
        hides(&ran, PASSWORD);
        let config = json_of(env.path("home/.docker/config.json"));
        assert_eq!(config["auths"][&host]["auth"], AUTH);
    }
}

/// Types user and password into a terminal, each when it is asked for, and prints what is seen there.
const TERMINAL: &str = r#"
import os, pty, sys
mkimg, host, user, password = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(mkimg, [mkimg, "login", host])
seen = b""
todo = [(b"Username: ", user), (b"Password: ", password)]
while True:
    try:
        some = os.read(terminal, 1000)
    except OSError:
        break
    if not some:
        break
    seen += some
    if todo and seen.endswith(todo[0][0]):
        os.write(terminal, todo.pop(0)[1].encode() + b"\n")
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn skopeo_reads_what_is_kept_and_mkimg_what_skopeo_keeps() {
    let registry = Registry::configured(basic_auth);
    let host = registry.host();
    for user in User::all() {
        let env = Env::new(*user);
        let skopeo = |args: &[&str]| {
            let mut command = env.program("skopeo");
            command.env("XDG_RUNTIME_DIR", env.dir("runtime"));
            run(command.args(args))
        };
        let asked = ["login", "--get-login", &host];
        skopeo(&asked).exits(1);
        login(&env, &host, PASSWORD, &[]).success();
        assert_eq!(skopeo(&asked).success().out(), "tester\n");
        env.mkimg(["logout", &host]).success();
        skopeo(&asked).exits(1);

        let kept = [
            "login",
            "--tls-verify=false",
            "-u",
            USER,
            "-p",
            PASSWORD,
            &host,
        ];
        skopeo(&kept).success();
        let mkimg = |args: &[&str]| {
            let mut command = env.command(args);
            run(command.env("XDG_RUNTIME_DIR", env.path("runtime")))
        };
        let auth = env.path("runtime/containers/auth.json");
        let auth = auth.to_str().unwrap();
        let given = mkimg(&["login", "--authfile", auth, &host]).success();
        given.says(["kept for tester"]);
        mkimg(&["logout", &host])
            .success()
            .says(["auth.json has a login"]);
        let part = format!("{host}/team");
        let args = ["--authfile", auth];
        login(&env, &part, PASSWORD, &args).success();
        assert_eq!(json_of(auth)["auths"][&part]["auth"], AUTH);
        let team = format!("{host}/team/app");
        let asked = ["login", "--get-login", &team];
        assert_eq!(skopeo(&asked).success().out(), "tester\n");
        let mut command = env.command(["logout", &part]);
        let out = run(command.env("REGISTRY_AUTH_FILE", auth)).success();
        assert_eq!(
            out.out(),
            format!("Removing login credentials for {part}\n")
        );
        let left = json_of(auth);
        assert_eq!(left, json!({"auths": {&host: {"auth": AUTH}}}));
    }
}

/// A credential helper that keeps one login in a file beside it, and writes down how it was called.
const HELPER: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$@" >>called
case $1 in
store) cat >kept ;;
erase) cat >erased; rm kept ;;
get)
    cat >asked
    [ -e kept ] || { echo "credentials not found in native keychain"; exit 1; }
    cat kept ;;
*) exit 3 ;;
esac
"#;

/// As where root's podman has made `/run/containers` for itself.
#[test]
fn a_place_of_logins_that_only_root_may_look_into_holds_nobody_up() {
    if !support::is_root() {
        return;
    }
    let registry = Registry::configured(basic_auth);
    for user in User::all() {
        let env = Env::new(*user);
        let name = format!("{}/app:1", registry.host());
        env.import_files(&name, &[("file", "x")]);
        let runtime = env.path("runtime");
        let logins = runtime.join("containers");
        fs::create_dir_all(&logins).unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let push = || {
            run(env
                .command(["push", &name])
                .env("XDG_RUNTIME_DIR", &runtime))
        };
        mode(&runtime, 0o700);
        push().exits(1).says(["wants a login"]);
        // One that is there, and may not be read, may be the user's.
        mode(&runtime, 0o755);
        fs::write(logins.join("auth.json"), "{}").unwrap();
        mode(&logins.join("auth.json"), 0o600);
        match user {
            User::Own => push().exits(1).says(["wants a login"]),
            _ => push().exits(1).says(["cannot read", "auth.json"]),
        };
    }
}

#[test]
fn a_program_keeps_the_login_where_one_is_named() {
    let registry = Registry::configured(basic_auth);
    let host = registry.host();
    for user in User::all() {
        for named in [
            json!({"credsStore": "here", "other": {"kept": [1]}}),
            json!({"credHelpers": {&host: "here"}, "other": {"kept": [1]}}),
        ] {
            let env = Env::new(*user);
            let config = env.write("home/.docker/config.json", named.to_string());
            let helper = env.write("bin/docker-credential-here", HELPER);
            fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
            let path = format!("{}:/usr/bin:/bin", env.path("bin").display());
            let kept = || fs::read_to_string(env.path("bin/kept")).unwrap();

            let mut command = login_command(&env, &host, &[]);
            let ran = run_with_input(command.env("PATH", &path), PASSWORD.as_bytes());
            assert_eq!(ran.success().err(), "");
            let login: serde_json::Value = serde_json::from_str(&kept()).unwrap();
            let expected = json!({"ServerURL": host, "Username": USER, "Secret": PASSWORD});
            assert_eq!(login, expected);
            let mut expected = named.clone();
            expected["auths"] = json!({&host: {}});
            assert_eq!(json_of(&config), expected);

            let mkimg = |command: &str| {
                let mut command = env.command([command, &host]);
                run(command.env("PATH", &path)).success()
            };
            mkimg("login").says(["kept for tester"]);
            assert_eq!(fs::read_to_string(env.path("bin/asked")).unwrap(), host);
            let out = mkimg("logout");
            assert_eq!(
                out.out(),
                format!("Removing login credentials for {host}\n")
            );
            assert_eq!(fs::read_to_string(env.path("bin/erased")).unwrap(), host);
            expected["auths"] = json!({});
            assert_eq!(json_of(&config), expected);
            assert_eq!(mkimg("logout").out(), format!("Not logged in to {host}\n"));
            // The password is in no program's arguments.
            let called = fs::read_to_string(env.path("bin/called")).unwrap();
            assert_eq!(called.trim(), "store\nget\nget\nerase\nget");
        }
    }
}

#[test]
fn a_program_that_fails_is_told_of_without_what_it_was_given() {
    let registry = Registry::configured(basic_auth);
    let host = registry.host();
    let env = Env::new(User::Own);
    env.write("home/.docker/config.json", r#"{"credsStore": "broken"}"#);
    let ran = login(&env, &host, PASSWORD, &[]).exits(1);
    hides(&ran, PASSWORD);
    ran.says([
        "no program docker-credential-broken",
        "home/.docker/config.json",
    ]);

    let script = "#!/bin/sh\necho \"no: $(cat)\"\nexit 1\n";
    let helper = env.write("bin/docker-credential-broken", script);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", env.path("bin").display());
    let mut command = login_command(&env, &host, &[]);
    let ran = run_with_input(command.env("PATH", &path), PASSWORD.as_bytes()).exits(1);
    hides(&ran, PASSWORD);
    ran.says([
        "cannot store the login",
        "docker-credential-broken failed",
        "no: ",
    ]);
    let config = fs::read_to_string(env.path("home/.docker/config.json")).unwrap();
    assert_eq!(config, r#"{"credsStore": "broken"}"#);
}

#[test]
fn certificates_of_hosts_are_found_where_docker_and_podman_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let registry = Registry::configured(|_| with_tls(&authority, false));
    let host = registry.host();
    let ca = fs::read(authority.certificate()).unwrap();
    for user in User::all() {
        let env = Env::new(*user);
        let refused = login(&env, &host, "p", &[]).exits(1);
        refused.says([&host, "does not trust the server's certificate"]);
        login(&env, &host, "p", &["--tls-verify=false"]).success();
        for place in ["containers", "docker"] {
            let env = Env::new(*user);
            let name = format!("home/.config/{place}/certs.d/{host}/ca.crt");
            let file = env.write(&name, &ca);
            login(&env, &host, "p", &[]).success();
            login(&env, &host, "p", &["--tls-verify"]).success();
            // Another port is another host.
            fs::rename(file.parent().unwrap(), env.path("home/.config/other:1")).unwrap();
            login(&env, &host, "p", &[]).exits(1);
            env.write(&name, "-----BEGIN CERTIFICATE-----\nx\n");
            let broken = login(&env, &host, "p", &[]).exits(1);
            broken.says([&format!("certs.d/{host}/ca.crt: it is not PEM")]);
        }
    }
}

#[test]
fn a_registry_may_want_a_certificate_of_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let registry = Registry::configured(|_| with_tls(&authority, true));
    let host = registry.host();
    let own = authority.issue("client");
    for user in User::all() {
        let env = Env::new(*user);
        let place = format!("home/.config/containers/certs.d/{host}");
        let at = |name: &str| format!("{place}/{name}");
        env.write(at("ca.crt"), fs::read(authority.certificate()).unwrap());
        login(&env, &host, "p", &[]).exits(1).says([&host]);
        env.write(at("me.cert"), fs::read(&own.certificate).unwrap());
        let half = login(&env, &host, "p", &[]).exits(1);
        half.says(["me.cert: me.key is missing"]);
        env.write(at("me.key"), fs::read(&own.key).unwrap());
        login(&env, &host, "p", &[]).success();
        login(&env, &host, "p", &["--tls-verify=false"]).success();
    }
}

#[test]
fn a_token_server_lets_in_and_its_token_is_kept_for_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::start(dir.path(), "public");
    let registry = Registry::configured(|_| Config {
        top: tokens.config(),
        ..Config::default()
    });
    let host = registry.host();
    let env = Env::new(User::Own);
    let mkimg = |password: &str| {
        let args = ["login", "-u", tokens::USER, "--password-stdin", &host];
        env.mkimg_with_input(args, password.as_bytes())
    };
    let refused = mkimg("wrong-one").exits(1);
    hides(&refused, "wrong-one");
    refused.says(["refuses the login"]);
    hides(&mkimg(tokens::PASSWORD).success(), tokens::PASSWORD);
    let kept = &json_of(env.path("home/.docker/config.json"))["auths"][&host];
    assert_eq!(kept["identitytoken"], tokens::REFRESH);
    // `alice:`
    assert_eq!(kept["auth"], "YWxpY2U6");
    env.mkimg(["login", &host]).success();
    let last = tokens.server.seen().pop().unwrap();
    let body = String::from_utf8(last.body).unwrap();
    assert!(
        body.contains("grant_type=refresh_token"),
        "{} {body}",
        last.method
    );
}

#[test]
fn a_proxy_is_asked_but_for_what_needs_none() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let plain = Registry::configured(basic_auth);
    let tls = Registry::configured(|_| with_tls(&authority, false));
    let proxy = Proxy::start(&[
        (&format!("{NAME}:5000"), plain.port),
        (NAME, plain.port),
        (&format!("{NAME}:443"), tls.port),
    ]);
    let env = Env::new(User::Own);
    let certs = format!("home/.config/containers/certs.d/{NAME}/ca.crt");
    env.write(certs, fs::read(authority.certificate()).unwrap());
    let through = |variables: &[(&str, &str)], host: &str, more: &[&str]| {
        let mut command = login_command(&env, host, more);
        command.envs(variables.iter().copied());
        run_with_input(&mut command, PASSWORD.as_bytes())
    };
    let url = proxy.url();
    let both = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", &url)];
    through(&both, NAME, &[]).success();
    assert_eq!(proxy.asked()[0], format!("CONNECT {NAME}:443 HTTP/1.1"));
    let lax = ["--tls-verify=false"];
    through(&both, &format!("{NAME}:5000"), &lax).success();
    let asked = proxy.asked();
    let wanted = format!("GET http://{NAME}:5000/v2/ HTTP/1.1");
    assert!(asked.contains(&wanted), "{asked:?}");

    // Nobody but the proxy knows the name.
    let before = proxy.asked().len();
    let excepted = [both[0], both[1], ("NO_PROXY", ".example,10.0.0.0/8")];
    through(&excepted, NAME, &[])
        .exits(1)
        .says(["cannot connect"]);
    through(&both, &plain.host(), &[]).success();
    assert_eq!(proxy.asked().len(), before);
}

#[test]
fn registries_conf_blocks_and_relaxes() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let registry = Registry::configured(|_| with_tls(&authority, false));
    let host = registry.host();
    for user in User::all() {
        let env = Env::new(*user);
        let conf = "home/.config/containers/registries.conf";
        login(&env, &host, "p", &[]).exits(1);
        env.write(
            conf,
            format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n"),
        );
        login(&env, &host, "p", &[]).success();
        login(&env, &host, "p", &["--tls-verify"]).exits(1);
        env.write(
            conf,
            format!("[[registry]]\nlocation = \"{host}\"\nblocked = true\n"),
        );
        let refused = login(&env, &host, "p", &["--tls-verify=false"]).exits(1);
        refused.says([&format!("{host} is blocked by"), "registries.conf"]);
        env.write(conf, "[[registry]]\nlocation =");
        let broken = login(&env, &host, "p", &[]).exits(1);
        broken.says(["containers/registries.conf: line 2"]);
    }
}
