//! What holds a secret's value gets no name, and no place in the cache.

use super::*;
use crate::leak::{LeakError, Place};
use crate::request::Secret;

const VALUE: &str = "hunter2-and-more";

impl Bench {
    fn with_secret(mut self, id: &str, value: &str) -> Self {
        let secret = Secret(value.as_bytes().to_vec());
        self.request.secrets.insert(id.to_owned(), secret);
        self
    }

    fn leak(&self) -> (Option<usize>, LeakError) {
        let error = self.build().unwrap_err();
        assert!(self.request.store.resolve("out").is_err(), "{error}");
        match error {
            BuildError::Leak { span, source } => (span.map(|span| span.line), source),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_layer_with_a_secret_fails_the_build_and_is_not_kept() {
    let bench = Bench::new("FROM scratch\nCOPY good /\nCOPY bad /etc/bad\n")
        .with_secret("token", &format!("{VALUE}\n"))
        .with_secret("other", "never there");
    let context = &bench.context;
    fs::write(context.join("good"), "hunter2").unwrap();
    fs::write(
        context.join("bad"),
        format!("{}{VALUE}", "x".repeat(300_000)),
    )
    .unwrap();
    for _ in 0..2 {
        let (line, error) = bench.leak();
        assert_eq!(line, Some(3));
        let LeakError::Layer { secret, place } = &error else {
            panic!("{error}");
        };
        assert_eq!(
            (secret.as_str(), place),
            ("token", &Place::Content("etc/bad".to_owned()))
        );
        assert!(!error.to_string().contains("hunter2"));
    }
    assert!(!bench.heard.take().contains(&"cached 2".to_owned()));
}

#[test]
fn a_secret_that_an_earlier_build_left_in_the_cache_is_found() {
    let mut bench =
        Bench::new("FROM scratch AS a\nCOPY bad /bad\nFROM scratch\nCOPY --from=a / /\n");
    fs::write(bench.context.join("bad"), VALUE).unwrap();
    bench.request.tags.clear();
    bench.build().unwrap();
    bench.request.tags = vec!["out".parse().unwrap()];
    let bench = bench.with_secret("token", VALUE);
    let (line, _) = bench.leak();
    assert_eq!(line, Some(2));
    fs::write(bench.context.join("bad"), "good").unwrap();
    bench.build().unwrap();
    assert!(bench.request.store.resolve("out").is_ok());
}

#[test]
fn names_links_and_the_config_are_searched_too() {
    for (dockerfile, line, place) in [
        (
            format!("COPY good /{VALUE}/file"),
            Some(2),
            "in the name of /***",
        ),
        (
            "COPY dir /".to_owned(),
            Some(2),
            "in the target of the link /link",
        ),
        (format!("ENV A={VALUE}"), None, "config: config.Env[1]"),
        (
            format!("LABEL {VALUE}=x"),
            None,
            "config: config.Labels.***",
        ),
        (format!("CMD echo {VALUE}"), None, "config: config.Cmd[2]"),
        (
            format!("ARG A={VALUE}"),
            None,
            "config: history[0].created_by",
        ),
    ] {
        let bench =
            Bench::new(&format!("FROM scratch\n{dockerfile}\n")).with_secret("token", VALUE);
        fs::write(bench.context.join("good"), "x").unwrap();
        fs::create_dir(bench.context.join("dir")).unwrap();
        let link = bench.context.join("dir/link");
        std::os::unix::fs::symlink(format!("/x{VALUE}"), link).unwrap();
        let (at, error) = bench.leak();
        let message = error.to_string();
        assert_eq!(at, line, "{message}");
        assert!(
            message.ends_with(place) && message.contains("\"token\""),
            "{message}"
        );
    }
}

#[test]
fn a_short_value_is_told_of() {
    let bench = Bench::new("FROM scratch\nENV a=abc\n").with_secret("pin", "abc\n");
    bench.build().unwrap();
    let heard = bench.heard.take().join("\n");
    assert!(heard.contains("the secret \"pin\" is too short"), "{heard}");
}
