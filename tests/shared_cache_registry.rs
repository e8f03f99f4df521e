//! Caches that machines share, in a registry: Debian's, and one where things go wrong; and ten machines that build the
//! same at one registry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../remote/tests/support/faulty.rs"]
#[allow(dead_code)]
mod faulty;
mod servers;
mod support;

use std::path::PathBuf;

use faulty::{Fault, Faulty, answer};
use image_format::digest::Digest;
use serde_json::{Value, json};
use servers::registry::Registry;
use support::{Env, Ran, User, run};

const ANNOTATION: &str = "mkimg.cache.v1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Two stages; what they hold is another each time that they are built.
const RANDOM: &str = "FROM busybox AS tools
RUN head -c 99 /dev/urandom > /tool
FROM busybox
COPY --from=tools /tool /tool
RUN head -c 99 /dev/urandom > /main
RUN echo last > /last
";
const STEADY: &str = "FROM busybox\nRUN echo one > /one\nRUN echo two > /two\n";

fn env(user: User, dockerfile: &str) -> Env {
    let env = Env::new(user);
    env.write("c/Dockerfile", dockerfile);
    env
}

/// mkimg on another machine: with a store of its own, in which there is the base.
fn on<const N: usize>(env: &Env, machine: &str, args: [&str; N]) -> Ran {
    let store = env.path(machine);
    if !store.exists() {
        let tar = support::base::busybox();
        let mut import = env.command(["import", "-c", "CMD [\"sh\"]", "-", "busybox"]);
        support::run_with_input(import.env("MKIMG_ROOT", &store), &tar).success();
    }
    run(env.command(args).env("MKIMG_ROOT", store))
}

fn cached(ran: &Ran) -> usize {
    ran.err()
        .lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count()
}

fn id(ran: &Ran) -> &str {
    let line = ran.err().lines().find(|line| line.starts_with("image "));
    line.unwrap_or_else(|| panic!("no image: {ran}"))
}

fn to(place: &str) -> String {
    format!("--cache-to=type=registry,ref={place},mode=max")
}

fn from(place: &str) -> String {
    format!("--cache-from={place}")
}

/// The requests of this method.
fn asked(registry: &Faulty, method: &str) -> Vec<String> {
    let lines = registry.lines().into_iter();
    lines.filter(|line| line.starts_with(method)).collect()
}

#[test]
fn machines_share_what_they_build_and_an_image_brings_its_layers() {
    for user in User::with_ids() {
        let registry = Registry::start();
        let env = env(*user, RANDOM);
        let place = format!("{}/app:cache", registry.host());
        let (to, from) = (to(&place), from(&place));
        let first = on(&env, "one", ["build", "-t", "x", &to, &from, "c"]).success();
        assert_eq!(cached(&first), 0, "{first}");
        let first = first.says([": there is none yet", ": 4 new records"]);
        let second = on(&env, "two", ["build", "-t", "x", &from, "c"]).success();
        assert_eq!((cached(&second), id(&second)), (4, id(&first)), "{second}");
        on(&env, "two", ["verify"]).success();
        let again = on(&env, "two", ["build", &to, &from, "c"]).success();
        again.says(["all of it is there"]);
        // A tool of others reads it.
        let raw = run(env.program("skopeo").args([
            "inspect",
            "--tls-verify=false",
            "--raw",
            &format!("docker://{place}"),
        ]));
        let manifest = raw.success().json();
        assert_eq!(
            manifest["artifactType"],
            "application/vnd.mkimg.cache.v1+json"
        );
        // The image's layers are the cache's.
        let name = format!("{}/app:1", registry.host());
        on(&env, "one", ["tag", "x", &name]).success();
        on(&env, "one", ["push", &name]).success();
        let image = run(env.program("skopeo").args([
            "inspect",
            "--tls-verify=false",
            "--raw",
            &format!("docker://{name}"),
        ]));
        let image = image.success().json();
        let layers = image["layers"].as_array().unwrap();
        let of_cache = manifest["layers"].as_array().unwrap();
        for layer in &layers[1..] {
            let same = |other: &&Value| other["digest"] == layer["digest"];
            assert!(of_cache.iter().any(|other| same(&other)), "{layer}");
        }
    }
}

