//! Arguments and variables that seem to hold secrets: anybody reads them in the image.

use super::report::{Place, Report};
use super::rule::Rule;
use crate::dockerfile::Word;

pub(super) static SECRETS_USED_IN_ARG_OR_ENV: Rule = Rule::docker(
    "SecretsUsedInArgOrEnv",
    "secrets-used-in-arg-or-env",
    "ARG or ENV seems to hold a secret, which stays in the image for all to read",
    "give it to the command that needs it: RUN --mount=type=secret,id=… and --secret id=…",
);

const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

pub(super) fn check(
    report: &mut Report<'_>,
    place: &Place,
    instruction: &str,
    name: &str,
    word: &Word,
) {
    if seems_secret(name) {
        let message = format!("`{instruction} {name}` seems to hold a secret");
        report.warn(place, &SECRETS_USED_IN_ARG_OR_ENV, word.span, message);
    }
}

fn seems_secret(name: &str) -> bool {
    let has = |words: &[&str]| {
        let mut parts = name.split('_');
        parts.any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
    };
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::seems_secret;

    #[test]
    fn whole_words_of_a_name() {
        for name in ["SECRET", "git_key", "my_ApiKey", "AUTH_MODULE", "a_token_b"] {
            assert!(seems_secret(name), "{name}");
        }
        for name in [
            "PUBLIC_KEY",
            "password_file",
            "AUTH_VERSION",
            "monkey",
            "secrets",
            "tokens_x",
        ] {
            assert!(!seems_secret(name), "{name}");
        }
    }
}
