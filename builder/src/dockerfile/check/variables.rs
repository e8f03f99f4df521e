//! Variables that nothing defines.

use std::collections::BTreeSet;

use super::report::{Place, Report};
use super::rule::Rule;
use super::scope::Scope;
use crate::dockerfile::ast::{Add, Copy, Pair};
use crate::dockerfile::expand::Asked;
use crate::dockerfile::{Command, Span, Word};

pub(super) static UNDEFINED_VAR: Rule = Rule::docker(
    "UndefinedVar",
    "undefined-var",
    "A variable is used that nothing defines before",
    "define it by ARG or ENV before it is used",
);

/// Arguments of the builder itself that are no variables.
const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Names that the file itself knows, wherever.
pub(super) struct Known<'a> {
    /// Declared before the first `FROM`: a stage has to ask for them.
    pub(super) globals: BTreeSet<&'a str>,
    /// Defined somewhere in the stage.
    pub(super) stage: BTreeSet<&'a str>,
}

/// Checks the words of an instruction that docker expands (those of `ARG` and `EXPOSE` are not among them:
/// an `ARG`'s come one by one, and an `EXPOSE`'s docker does not look at).
pub(super) fn check(
    report: &mut Report<'_>,
    place: &Place,
    scope: &Scope,
    known: &Known<'_>,
    command: &Command,
) {
    for word in words(command) {
        check_word(report, place, scope, known, word);
    }
    if let Command::Copy(copy) | Command::Add(Add { copy, .. }) = command {
        for heredoc in copy.heredocs() {
            let mut asked = Asked::default();
            let _ = heredoc.expanded(&|name| scope.lookup(name), &mut asked);
            tell(report, place, scope, known, &asked, |_| heredoc.span);
        }
    }
}

/// Checks one word.
pub(super) fn check_word(
    report: &mut Report<'_>,
    place: &Place,
    scope: &Scope,
    known: &Known<'_>,
    word: &Word,
) {
    if !word.text.contains('$') {
        return;
    }
    let mut asked = Asked::default();
    // Whether it expands is seen where it is expanded.
    let _ = word.expand(
        report.dockerfile.escape,
        &|name| scope.lookup(name),
        &mut asked,
    );
    tell(report, place, scope, known, &asked, |name| {
        variable(word, name)
    });
}

/// Tells of the names that nothing defines.
fn tell(
    report: &mut Report<'_>,
    place: &Place,
    scope: &Scope,
    known: &Known<'_>,
    asked: &Asked,
    span: impl Fn(&str) -> Span,
) {
    for name in &asked.unset {
        let name = name.as_str();
        if scope.declares(name) || NO_VARIABLES.contains(&name) {
            continue;
        }
        let later = known.stage.contains(name);
        let global = known.globals.contains(name);
        let near = match scope.known {
            true => report.nearest(None, name, scope.names()),
            // The base may define what only looks like a slip.
            false => report.nearest(Some(1), name, scope.names()),
        };
        if !scope.known && near.is_none() && !later && !global {
            continue;
        }
        let message = format!("nothing defines `{name}` here");
        let hint = match near {
            _ if global => Some(format!("ask for the argument in this stage: ARG {name}")),
            _ if later => Some("the stage defines it below: move that up".to_owned()),
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => None,
        };
        report.warn_with_hint(place, &UNDEFINED_VAR, span(name), message, hint);
    }
}

/// Where a word has a variable.
pub(super) fn variable(word: &Word, name: &str) -> Span {
    let mut from = 0;
    while let Some(at) = word.text[from..].find('$') {
        let start = from + at;
        let rest = &word.text[start + 1..];
        let inside = rest.strip_prefix('{').unwrap_or(rest);
        let ends = |rest: &str| {
            !rest.starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric())
        };
        if inside.strip_prefix(name).is_some_and(ends) {
            let brace = rest.len() - inside.len();
            return word.part(start..start + 1 + brace + name.len());
        }
        from = start + 1;
    }
    word.span
}

/// The words that docker expands each for itself.
fn words(command: &Command) -> Vec<&Word> {
    match command {
        Command::Env(pairs) | Command::Label(pairs) => pairs
            .iter()
            .flat_map(|Pair { name, value }| [name, value])
            .collect(),
        Command::Copy(copy) => of_copy(copy).collect(),
        Command::Add(Add { copy, checksum, .. }) => of_copy(copy).chain(checksum).collect(),
        Command::Run(run) => {
            let options = run.mounts.iter().flat_map(|mount| &mount.options);
            options.filter_map(|option| option.value.as_ref()).collect()
        }
        Command::StopSignal(word) | Command::User(word) | Command::Workdir(word) => vec![word],
        Command::Volume(words) => words.iter().collect(),
        Command::Arg(_)
        | Command::Cmd(_)
        | Command::Entrypoint(_)
        | Command::Expose(_)
        | Command::Healthcheck(_)
        | Command::Maintainer(_)
        | Command::Onbuild(_)
        | Command::Shell(_) => Vec::new(),
    }
}

fn of_copy(copy: &Copy) -> impl Iterator<Item = &Word> {
    let flags = copy.chown.iter().chain(&copy.chmod);
    flags.chain(copy.paths()).chain([&copy.destination])
}