#[test]
fn a_cache_of_an_image_that_is_there_costs_no_upload_and_its_records_one_request() {
    let registry = Faulty::start(|_| Fault::None);
    let env = env(User::Own, RANDOM);
    let name = format!("{}/app:1", registry.host());
    let place = format!("{}/app:cache", registry.host());
    on(&env, "one", ["build", "-t", &name, "c"]).success();
    on(&env, "one", ["push", &name]).success();
    let before = asked(&registry, "POST").len();
    let to = format!("--cache-to={place}");
    on(&env, "one", ["build", &to, "c"]).success();
    // The config alone, which is that of all artifacts without one.
    assert_eq!(asked(&registry, "POST").len() - before, 1);

    // As many records as there can be.
    let manifest = registry.content.lock().unwrap().manifests["cache"]
        .1
        .clone();
    let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let text = manifest["annotations"][ANNOTATION].as_str().unwrap();
    let mut records: Value = serde_json::from_str(text).unwrap();
    let list = records["records"].as_array_mut().unwrap();
    let layer = list[0]["layer"].clone();
    for number in list.len()..1_000 {
        let key = Digest::of(number.to_string().as_bytes()).to_string();
        list.push(json!({ "key": key, "layer": layer }));
    }
    manifest["annotations"][ANNOTATION] = records.to_string().into();
    registry.put_manifest("cache", MANIFEST, manifest.to_string().as_bytes());
    // Nothing of this is there, and it is looked up step by step.
    let mut other = String::from("FROM busybox\n");
    (0..20).for_each(|step| other += &format!("WORKDIR /{step}\n"));
    env.write("c/Dockerfile", other);
    let before = registry.lines().len();
    let ran = on(&env, "two", ["build", &from(&place), "c"]).success();
    let ran = ran.says([": 1000 records"]);
    assert_eq!(cached(&ran), 0, "{ran}");
    let lines = registry.lines().split_off(before);
    let (manifests, others): (Vec<_>, Vec<_>) = lines
        .into_iter()
        .filter(|line| line.contains("/v2/app"))
        .partition(|line| line == "GET /v2/app/manifests/cache");
    assert_eq!((manifests.len(), others.len()), (1, 0), "{others:#?}");
    // A build that finds all of it here does not even ask.
    let before = registry.lines().len();
    on(&env, "two", ["build", &from(&place), "c"]).success();
    assert_eq!(registry.lines().len(), before);
}

#[test]
fn an_image_in_a_registry_can_have_its_cache_in_itself() {
    let registry = Registry::start();
    let env = env(User::Own, STEADY);
    let name = format!("{}/app:1", registry.host());
    let first = on(
        &env,
        "one",
        ["build", "--cache-to=type=inline", "-t", &name, "c"],
    )
    .success();
    on(&env, "one", ["push", &name]).success();
    let second = on(&env, "two", ["build", &from(&name), "c"]).success();
    assert_eq!((cached(&second), id(&second)), (2, id(&first)), "{second}");
    // One without is told, and so is one that is not there.
    let plain = format!("{}/app:2", registry.host());
    on(&env, "three", ["build", "-t", &plain, "c"]).success();
    on(&env, "three", ["push", &plain]).success();
    let ran = on(&env, "four", ["build", &from(&plain), "c"]).success();
    ran.says(["warning: cache", "without mkimg's cache in it"]);
    let none = format!("{}/other:2", registry.host());
    let ran = on(&env, "five", ["build", &from(&none), "c"]).success();
    ran.says([": there is none yet"]);
}

