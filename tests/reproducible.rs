//! The same digest everywhere.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Env, User, run};

const DOCKERFILE: &str = "FROM busybox AS made\n\
    RUN mkdir -p /out/d && for i in 3 1 2; do echo $i > /out/d/$i; done && ln -s d /out/link && chown -R 12:34 /out\n\
    FROM busybox\n\
    WORKDIR /app\n\
    COPY src .\n\
    COPY --from=made /out /out\n\
    RUN date > /dev/null; cp -r /app /copy; touch /now; chmod 600 /copy/b\n\
    ENV A=1\n\
    CMD [\"sh\"]\n";

/// Image ID and manifest digest of a build of files written in this order, on these cores.
fn digests(user: User, order: &[&str], cores: &str) -> (String, String) {
    let env = Env::new(user);
    env.import_busybox("busybox");
    env.write("c/Dockerfile", DOCKERFILE);
    for name in order {
        env.write(format!("c/src/{name}"), format!("content of {name}"));
    }
    let command = env.command(["build", "-q", "-t", "app", "c"]);
    let mut pinned = env.program("taskset");
    pinned
        .args(["-c", cores])
        .arg(command.get_program())
        .args(command.get_args());
    pinned.env("MKIMG_ROOT", env.store());
    let id = run(&mut pinned).success().line().to_owned();
    let index = std::fs::read_to_string(env.store().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    let name = |entry: &&serde_json::Value| {
        let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
        name.as_str().is_some_and(|name| name.starts_with("app"))
    };
    let manifest = entries.clone().find(name).unwrap()["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    (id, manifest)
}

#[test]
fn by_any_user_on_any_number_of_cores_in_any_order() {
    let first = digests(User::Own, &["a", "b", "c/d"], "0");
    for user in User::with_ids() {
        // a second makes another time
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let cores = if std::thread::available_parallelism().unwrap().get() > 1 {
            "0,1"
        } else {
            "0"
        };
        assert_eq!(digests(*user, &["c/d", "b", "a"], cores), first, "{user:?}");
    }
}
