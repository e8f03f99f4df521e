//! A secret's value that a build would leave behind.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Env, Ran, User};

const VALUE: &str = "correct-horse-battery";
const MOUNT: &str = "RUN --mount=type=secret,id=token";

fn build(env: &Env, dockerfile: &str, flags: &[&str]) -> Ran {
    env.write("context/Dockerfile", format!("FROM base\n{dockerfile}\n"));
    let fixed = ["build", "-t", "out"];
    env.mkimg(fixed.iter().chain(flags).chain(&["context"]))
}

fn env(user: User) -> Env {
    let env = Env::new(user);
    env.import_busybox("base");
    env.write("token", format!("{VALUE}\n"));
    env
}

fn refused(ran: Ran, words: &[&str]) {
    let ran = ran.exits(1);
    for word in words {
        assert!(ran.err().contains(word), "{word:?} is missing: {ran}");
    }
    // A value that stands in the Dockerfile itself is shown with its step, and in no error.
    let told = ran.err().lines().filter(|line| !line.starts_with('#'));
    assert!(!told.collect::<String>().contains(VALUE), "{ran}");
}

/// Every file of the store that holds the value.
fn holders(env: &Env) -> Vec<String> {
    let found = support::run(
        std::process::Command::new("grep")
            .args(["-rlaF", VALUE])
            .arg(env.store()),
    );
    found.out().lines().map(str::to_owned).collect()
}

#[test]
fn a_layer_that_holds_it_fails_the_build_and_goes() {
    for user in User::with_ids() {
        let env = env(*user);
        let dockerfile = format!("RUN true\n{MOUNT} cp /run/secrets/token /root/.netrc");
        for _ in 0..2 {
            let ran = build(&env, &dockerfile, &["--secret", "id=token,src=token"]);
            refused(
                ran,
                &[
                    "\"token\"",
                    "in the file /root/.netrc",
                    "3 | RUN --mount",
                    "help: ",
                ],
            );
            env.mkimg(["inspect", "out"]).exits(1);
            assert_eq!(holders(&env), [""; 0]);
        }
        let good = format!("{MOUNT} grep -q horse /run/secrets/token && echo x > /done");
        build(&env, &good, &["--secret", "id=token,src=token"]).success();
        assert_eq!(holders(&env), [""; 0]);
    }
}

#[test]
fn names_links_attributes_and_the_config_are_searched() {
    let env = env(User::Own);
    let name = "$(cat /run/secrets/token)";
    for (dockerfile, words) in [
        (
            format!("{MOUNT} mkdir /etc/{name}"),
            "in the name of /etc/***",
        ),
        (
            format!("{MOUNT} ln -s /x/{name} /link"),
            "in the target of the link /link",
        ),
        (
            format!(
                "{MOUNT} dd if=/dev/zero bs=1M count=3 of=/big && cat /run/secrets/token >> /big"
            ),
            "in the file /big",
        ),
        (
            format!("RUN mkdir /d\nFROM base\n{MOUNT} cp /run/secrets/token /d\nFROM base"),
            "",
        ),
        (format!("LABEL a=b c=x{VALUE}"), "config.Labels.c"),
        (format!("ENV A={VALUE}"), "config.Env"),
        (
            format!("RUN test x != {VALUE} && echo > /done"),
            "history[1].created_by",
        ),
        (
            format!("HEALTHCHECK CMD curl {VALUE}"),
            "config.Healthcheck",
        ),
        ("COPY . /all".to_owned(), "in the file /all/inner/.env"),
    ] {
        env.write("context/inner/.env", format!("TOKEN={VALUE}"));
        let ran = build(&env, &dockerfile, &["--secret", "id=token,src=token"]);
        if words.is_empty() {
            // A stage that nothing needs is not built.
            ran.success();
        } else {
            refused(ran, &[words, "\"token\""]);
        }
    }
}

#[test]
fn what_an_earlier_build_left_in_the_cache_is_found() {
    let env = env(User::Own);
    let dockerfile = format!(
        "RUN printf %s {} > /leak && printf %s {} >> /leak",
        &VALUE[..9],
        &VALUE[9..]
    );
    build(&env, &dockerfile, &[]).success();
    env.mkimg(["tag", "out", "first"]).success();
    let ran = build(&env, &dockerfile, &["--secret", "id=token,src=token"]);
    refused(ran, &["in the file /leak"]);
    // The image that was there before is another's to remove.
    env.mkimg(["inspect", "first"]).success();
    let again = build(&env, &dockerfile, &[]).success();
    assert!(!again.err().contains("CACHED"), "{again}");
}

#[test]
fn a_short_value_is_warned_of() {
    let env = env(User::Own);
    env.write("token", "abc\n");
    let dockerfile = format!("{MOUNT} cp /run/secrets/token /leak");
    let ran = build(&env, &dockerfile, &["--secret", "id=token,src=token"]);
    ran.success()
        .says(["the secret \"token\" is too short to be searched for"]);
}