#[test]
fn scopes_are_tags_of_their_own() {
    let registry = Faulty::start(|_| Fault::None);
    let env = env(User::Own, RANDOM);
    let place = format!("{}/app:cache", registry.host());
    let scope = |flag, more| format!("--cache-{flag}=type=registry,ref={place},{more}");
    let to = scope("to", "mode=max,scope=feature/x");
    let first = on(&env, "one", ["build", &to, "c"]).success();
    let main = on(&env, "two", ["build", &from(&place), "c"]).success();
    assert_eq!(cached(&main), 0, "{main}");
    let from = scope("from", "scope=feature/x");
    let same = on(&env, "three", ["build", &from, "c"]).success();
    assert_eq!((cached(&same), id(&same)), (4, id(&first)), "{same}");
    let tags: Vec<String> = {
        let manifests = &registry.content.lock().unwrap().manifests;
        let tags = manifests.keys().filter(|tag| !tag.starts_with("sha256:"));
        tags.cloned().collect()
    };
    assert_eq!(tags.len(), 1);
    assert!(tags[0].starts_with("cache-feature-x-"), "{tags:?}");
}

#[test]
fn what_goes_wrong_with_a_registry_stops_no_build() {
    let env = env(User::Own, STEADY);
    let right = on(&env, "right", ["build", "c"]).success();
    type Wrong = fn(&faulty::Asked) -> Fault;
    let cases: [(&str, Wrong, &str); 6] = [
        (
            "no right",
            |asked| match asked.path.contains("manifests") {
                true => answer(403, &[], "{}"),
                false => Fault::None,
            },
            "warning: cache",
        ),
        (
            "corrupt layers",
            |asked| match asked.is("GET", "/blobs/") {
                true => Fault::Corrupt,
                false => Fault::None,
            },
            "cannot be used",
        ),
        (
            "layers that are gone",
            |asked| match asked.is("GET", "/blobs/") {
                true => answer(404, &[], "{}"),
                false => Fault::None,
            },
            "cannot be used",
        ),
        (
            "a corrupt manifest",
            |asked| match asked.is("GET", "/manifests/") {
                true => Fault::Corrupt,
                false => Fault::None,
            },
            "warning: cache",
        ),
        (
            "silence",
            |asked| match asked.is("GET", "/manifests/") {
                true => Fault::Stall(0),
                false => Fault::None,
            },
            "it took longer than",
        ),
        (
            "no manifest",
            |asked| match asked.is("GET", "/manifests/") {
                true => answer(200, &["Content-Type: text/html"], "<html>"),
                false => Fault::None,
            },
            "warning: cache",
        ),
    ];
    for (at, (what, wrong, says)) in cases.into_iter().enumerate() {
        let registry = Faulty::start(wrong);
        let good = Faulty::start(|_| Fault::None);
        let place = format!("{}/app:cache", good.host());
        let ran = on(&env, &format!("to-{at}"), ["build", &to(&place), "c"]).success();
        assert_eq!(id(&ran), id(&right));
        let (blobs, manifests) = {
            let content = good.content.lock().unwrap();
            (content.blobs.clone(), content.manifests.clone())
        };
        {
            let mut content = registry.content.lock().unwrap();
            (content.blobs, content.manifests) = (blobs, manifests);
        }
        let place = format!("{}/app:cache", registry.host());
        let machine = format!("from-{at}");
        let args = ["build", &from(&place), "--cache-timeout=2s", "c"];
        let ran = on(&env, &machine, args);
        assert_eq!(ran.code(), 0, "{what}: {ran}");
        assert_eq!((cached(&ran), id(&ran)), (0, id(&right)), "{what}: {ran}");
        assert!(ran.err().contains(says), "{what}: {ran}");
        on(&env, &machine, ["verify"]).success();
    }
    // Nor does an export.
    let refuses = Faulty::start(|asked| match asked.method.as_str() {
        "GET" | "HEAD" => Fault::None,
        _ => answer(403, &[], "{}"),
    });
    let silent = Faulty::start(|asked| match asked.method.as_str() {
        "GET" | "HEAD" => Fault::None,
        _ => Fault::StallUpload(0),
    });
    for registry in [refuses, silent] {
        let place = format!("{}/app:cache", registry.host());
        let args = ["build", &to(&place), "--cache-timeout=2s", "c"];
        let ran = on(&env, "right", args).success();
        ran.says(["warning: the cache", "was not exported"]);
        assert!(registry.content.lock().unwrap().manifests.is_empty());
    }
    let args = [
        "build",
        "--offline",
        "--cache-from=127.0.0.1:1/x",
        "--no-cache",
        "c",
    ];
    let ran = on(&env, "right", args).success();
    ran.says(["left out, for the build is --offline"]);
}

/// Machines: network namespaces of their own on one bridge, which is in the first; gone when dropped.
struct Machines {
    names: Vec<String>,
    registry: Option<std::process::Child>,
    dir: tempfile::TempDir,
}

/// Where the registry listens, on the first machine, and what the others call it.
const ADDRESS: &str = "10.77.0.1:5000";

impl Machines {
    fn start(count: usize) -> Self {
        let name = |number| format!("mkimg-farm-{}-{number}", std::process::id());
        let machines = Self {
            names: (0..=count).map(name).collect(),
            registry: None,
            dir: tempfile::tempdir().unwrap(),
        };
        let hub = &machines.names[0];
        for name in &machines.names {
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
        }
        ip(&format!("-n {hub} link add br0 type bridge"));
        ip(&format!("-n {hub} addr add 10.77.0.1/24 dev br0"));
        ip(&format!("-n {hub} link set br0 up"));
        for (number, name) in machines.names.iter().enumerate().skip(1) {
            let peer = format!("m{number}");
            ip(&format!(
                "-n {hub} link add {peer} type veth peer name eth0 netns {name}"
            ));
            ip(&format!("-n {hub} link set {peer} master br0 up"));
            ip(&format!(
                "-n {name} addr add 10.77.0.{}/24 dev eth0",
                number + 1
            ));
            ip(&format!("-n {name} link set eth0 up"));
        }
        machines.serve()
    }

    /// Starts the registry, and on each machine what makes it reachable at the machine's own loopback.
    fn serve(mut self) -> Self {
        let text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {ADDRESS}\n",
            self.dir.path().join("data").display()
        );
        let config = self.dir.path().join("config.yml");
        std::fs::write(&config, text).unwrap();
        let mut command = self.within(0, "docker-registry");
        command
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none");
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let started = command
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .spawn();
        self.registry = Some(started.expect("docker-registry: tests/install installs it"));
        for number in 1..self.names.len() {
            forward(PathBuf::from("/run/netns").join(&self.names[number]));
        }
        self
    }

    /// A program on a machine.
    fn within(&self, number: usize, program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
        let mut command = std::process::Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.names[number]));
        command.arg("--").arg(program);
        command
    }

    /// mkimg on a machine, with the store of its own.
    fn mkimg(&self, env: &Env, number: usize, args: &[&str]) -> Ran {
        let mkimg = env.command(args);
        let mut command = self.within(number, mkimg.get_program());
        command.args(args).env_clear().current_dir(env.path(""));
        command.envs(
            mkimg
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.env("MKIMG_ROOT", env.path(format!("store-{number}")));
        run(&mut command)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if let Some(registry) = &mut self.registry {
            let _ = registry.kill();
            let _ = registry.wait();
        }
        for name in &self.names {
            let _ = std::process::Command::new("ip")
                .args(["netns", "del", name])
                .status();
        }
    }
}

fn ip(args: &str) {
    let done = std::process::Command::new("ip")
        .args(args.split(' '))
        .status();
    let done = done.expect("ip: tests/install installs iproute2");
    assert!(done.success(), "ip {args}");
}

/// Listens at port 5000 of a namespace's loopback, which TLS is not demanded of, and hands on to the registry.
fn forward(namespace: PathBuf) {
    let (ready, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let file = std::fs::File::open(namespace).unwrap();
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:5000").unwrap();
        ready.send(()).unwrap();
        for near in listener.incoming().map_while(Result::ok) {
            // The registry may still be starting.
            let connect = || std::net::TcpStream::connect(ADDRESS);
            let tries = (0..200).find_map(|_| {
                let connected = connect().ok();
                if connected.is_none() {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                connected
            });
            let Some(far) = tries else { continue };
            for (mut from, mut to) in [
                (near.try_clone().unwrap(), far.try_clone().unwrap()),
                (far, near),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    wait.recv().unwrap();
}

#[test]
fn ten_machines_build_once() {
    if !support::is_root() {
        // Networks are root's.
        return;
    }
    const MACHINES: usize = 10;
    const PLACE: &str = "127.0.0.1:5000/farm/app";
    let env = Env::new(User::Own);
    let machines = Machines::start(MACHINES);
    // The base comes from the registry, too.
    let tar = env.write("base.tar", support::base::busybox());
    let base = format!("{PLACE}/base:1");
    machines
        .mkimg(&env, 1, &["import", tar.to_str().unwrap(), &base])
        .success();
    machines.mkimg(&env, 1, &["push", &base]).success();
    let dockerfile = |last: &str| {
        let mut text = format!("FROM {base}\nCOPY Dockerfile.txt /\n");
        for step in 2..20 {
            let random = format!("head -c 9999 /dev/urandom > /{step}");
            let mount = "--mount=type=cache,id=mark,target=/mark";
            text += &format!("RUN {mount} echo > /mark/{step}; {random}\n");
        }
        text + &format!("RUN echo {last} > /last\n")
    };
    env.write("c/Dockerfile.txt", "a file\n");
    env.write("c/Dockerfile", dockerfile("first"));
    let (from, to) = (
        format!("--cache-from={PLACE}:cache"),
        format!("--cache-to={PLACE}:cache"),
    );
    let args = ["build", "-t", "x", &from, &to, "c"];
    let build = |number| machines.mkimg(&env, number, &args).success();
    let marks = |number| {
        let listed = machines
            .mkimg(&env, number, &["cache", "ls", "-q"])
            .success();
        listed.out().lines().count()
    };
    // The first pays.
    let first = build(1);
    assert_eq!((cached(&first), marks(1)), (0, 1), "{first}");
    // The others build nothing, at once.
    let all = |args: fn(usize) -> bool| {
        std::thread::scope(|scope| {
            let build = &build;
            let started = (1..=MACHINES).filter(|number| args(*number));
            let started = started.map(|number| (number, scope.spawn(move || build(number))));
            let started: Vec<_> = started.collect();
            let ended = started.into_iter();
            ended
                .map(|(number, ran)| (number, ran.join().unwrap()))
                .collect::<Vec<_>>()
        })
    };
    for (number, ran) in all(|number| number > 1) {
        assert_eq!(
            (cached(&ran), id(&ran)),
            (20, id(&first)),
            "{number}: {ran}"
        );
        assert_eq!(marks(number), 0, "{number}: a command was run");
        assert!(!ran.err().contains("warning"), "{ran}");
    }
    // A change of the last step is paid once, by whoever comes first.
    env.write("c/Dockerfile", dockerfile("second"));
    let changed = build(7);
    assert_eq!(cached(&changed), 19, "{changed}");
    for (number, ran) in all(|number| number != 7) {
        assert_eq!(
            (cached(&ran), id(&ran)),
            (20, id(&changed)),
            "{number}: {ran}"
        );
    }
    for number in 1..=MACHINES {
        assert_eq!(marks(number), usize::from(number == 1));
        machines.mkimg(&env, number, &["verify"]).success();
    }
}
